"""SCRAM's challenges: the same for everybody, and good for one conversation."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from courier.auth import challenge, scram
from courier.auth.account import Secret
from courier.auth.challenge import Challenges
from courier.auth.request import Authenticate
from tests.support.scram import ScramClient

FIRST = Authenticate(b"imap", b"scram-sha-256", b"u@example.com", Secret(b"clientnonce"))
MADE = Challenges(b"k" * 32)


def proof_of(first: bytes, request: Authenticate = FIRST) -> Authenticate:
    client = ScramClient("u@example.com", "secret", nonce=b"clientnonce")
    client.first()
    final = client.final(first)
    messages = b",".join((b"n=u@example.com,r=clientnonce", first, final))
    return replace(request, authtype=request.authtype + b"-proof", second=Secret(messages))


def test_what_nobody_stored_is_the_same_for_ever() -> None:
    """By userid and mechanism, with the same key; with another it tells something else."""

    def told(made: Challenges, **changed: bytes) -> bytes:
        return made.first(replace(FIRST, **changed), b"").partition(b",")[2]  # type: ignore[arg-type]

    again = Challenges(b"k" * 32)
    assert told(MADE) == told(MADE) == told(again)
    assert told(MADE, first=b"v@example.com") != told(MADE)
    assert told(MADE, authtype=b"scram-sha-1") != told(MADE)
    assert told(Challenges(b"j" * 32)) != told(MADE)
    assert told(MADE).endswith(b",i=4096")
    assert told(Challenges(b"k", 5000)).endswith(b",i=5000")


def test_what_is_stored_is_told() -> None:
    keys = scram.made(b"SCRAM-SHA-256", b"secret", 4099)

    told = MADE.first(FIRST, challenge.parameters(keys))

    assert told.partition(b",s=")[2] == challenge.parameters(keys).split(b",")[1] + b",i=4099"
    assert challenge.nonce_of(told).startswith(b"clientnonce")
    assert challenge.nonce_of(told) != challenge.nonce_of(MADE.first(FIRST, b""))


def test_answer_to_our_challenge() -> None:
    proof = proof_of(MADE.first(FIRST, b""))

    assert MADE.is_ours(proof)
    assert Challenges(b"k" * 32).is_ours(proof)  # after a restart, or on another machine
    assert not Challenges(b"j" * 32).is_ours(proof)


@pytest.mark.parametrize(
    "change",
    [
        lambda it: replace(it, first=b"v@example.com"),
        lambda it: replace(it, service=b"pop3"),
        lambda it: replace(it, authtype=b"scram-sha-1-proof"),
        lambda it: replace(it, second=Secret(it.second.reveal().replace(b"i=4096", b"i=4097"))),
        lambda it: replace(it, second=Secret(it.second.reveal().replace(b",s=", b",s=AAAA"))),
        lambda it: replace(it, second=Secret(it.second.reveal().replace(b"clientn", b"clientm"))),
        lambda it: replace(it, second=Secret(it.second.reveal().replace(b"clientnonce", b"c", 1))),
        lambda it: replace(it, second=Secret(b"x")),
        lambda it: replace(it, second=Secret(it.second.reveal() + b"\n")),
    ],
)
def test_answer_to_something_else(change: object) -> None:
    assert callable(change)
    assert not MADE.is_ours(change(proof_of(MADE.first(FIRST, b""))))


@pytest.mark.parametrize(("later_s", "counts"), [(0, True), (89, True), (92, False), (-95, False)])
def test_answer_comes_later(monkeypatch: pytest.MonkeyPatch, later_s: int, counts: bool) -> None:
    proof = proof_of(MADE.first(FIRST, b""))
    now = time.time()
    monkeypatch.setattr(challenge.time, "time", lambda: now + later_s)

    assert MADE.is_ours(proof) == counts


def test_messages_of_hostile_length() -> None:
    """Reading them takes no more than their length's time, whatever is repeated in them."""
    for part in (b",r=a", b",x=", b",r=a,s=AAAA,i=1", b"n=,", b",c=AA"):
        text = (b"n=u,r=a" + part * 4000)[:8000]
        assert challenge.messages(replace(FIRST, second=Secret(text))) is None


def test_authtypes() -> None:
    assert challenge.mechanism_of(b"scram-sha-1") == b"SCRAM-SHA-1"
    assert challenge.mechanism_of(b"scram-sha-256-proof") == b"SCRAM-SHA-256"
    assert challenge.mechanism_of(b"login") is challenge.mechanism_of(b"scram-md5") is None
