# SPDX-License-Identifier: Apache-2.0
"""JSON over HTTP with a Keystone token; the standard library only."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, BinaryIO

from .site import Site

_TIMEOUT_S = 300.0
_TOKEN_LIFE_S = 3600.0


class CloudError(Exception):
    """A server refused a request; ``status`` is HTTP's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"HTTP {status}: {text}")
        self.status = status


class Client:
    """Requests to the servers of one site, as its one user."""

    def __init__(self, site: Site) -> None:
        self.site = site
        # A proxy of the machine has nothing to do with loopback.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({})
        )
        self._token = ""
        self._token_until_s = 0.0

    def call(
        self,
        method: str,
        service: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send and receive JSON; None for an empty answer.

        :raises CloudError: the server refused.
        """
        data = None if body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **(headers or {})}
        return self._send(method, service, path, data, sent)

    def upload(
        self, service: str, path: str, content: BinaryIO, length: int
    ) -> None:
        """PUT a file of ``length`` bytes.

        :raises CloudError: the server refused.
        """
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(length),
        }
        self._send("PUT", service, path, content, headers)

    def _send(
        self,
        method: str,
        service: str,
        path: str,
        data: bytes | BinaryIO | None,
        headers: Mapping[str, str],
    ) -> Any:
        sent = {**headers, "X-Auth-Token": self._valid_token()}
        url = self.site.url(service) + path
        with self._open(method, url, data, sent) as response:
            answer = response.read()
        return json.loads(answer) if answer else None

    def _open(
        self,
        method: str,
        url: str,
        data: bytes | BinaryIO | None,
        headers: Mapping[str, str],
    ) -> Any:
        request = urllib.request.Request(
            url, data, headers=dict(headers), method=method
        )
        try:
            return self._opener.open(request, timeout=_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            raise CloudError(error.code, text) from error

    def _valid_token(self) -> str:
        if time.monotonic() > self._token_until_s:
            self._token = self._new_token()
            self._token_until_s = time.monotonic() + _TOKEN_LIFE_S
        return self._token

    def _new_token(self) -> str:
        default = {"id": "default"}
        user = {
            "name": "admin",
            "domain": default,
            "password": self.site.password,
        }
        identity = {"methods": ["password"], "password": {"user": user}}
        scope = {"project": {"name": "admin", "domain": default}}
        body = {"auth": {"identity": identity, "scope": scope}}
        url = self.site.url("keystone") + "/v3/auth/tokens"
        headers = {"Content-Type": "application/json"}
        data = json.dumps(body).encode()
        with self._open("POST", url, data, headers) as response:
            token: str = response.headers["X-Subject-Token"]
        return token
