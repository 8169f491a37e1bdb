"""SCRAM as a worker does it: by a stored secret, or by one made of a stored password.

A failed proof costs the same work whatever it fails at, an unknown userid too: one secret is made.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

from authdaemond import log
from authdaemond.backends.backend import Backend, Rejected
from courier.auth import challenge, scram
from courier.auth.account import Account
from courier.auth.challenge import Messages
from courier.auth.request import Authenticate


def parameters(served: Backend, request: Authenticate) -> bytes:
    """Say what the client has to go by; empty for a stored password, whose salt is the key's.

    Raises:
        Rejected: there is no such account here, or nothing to check a proof by.
    """
    mechanism = challenge.mechanism_of(request.authtype)
    assert mechanism is not None
    account = served.scram(request, mechanism)
    keys = _stored(account, mechanism)
    if keys is not None:
        return challenge.parameters(keys)
    if not account.clear:
        log.debug("scram: no secret available")
        raise Rejected
    return b""


def proven(served: Backend, request: Authenticate) -> Account:
    """Return the account whose password the client knows, with our own proof of that.

    Raises:
        Rejected: it doesn't, or there is no such account here.
    """
    mechanism, found = challenge.mechanism_of(request.authtype), challenge.messages(request)
    assert mechanism is not None
    if found is None:
        raise Rejected
    try:
        account = served.scram(request, mechanism)
    except Rejected:
        scram.derived(mechanism, b"", found.salt, found.iterations)
        raise
    signature = _signature(account, mechanism, found)
    log.scram_result(signature is not None)
    if signature is None:
        raise Rejected
    return replace(account, sasl=f"v={b64encode(signature).decode()}")


def _stored(account: Account, mechanism: bytes) -> scram.Keys | None:
    keys = scram.read(account.passwd.reveal()) if account.passwd else None
    return keys if keys is not None and keys.mechanism == mechanism else None


def _signature(account: Account, mechanism: bytes, found: Messages) -> bytes | None:
    keys = _stored(account, mechanism)
    if keys is not None:
        signature = scram.signature(keys, found.signed, found.proof)
        if signature is not None:
            return signature
    password = account.clear.reveal() if account.clear and keys is None else b""
    made = scram.derived(mechanism, password, found.salt, found.iterations)
    return scram.signature(made, found.signed, found.proof) if password else None
