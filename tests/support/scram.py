"""A SCRAM client that shares no code with ours, and may be told to lie (RFC 5802)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from dataclasses import dataclass, field


def secret(hash_name: str, password: bytes, salt: bytes, iterations: int) -> str:
    """A stored secret, in the form that administrators write."""
    salted = hashlib.pbkdf2_hmac(hash_name, password, salt, iterations)
    stored = hashlib.new(hash_name, hmac.digest(salted, b"Client Key", hash_name)).digest()
    server = hmac.digest(salted, b"Server Key", hash_name)
    fields = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return (
        f"{{SCRAM-{ {'sha1': 'SHA-1', 'sha256': 'SHA-256'}[hash_name] }}}{iterations},"
        + ",".join(fields)
    )


@dataclass
class ScramClient:
    """One exchange: `first`, `final`, `believes`, with octets that are not yet base64."""

    userid: str
    password: str
    hash_name: str = "sha256"
    header: bytes = b"n,,"
    binding: bytes = b""
    nonce: bytes = field(default_factory=lambda: base64.b64encode(os.urandom(12)))

    def first(self) -> bytes:
        name = self.userid.encode().replace(b"=", b"=3D").replace(b",", b"=2C")
        self._bare = b"n=" + name + b",r=" + self.nonce
        return self.header + self._bare

    def final(self, challenge: bytes) -> bytes:
        fields = dict(part.split(b"=", 1) for part in challenge.split(b","))
        assert fields[b"r"].startswith(self.nonce) and len(fields[b"r"]) > len(self.nonce) + 16
        self.salt, self.iterations = base64.b64decode(fields[b"s"]), int(fields[b"i"])
        without_proof = b"c=" + base64.b64encode(self.header + self.binding) + b",r=" + fields[b"r"]
        self._signed = b",".join((self._bare, challenge, without_proof))
        salted = hashlib.pbkdf2_hmac(
            self.hash_name, self.password.encode(), self.salt, self.iterations
        )
        self._salted = salted
        client_key = hmac.digest(salted, b"Client Key", self.hash_name)
        stored = hashlib.new(self.hash_name, client_key).digest()
        signature = hmac.digest(stored, self._signed, self.hash_name)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        return without_proof + b",p=" + base64.b64encode(proof)

    def believes(self, server_final: bytes) -> bool:
        server_key = hmac.digest(self._salted, b"Server Key", self.hash_name)
        signature = hmac.digest(server_key, self._signed, self.hash_name)
        return server_final == b"v=" + base64.b64encode(signature)
