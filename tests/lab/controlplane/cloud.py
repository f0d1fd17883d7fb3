# SPDX-License-Identifier: Apache-2.0
"""What the lab asks of OpenStack, in its words."""

import pathlib
import time
from collections.abc import Mapping
from typing import Any

from .client import Client, CloudError

__all__ = ["Cloud", "CloudError"]

# 2.37 brought "networks": "none".
_COMPUTE = {"X-OpenStack-Nova-API-Version": "2.87"}
_PLACEMENT = {"OpenStack-API-Version": "placement 1.38"}


class Cloud(Client):
    """Images, flavors, servers and inventories, by their names or ids."""

    def create_image(
        self,
        name: str,
        file: pathlib.Path,
        disk_format: str = "raw",
        properties: Mapping[str, str] | None = None,
        min_ram_mib: int = 0,
    ) -> str:
        """Upload an image; give its id.

        ``disk_format`` is also aki (kernel) or ari (ramdisk); images of
        these name their container alike. An image that boots from them has
        their ids in its properties ``kernel_id`` and ``ramdisk_id``.
        """
        kernel = disk_format in ("aki", "ari", "ami")
        body = {
            "name": name,
            "disk_format": disk_format,
            "container_format": disk_format if kernel else "bare",
            "visibility": "public",
            "min_ram": min_ram_mib,
            **(properties or {}),
        }
        image = self.call("POST", "glance", "/v2/images", body)["id"]
        with file.open("rb") as content:
            size = file.stat().st_size
            self.upload("glance", f"/v2/images/{image}/file", content, size)
        return str(image)

    def image(self, name: str) -> str | None:
        """Give the id of the image of that name, if there is one."""
        path = f"/v2/images?name={name}"
        found = self.call("GET", "glance", path)["images"]
        return str(found[0]["id"]) if found else None

    def create_flavor(
        self,
        name: str,
        *,
        ram_mib: int = 1024,
        swap_mib: int = 1024,
        disk_gib: int = 0,
        vcpus: int = 1,
        extra_specs: Mapping[str, str] | None = None,
    ) -> str:
        """Make a flavor; give its id, which is its name."""
        flavor = {
            "id": name,
            "name": name,
            "ram": ram_mib,
            "swap": swap_mib,
            "disk": disk_gib,
            "vcpus": vcpus,
        }
        self._nova("POST", "/flavors", {"flavor": flavor})
        if extra_specs:
            path = f"/flavors/{name}/os-extra_specs"
            self._nova("POST", path, {"extra_specs": dict(extra_specs)})
        return name

    def boot(
        self,
        name: str,
        image: str,
        flavor: str,
        *,
        more: Mapping[str, object] | None = None,
    ) -> str:
        """Ask for a server without network; give its id.

        ``more`` is put into the request's ``server``.
        """
        server = {
            "name": name,
            "imageRef": image,
            "flavorRef": flavor,
            "networks": "none",
            **(more or {}),
        }
        answer = self._nova("POST", "/servers", {"server": server})
        return str(answer["server"]["id"])

    def server(self, server: str) -> dict[str, Any]:
        """Give all that Nova says of a server."""
        told: dict[str, Any] = self._nova("GET", f"/servers/{server}")
        return dict(told["server"])

    def servers(self) -> list[dict[str, Any]]:
        """Give all that Nova says of every server."""
        return list(self._nova("GET", "/servers/detail")["servers"])

    def status(self, server: str) -> str:
        """Give ACTIVE, ERROR, BUILD and so on."""
        return str(self.server(server)["status"])

    def fault(self, server: str) -> str:
        """Give Nova's message of what went wrong, or an empty text."""
        return str(self.server(server).get("fault", {}).get("message", ""))

    def domain(self, server: str) -> str:
        """Give the name of the server's libvirt domain."""
        told = self.server(server)
        return str(told["OS-EXT-SRV-ATTR:instance_name"])

    def wait(
        self,
        server: str,
        statuses: tuple[str, ...] = ("ACTIVE", "ERROR"),
        timeout_s: float = 600.0,
        pause_s: float = 2.0,
    ) -> str:
        """Wait until the server has one of the statuses; give it.

        :raises TimeoutError: it hasn't, in time.
        """
        end = time.monotonic() + timeout_s
        while (status := self.status(server)) not in statuses:
            if time.monotonic() > end:
                raise TimeoutError(
                    f"{server} is {status} after {timeout_s:.0f} s, "
                    f"not {' or '.join(statuses)}"
                )
            time.sleep(pause_s)
        return status

    def act(self, server: str, action: str, argument: object = None) -> Any:
        """Have something done to a server: os-stop, os-start, reboot…"""
        path = f"/servers/{server}/action"
        return self._nova("POST", path, {action: argument})

    def console(self, server: str, lines: int = 100) -> str:
        """Give the end of the server's console log."""
        answer = self.act(server, "os-getConsoleOutput", {"length": lines})
        return str(answer["output"])

    def delete(self, server: str) -> None:
        """Ask for a server's end; harmless when it is gone."""
        try:
            self._nova("DELETE", f"/servers/{server}")
        except CloudError as error:
            if error.status != 404:
                raise

    def wait_deleted(self, server: str, timeout_s: float = 300.0) -> None:
        """Wait until a server that was deleted is gone.

        :raises TimeoutError: it isn't, in time.
        """
        end = time.monotonic() + timeout_s
        while any(told["id"] == server for told in self.servers()):
            if time.monotonic() > end:
                raise TimeoutError(f"{server} is still there")
            time.sleep(1)

    def services(self) -> list[dict[str, Any]]:
        """Give Nova's services with ``binary``, ``host`` and ``state``."""
        return list(self._nova("GET", "/os-services")["services"])

    def services_up(self) -> set[str]:
        """Give the names of Nova's services that report to be alive."""
        told = self.services()
        return {x["binary"] for x in told if x["state"] == "up"}

    def hypervisors(self) -> list[dict[str, Any]]:
        """Give the compute hosts that the scheduler can use."""
        told = self._nova("GET", "/os-hypervisors/detail")
        return list(told["hypervisors"])

    def provider(self, name: str) -> str | None:
        """Give the id of the resource provider of that name, if any."""
        path = f"/resource_providers?name={name}"
        found = self._placement("GET", path)["resource_providers"]
        return str(found[0]["uuid"]) if found else None

    def inventory(self, provider: str) -> dict[str, Any]:
        """Give a provider's inventories by resource class (memory: MiB)."""
        path = f"/resource_providers/{provider}/inventories"
        return dict(self._placement("GET", path)["inventories"])

    def usages(self, provider: str) -> dict[str, int]:
        """Give what is allocated of each resource class (memory: MiB)."""
        path = f"/resource_providers/{provider}/usages"
        return dict(self._placement("GET", path)["usages"])

    def _nova(self, method: str, path: str, body: object = None) -> Any:
        return self.call(method, "nova-api", f"/v2.1{path}", body, _COMPUTE)

    def _placement(self, method: str, path: str, body: object = None) -> Any:
        return self.call(method, "placement", path, body, _PLACEMENT)
