"""Bounded requests to web servers: no redirections, no proxies, no answer without an end."""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from authdaemond.backends.backend import Unavailable

#: Octets of an answer: a set of keys is the largest there is.
_LONGEST = 1024 * 1024
_BLOCK = 16_384
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    """What is sent to one server is for no other."""

    def redirect_request(self, *_: Any) -> None:
        return None


def is_safe(url: str) -> bool:
    """Whether what is sent there stays secret: `https`, or this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        parts.port  # noqa: B018  a number that is none is told here
    except ValueError:
        return False
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
    )


class Web:
    """``authorities`` is a file of certificates, the system's if None; ``timeout_s`` is for each wait
    and, all in all, twice as long.

    Raises OSError for a file that can't be used.
    """

    def __init__(self, authorities: str | None, timeout_s: int) -> None:
        self._timeout_s = timeout_s
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=authorities)),
            _NoRedirection,
        )

    def get(self, url: str) -> bytes:
        """Raises Unavailable."""
        return self._answer(urllib.request.Request(url, headers={"Accept": "application/json"}))

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Raises Unavailable."""
        own = {
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
            **headers,
        }
        return self._answer(urllib.request.Request(url, body, own))

    def _answer(self, request: urllib.request.Request) -> bytes:
        url, until = request.full_url, time.monotonic() + 2 * self._timeout_s
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                data = b""
                while piece := answer.read1(_BLOCK):
                    data += piece
                    if len(data) > _LONGEST:
                        raise Unavailable(f"{url}: the answer has no end")
                    if time.monotonic() > until:
                        raise Unavailable(f"{url}: no answer in time")
                return data
        except urllib.error.HTTPError as error:
            with error:
                raise Unavailable(f"{url}: {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise Unavailable(f"{url}: {reason}") from error
