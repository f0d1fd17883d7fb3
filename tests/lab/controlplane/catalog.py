# SPDX-License-Identifier: Apache-2.0
"""Keystone's catalog, brought to the ports of this run."""

from typing import Any

from .client import Client
from .site import Site

_TYPES = {
    "identity": ("keystone", "/v3"),
    "placement": ("placement", ""),
    "image": ("glance", ""),
    "network": ("neutron", ""),
    "compute": ("nova-api", "/v2.1"),
}


def refresh(client: Client, site: Site) -> None:
    """Make the catalog name each service with its present address.

    :raises CloudError: Keystone refused.
    """
    known = client.call("GET", "keystone", "/v3/services")["services"]
    services = {service["type"]: service["id"] for service in known}
    told = client.call("GET", "keystone", "/v3/endpoints")["endpoints"]
    endpoints = {point["service_id"]: point["id"] for point in told}
    for kind, (name, path) in _TYPES.items():
        service = services.get(kind) or _add_service(client, kind, name)
        url = site.url(name) + path
        _point(client, service, endpoints.get(service), url)


def _add_service(client: Client, kind: str, name: str) -> str:
    body = {"service": {"type": kind, "name": name}}
    added: dict[str, Any] = client.call(
        "POST", "keystone", "/v3/services", body
    )
    return str(added["service"]["id"])


def _point(
    client: Client, service: str, endpoint: str | None, url: str
) -> None:
    if endpoint:
        path = f"/v3/endpoints/{endpoint}"
        body = {"endpoint": {"url": url}}
        client.call("PATCH", "keystone", path, body)
        return
    new = {
        "service_id": service,
        "interface": "public",
        "region_id": "lab",
        "url": url,
    }
    client.call("POST", "keystone", "/v3/endpoints", {"endpoint": new})
