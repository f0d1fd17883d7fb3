# SPDX-License-Identifier: Apache-2.0
"""The stand-in for Cinder: a volume's states as Nova leads it through."""

import unittest
from typing import Any

from tests.lab import volumes


class TestVolumes(unittest.TestCase):
    """One volume, asked for as Nova asks."""

    def setUp(self) -> None:
        self.volumes = volumes.Volumes()
        body = {"volume": {"name": "v", "size": 1}}
        made = self.ask("POST", "/volumes", body)
        self.volume_id = made["volume"]["id"]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Give the answer's JSON."""
        return self.volumes.answer(method, path, body or {})[1]

    def status(self) -> str:
        """Give the volume's status."""
        volume = self.ask("GET", f"/volumes/{self.volume_id}")["volume"]
        return str(volume["status"])

    def reserve(self) -> str:
        """Reserve the volume; give the attachment."""
        body = {"volume_uuid": self.volume_id, "instance_uuid": "server"}
        told = self.ask("POST", "/attachments", {"attachment": body})
        return f"/attachments/{told['attachment']['id']}"

    def test_attached_and_detached(self) -> None:
        # Given a volume that Nova attaches
        attachment = self.reserve()
        self.assertEqual("reserved", self.status())
        told = self.ask("PUT", attachment)["attachment"]
        self.ask("POST", f"{attachment}/action", {"os-complete": None})
        # Then its file is what Nova connects
        connection = told["connection_info"]
        self.assertEqual("gpfs", connection["driver_volume_type"])
        self.assertEqual(
            volumes.path_of(self.volume_id), connection["device_path"]
        )
        self.assertEqual("in-use", self.status())
        # When it is detached, then it is free again
        action = {"os-begin_detaching": None}
        self.ask("POST", f"/volumes/{self.volume_id}/action", action)
        self.assertEqual("detaching", self.status())
        self.ask("DELETE", attachment)
        self.assertEqual("available", self.status())

    def test_a_failed_detachment_leaves_it_in_use(self) -> None:
        attachment = self.reserve()
        self.ask("POST", f"{attachment}/action", {"os-complete": None})
        for action in ("os-begin_detaching", "os-roll_detaching"):
            self.ask(
                "POST", f"/volumes/{self.volume_id}/action", {action: None}
            )
        self.assertEqual("in-use", self.status())

    def test_no_volume_is_given_away_twice(self) -> None:
        self.reserve()
        with self.assertRaises(volumes.Refused) as caught:
            self.reserve()
        self.assertEqual(400, caught.exception.code)

    def test_one_in_use_is_not_deleted(self) -> None:
        self.reserve()
        with self.assertRaises(volumes.Refused):
            self.ask("DELETE", f"/volumes/{self.volume_id}")

    def test_what_is_not_there(self) -> None:
        unknown = "00000000-0000-0000-0000-000000000000"
        for path in (f"/volumes/{unknown}", f"/attachments/{unknown}", "/x"):
            with self.assertRaises(volumes.Refused) as caught:
                self.ask("GET", path)
            self.assertEqual(404, caught.exception.code)
