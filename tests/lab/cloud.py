# SPDX-License-Identifier: Apache-2.0
"""A thin client of the lab's cloud: only what the lab asks of it."""

import json
import pathlib
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from tests.lab import settings as lab_settings
from tests.lab import steps

_PATHS = {
    "keystone": "/v3",
    "placement": "",
    "glance": "/v2",
    "neutron": "/v2.0",
    "nova": "/v2.1",
    "cinder": "/v3/lab",
}
_TYPES = {
    "placement": "placement",
    "glance": "image",
    "neutron": "network",
    "nova": "compute",
}
_NOVA_VERSION = "compute 2.90"
# A little longer than its services wait for each other.
_ANSWER_WITHIN_S = 250


class CloudError(steps.LabError):
    """An API refused; ``code`` is HTTP's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Cloud:
    """OpenStack's APIs as the user ``admin``."""

    def __init__(self, settings: lab_settings.Settings) -> None:
        self._settings = settings
        self._token = ""

    def _authenticate(self) -> None:
        domain = {"id": "default"}
        user = {
            "name": "admin",
            "domain": domain,
            "password": self._settings.secret,
        }
        body = {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {"user": user},
                },
                "scope": {"project": {"name": "admin", "domain": domain}},
            }
        }
        url = f"{self._settings.url('keystone')}/v3/auth/tokens"
        _, headers = self._send("POST", url, json.dumps(body).encode(), {})
        self._token = headers["X-Subject-Token"]

    @staticmethod
    def _send(
        method: str, url: str, data: bytes | None, headers: Mapping[str, str]
    ) -> tuple[bytes, Any]:
        request = urllib.request.Request(
            url,
            data,
            {"Content-Type": "application/json", **headers},
            method=method,
        )
        try:
            with urllib.request.urlopen(
                request, timeout=_ANSWER_WITHIN_S
            ) as answer:
                return answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")[:800]
            message = f"{method} {url}: {error.code} {text}"
            raise CloudError(error.code, message) from error
        except OSError as error:
            raise CloudError(0, f"{method} {url}: {error}") from error

    def call(
        self,
        service: str,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """One request; gives the answer's JSON, None where there is none.

        :raises CloudError: the API refused or isn't there.
        """
        if not self._token:
            self._authenticate()
        data = body if isinstance(body, bytes) else None
        if body is not None and data is None:
            data = json.dumps(body).encode()
        url = self._settings.url(service) + _PATHS[service] + path
        versions = {
            "X-Auth-Token": self._token,
            "OpenStack-API-Version": (
                _NOVA_VERSION if service == "nova" else "placement 1.39"
            ),
        }
        told, _ = self._send(
            method, url, data, {**versions, **(headers or {})}
        )
        return json.loads(told) if told else None

    def make_service_role(self) -> None:
        """Let the services' tokens count as such at each other."""
        ids = {}
        for kind, name in (
            ("projects", "admin"),
            ("users", "admin"),
            ("roles", "service"),
        ):
            told = self.call("keystone", "GET", f"/{kind}?name={name}")
            ids[kind] = told[kind][0]["id"]
        self.call(
            "keystone",
            "PUT",
            f"/projects/{ids['projects']}/users/{ids['users']}"
            f"/roles/{ids['roles']}",
        )
        # The token in hand doesn't have the role yet.
        self._token = ""

    def make_catalog(self) -> None:
        """Tell Keystone where the other services are."""
        for name, kind in _TYPES.items():
            service = self.call(
                "keystone",
                "POST",
                "/services",
                {"service": {"name": name, "type": kind}},
            )["service"]
            path = "/v2.1" if name == "nova" else ""
            url = self._settings.url(name) + path
            for interface in ("public", "internal"):
                endpoint = {
                    "service_id": service["id"],
                    "interface": interface,
                    "region_id": "lab",
                    "url": url,
                }
                self.call(
                    "keystone", "POST", "/endpoints", {"endpoint": endpoint}
                )

    def make_image(
        self,
        name: str,
        file: pathlib.Path,
        disk_format: str,
        **properties: str,
    ) -> str:
        """Upload an image; give its id."""
        container = disk_format if disk_format in ("aki", "ari") else "bare"
        image = self.call(
            "glance",
            "POST",
            "/images",
            {
                "name": name,
                "disk_format": disk_format,
                "container_format": container,
                "visibility": "public",
                **properties,
            },
        )
        self.call(
            "glance",
            "PUT",
            f"/images/{image['id']}/file",
            file.read_bytes(),
            {"Content-Type": "application/octet-stream"},
        )
        return str(image["id"])

    def download(self, image_id: str) -> bytes:
        """An image's data."""
        if not self._token:
            self._authenticate()
        url = f"{self._settings.url('glance')}/v2/images/{image_id}/file"
        data, _ = self._send("GET", url, None, {"X-Auth-Token": self._token})
        return data

    def images(self) -> dict[str, str]:
        """Ids of images by name."""
        told = self.call("glance", "GET", "/images")["images"]
        return {image["name"]: image["id"] for image in told}

    def make_flavor(self, name: str, ram_mib: int, swap_mib: int) -> str:
        """Make a flavor of one processor; give its id."""
        flavor = {
            "name": name,
            "id": name,
            "ram": ram_mib,
            "vcpus": 1,
            "disk": 0,
            "swap": swap_mib,
        }
        self.call("nova", "POST", "/flavors", {"flavor": flavor})
        return name

    def boot(self, name: str, image: str, flavor: str, **more: object) -> str:
        """Ask for an instance; give its id."""
        server = {
            "name": name,
            "imageRef": image,
            "flavorRef": flavor,
            "networks": "none",
            **more,
        }
        told = self.call("nova", "POST", "/servers", {"server": server})
        return str(told["server"]["id"])

    def act(self, server_id: str, name: str, value: object = None) -> str:
        """Ask for an action on an instance; give the request's id."""
        path = f"/servers/{server_id}/action"
        return self.request("POST", path, {name: value})

    def request(self, method: str, path: str, body: object = None) -> str:
        """Ask Nova for something that takes time; give the request's id."""
        if not self._token:
            self._authenticate()
        url = self._settings.url("nova") + _PATHS["nova"] + path
        data = None if body is None else json.dumps(body).encode()
        headers = {
            "X-Auth-Token": self._token,
            "OpenStack-API-Version": _NOVA_VERSION,
        }
        _, told = self._send(method, url, data, headers)
        return str(told["X-OpenStack-Request-ID"])

    def events(self, server_id: str, request_id: str) -> list[dict[str, Any]]:
        """What has been done so far for a request; none: not yet known."""
        path = f"/servers/{server_id}/os-instance-actions/{request_id}"
        try:
            told = self.call("nova", "GET", path)["instanceAction"]
        except CloudError as error:
            if error.code != 404:
                raise
            return []
        return list(told["events"])

    def server(self, server_id: str) -> dict[str, Any]:
        """One instance as the API shows it."""
        told = self.call("nova", "GET", f"/servers/{server_id}")
        return dict(told["server"])

    def servers(self) -> list[dict[str, Any]]:
        """All instances."""
        told = self.call("nova", "GET", "/servers/detail")
        return list(told["servers"])

    def delete(self, server_id: str) -> None:
        """Delete an instance; one that isn't there is fine."""
        try:
            self.call("nova", "DELETE", f"/servers/{server_id}")
        except CloudError as error:
            if error.code != 404:
                raise

    def wait_settled(
        self, server_ids: list[str], timeout_s: float
    ) -> dict[str, str]:
        """Wait until each is ACTIVE or ERROR; give the states by id."""
        end = time.monotonic() + timeout_s
        while True:
            states = {x["id"]: x["status"] for x in self.servers()}
            mine = {x: states.get(x, "DELETED") for x in server_ids}
            if "BUILD" not in mine.values() or time.monotonic() > end:
                return mine
            time.sleep(2)

    def delete_all(self, timeout_s: float, log: pathlib.Path) -> None:
        """Delete all instances and wait until they are gone.

        One whose deletion failed is deleted again.
        """
        asked: set[str] = set()

        def gone() -> bool:
            there = self.servers()
            for server in there:
                failed = server["status"] == "ERROR"
                idle = server["OS-EXT-STS:task_state"] is None
                if server["id"] not in asked or (failed and idle):
                    self.delete(server["id"])
                    asked.add(server["id"])
            return not there

        steps.wait_until(
            "deletion of all instances",
            gone,
            timeout_s,
            log,
            pause_s=2,
        )

    def compute_is_up(self) -> bool:
        """Whether Nova sees dom0's nova-compute alive."""
        path = "/os-services?binary=nova-compute"
        told = self.call("nova", "GET", path)["services"]
        return any(x["state"] == "up" for x in told)

    def compute_reported_at(self) -> str:
        """When dom0's nova-compute was last heard of, in ISO 8601."""
        path = "/os-services?binary=nova-compute"
        told = self.call("nova", "GET", path)["services"]
        return max((x["updated_at"] or "" for x in told), default="")

    def memory(self) -> dict[str, Any]:
        """Placement's MEMORY_MB inventory of the host."""
        providers = self.call("placement", "GET", "/resource_providers")
        found = providers["resource_providers"]
        if not found:
            return {}
        path = f"/resource_providers/{found[0]['uuid']}/inventories"
        told = self.call("placement", "GET", path)["inventories"]
        return dict(told.get("MEMORY_MB", {}))
