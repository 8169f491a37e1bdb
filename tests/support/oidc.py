"""A small server as identity providers are: keys, introspection, and tokens that it has signed.

Tokens are made by PyJWT, which the server does not use.
"""

from __future__ import annotations

import base64
import importlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER, AUDIENCE = "https://issuer.example", "imap"
CLIENT = "Basic " + base64.b64encode(b"mail+server:s%26cret").decode()


def private_key(kind: str) -> Any:
    match kind:
        case "RSA":
            return rsa.generate_private_key(65537, 2048)
        case "short RSA":
            return rsa.generate_private_key(65537, 1024)
        case "Ed25519":
            return ed25519.Ed25519PrivateKey.generate()
    curves = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
    return ec.generate_private_key(curves[kind])


def public_jwk(key: Any, kid: str | None, **more: Any) -> dict[str, Any]:
    """The public half as a set of keys has it."""
    public = key.public_key()
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = public.public_numbers()
        found: dict[str, Any] = {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        raw = public.public_bytes_raw() if hasattr(public, "public_bytes_raw") else _raw(public)
        found = {"kty": "OKP", "crv": "Ed25519", "x": _base64url(raw)}
    else:
        numbers, size = public.public_numbers(), (key.key_size + 7) // 8
        found = {
            "kty": "EC",
            "crv": f"P-{key.key_size}",
            "x": _number(numbers.x, size),
            "y": _number(numbers.y, size),
        }
    return found | ({} if kid is None else {"kid": kid}) | more


def _raw(public: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    raw: bytes = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return raw


def _number(value: int, size: int | None = None) -> str:
    return _base64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    found = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "email": "u@example.com",
        "iat": now,
        "exp": now + 300,
        "scope": "openid mail",
        **changed,
    }
    return {name: value for name, value in found.items() if value is not None}


def signed(
    key: Any, algorithm: str, kid: str | None = "k1", *, header: Any = None, **changed: Any
) -> str:
    """A token; a claim of None is left out."""
    pyjwt: Any = importlib.import_module("jwt")
    headers = ({} if kid is None else {"kid": kid}) | (header or {})
    made: str = pyjwt.encode(claims(**changed), key, algorithm=algorithm, headers=headers)
    return made


class Provider:
    """The server, on a port of 127.0.0.1, and what a test may change while it runs."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {"keys": []}
        #: What introspection says of a token; others are not active.
        self.tokens: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []  # paths
        self.instead: bytes | None = None  # of an answer's body
        self.status = 200
        self.released = threading.Event()  # answers wait for it
        self.released.set()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(provider.keys)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                if self.headers["Authorization"] != CLIENT:
                    self.send_error(401)
                    return
                self.answer(provider.tokens.get(parse_qs(body)["token"][0], {"active": False}))

            def answer(self, value: object) -> None:
                provider.asked.append(self.path)
                provider.released.wait(30)
                body = json.dumps(value).encode() if provider.instead is None else provider.instead
                try:
                    self.send_response(provider.status)
                    if provider.status in (301, 302):
                        self.send_header("Location", f"{provider.url}/elsewhere")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # who asked has gone

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
