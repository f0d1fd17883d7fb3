# SPDX-License-Identifier: Apache-2.0
"""What stands in for Cinder: volumes that are files on the Xen host.

Answers as much of Cinder's API as Nova asks to attach and detach a volume;
the real Cinder would bring four more servers to a small machine. Its
connections are those of a file in a file system that hosts share (Nova's
volume driver ``gpfs``). Who makes a volume makes its file, too:
:func:`path_of`. Run by ``python3 -m tests.lab.volumes PORT``.
"""

import http.server
import json
import re
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

DIRECTORY = "/var/lib/nova/volumes"
VERSION = "3.44"
_NAME = r"([0-9a-f-]{36})"

Answer = tuple[int, Any]


def path_of(volume_id: str) -> str:
    """Where on the Xen host the file of a volume is."""
    return f"{DIRECTORY}/{volume_id}.raw"


class Refused(Exception):
    """A request can't be met; ``code`` is HTTP's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Volumes:
    """Volumes and their attachments, in memory."""

    def __init__(self) -> None:
        self._volumes: dict[str, dict[str, Any]] = {}
        self._attachments: dict[str, dict[str, Any]] = {}
        self._routes: list[tuple[str, str, Callable[..., Answer]]] = [
            ("POST", r"/volumes", self._create),
            ("GET", rf"/volumes/{_NAME}", self._show),
            ("DELETE", rf"/volumes/{_NAME}", self._delete),
            ("POST", rf"/volumes/{_NAME}/action", self._act),
            ("POST", r"/attachments", self._attach),
            ("GET", rf"/attachments/{_NAME}", self._show_attachment),
            ("PUT", rf"/attachments/{_NAME}", self._connect),
            ("POST", rf"/attachments/{_NAME}/action", self._complete),
            ("DELETE", rf"/attachments/{_NAME}", self._detach),
        ]

    def answer(
        self, method: str, path: str, body: Mapping[str, Any]
    ) -> Answer:
        """Give status and JSON for a request below ``/v3/PROJECT``.

        :raises Refused: nobody has that, or it is in use.
        """
        for verb, pattern, handler in self._routes:
            found = re.fullmatch(pattern, path)
            if verb == method and found:
                return handler(body, *found.groups())
        raise Refused(404, f"{method} {path}")

    def _volume(self, volume_id: str) -> dict[str, Any]:
        if volume_id not in self._volumes:
            raise Refused(404, f"no volume {volume_id}")
        return self._volumes[volume_id]

    def _attachment(self, attachment_id: str) -> dict[str, Any]:
        if attachment_id not in self._attachments:
            raise Refused(404, f"no attachment {attachment_id}")
        return self._attachments[attachment_id]

    def _create(self, body: Mapping[str, Any]) -> Answer:
        volume_id = str(uuid.uuid4())
        self._volumes[volume_id] = {
            "id": volume_id,
            "name": body["volume"]["name"],
            "size": body["volume"]["size"],
            "status": "available",
            "availability_zone": "nova",
            "created_at": "2026-01-01T00:00:00.000000",
            "attachments": [],
            "description": None,
            "volume_type": None,
            "snapshot_id": None,
            "bootable": "false",
            "multiattach": False,
            "metadata": {},
        }
        return 202, {"volume": self._volumes[volume_id]}

    def _show(self, _body: Mapping[str, Any], volume_id: str) -> Answer:
        volume = self._volume(volume_id)
        mine = [
            {
                "server_id": attachment["instance"],
                "attachment_id": attachment["id"],
                "volume_id": volume_id,
                "device": None,
            }
            for attachment in self._attachments.values()
            if attachment["volume_id"] == volume_id
        ]
        return 200, {"volume": {**volume, "attachments": mine}}

    def _delete(self, _body: Mapping[str, Any], volume_id: str) -> Answer:
        if self._volume(volume_id)["status"] != "available":
            raise Refused(400, f"{volume_id} is in use")
        del self._volumes[volume_id]
        return 202, None

    def _act(self, body: Mapping[str, Any], volume_id: str) -> Answer:
        states = {
            "os-begin_detaching": ("in-use", "detaching"),
            "os-roll_detaching": ("detaching", "in-use"),
        }
        before, after = states[next(iter(body))]
        self._move(volume_id, before, after)
        return 202, None

    def _move(self, volume_id: str, before: str, after: str) -> None:
        volume = self._volume(volume_id)
        if volume["status"] != before:
            status = volume["status"]
            raise Refused(400, f"{volume_id} is {status}, not {before}")
        volume["status"] = after

    def _attach(self, body: Mapping[str, Any]) -> Answer:
        asked = body["attachment"]
        self._move(asked["volume_uuid"], "available", "reserved")
        attachment_id = str(uuid.uuid4())
        self._attachments[attachment_id] = {
            "id": attachment_id,
            "status": "reserved",
            "volume_id": asked["volume_uuid"],
            "instance": asked["instance_uuid"],
            "attached_at": "",
            "detached_at": "",
            "attach_mode": "rw",
            "connection_info": {},
        }
        if asked.get("connector"):
            return self._connect(body, attachment_id)
        return 200, {"attachment": self._attachments[attachment_id]}

    def _connect(self, _body: Mapping[str, Any], attachment_id: str) -> Answer:
        attachment = self._attachment(attachment_id)
        volume_id = attachment["volume_id"]
        self._volume(volume_id)["status"] = "attaching"
        attachment["status"] = "attaching"
        attachment["connection_info"] = {
            "driver_volume_type": "gpfs",
            "name": volume_id,
            "device_path": path_of(volume_id),
            "volume_id": volume_id,
            "access_mode": "rw",
            "encrypted": False,
            "qos_specs": None,
        }
        return 200, {"attachment": attachment}

    def _show_attachment(
        self, _body: Mapping[str, Any], attachment_id: str
    ) -> Answer:
        return 200, {"attachment": self._attachment(attachment_id)}

    def _complete(
        self, _body: Mapping[str, Any], attachment_id: str
    ) -> Answer:
        attachment = self._attachment(attachment_id)
        attachment["status"] = "attached"
        self._volume(attachment["volume_id"])["status"] = "in-use"
        return 204, None

    def _detach(self, _body: Mapping[str, Any], attachment_id: str) -> Answer:
        attachment = self._attachment(attachment_id)
        del self._attachments[attachment_id]
        volume_id = attachment["volume_id"]
        others = [
            other
            for other in self._attachments.values()
            if other["volume_id"] == volume_id
        ]
        self._volume(volume_id)["status"] = "in-use" if others else "available"
        return 200, {"attachments": others}


class _Handler(http.server.BaseHTTPRequestHandler):
    """One request; nobody is asked for a token on the loopback."""

    protocol_version = "HTTP/1.1"
    volumes: Volumes
    lock = threading.Lock()

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        try:
            code, told = self._answer(body)
        except Refused as refused:
            code = refused.code
            told = {"error": {"code": code, "message": str(refused)}}
        data = b"" if told is None else json.dumps(told).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

    def _answer(self, body: Mapping[str, Any]) -> Answer:
        path = self.path.partition("?")[0]
        found = re.fullmatch(r"/v3/[^/]+(/.+)", path)
        if found:
            with self.lock:
                return self.volumes.answer(self.command, found[1], body)
        version = {
            "id": "v3.0",
            "status": "CURRENT",
            "version": VERSION,
            "min_version": "3.0",
            "links": [],
        }
        return 200, {"versions": [version]}


def main(port: int) -> None:
    """Serve until killed."""
    _Handler.volumes = Volumes()
    address = ("127.0.0.1", port)
    http.server.ThreadingHTTPServer(address, _Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
