"""OAUTHBEARER and XOAUTH2 in the log-in process."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence

import pytest

from courier.auth import sasl
from courier.auth.account import Secret
from courier.auth.domain import DefaultDomain
from courier.auth.exchange import PROVEN
from courier.auth.sasl import Cancelled, Credentials, Failed, Malformed, Question, Refusal, Refused

NO_DOMAIN = DefaultDomain()
OFFER = sasl.offered(["OAUTHBEARER", "XOAUTH2"], lambda name: None)
BEARER = b"n,a=u@example.com,\x01host=h\x01port=143\x01auth=Bearer tok.en-_~+/==\x01\x01"
XOAUTH2 = b"user=u@example.com\x01auth=Bearer tok.en-_~+/==\x01\x01"


def run(
    name: str,
    message: bytes,
    answer: bytes | None = b"",
    replies: Sequence[bytes] = (b"AQ==",),
    domain: DefaultDomain = NO_DOMAIN,
) -> tuple[list[Question], list[bytes], Credentials]:
    """Play a client whose question gets this answer; give questions, challenges and the end."""
    questions: list[Question] = []
    challenges: list[bytes] = []
    steps = sasl.start(name, b64encode(message), domain, offer=OFFER)
    left, response = list(replies), None
    while True:
        try:
            step = steps.send(response)
        except StopIteration as stop:
            return questions, challenges, stop.value
        except Failed as failure:
            failure.add_note(repr((questions, challenges)))
            raise
        if isinstance(step, Question):
            questions.append(step)
            response = answer
        else:
            assert isinstance(step, bytes)
            challenges.append(b64decode(step))
            response = left.pop(0)


@pytest.mark.parametrize(("name", "message"), [("OAUTHBEARER", BEARER), ("xoauth2", XOAUTH2)])
def test_token(name: str, message: bytes) -> None:
    wanted = Question(name.lower().encode(), b"a=u@example.com", Secret(b"tok.en-_~+/=="))

    assert run(name, message) == ([wanted], [], PROVEN)


@pytest.mark.parametrize(
    ("message", "first"),
    [
        (b"n,,\x01auth=bearer x\x01\x01", b"a="),
        (b"y,,\x01auth=BEARER  x\x01\x01", b"a="),
        (b"n,a=u=2Cv=3D,\x01auth=Bearer x\x01\x01", b"a=u,v=@example.com"),
        (b"n,a=u@h,\x01AUTH=Bearer x\x01mthd=POST\x01post=a\r\nb\x01\x01", b"a=u@h"),
        (b"n,a=u,\x01zz=1\x01auth=Bearer x\x01\x01", b"a=u@example.com"),
    ],
)
def test_forms(message: bytes, first: bytes) -> None:
    """The name may be missing, and gets its domain; other pairs may come along."""
    domain = DefaultDomain("@example.com")
    questions, _, end = run("OAUTHBEARER", message, domain=domain)
    assert (questions[0].first, questions[0].second, end) == (first, Secret(b"x"), PROVEN)


def test_without_initial_response() -> None:
    steps = sasl.start("XOAUTH2", None, NO_DOMAIN, offer=OFFER)
    assert steps.send(None) == b""
    assert isinstance(steps.send(b64encode(XOAUTH2)), Question)


@pytest.mark.parametrize(("name", "message"), [("OAUTHBEARER", BEARER), ("XOAUTH2", XOAUTH2)])
@pytest.mark.parametrize("answer", [b'{"status":"x"}', None])
@pytest.mark.parametrize("reply", [b"AQ==", b"", b"*", b"!", b"QUJD"])
def test_refused(name: str, message: bytes, answer: bytes | None, reply: bytes) -> None:
    """The client hears why, and whatever it answers, has failed (RFC 7628 3.2.3)."""
    steps = sasl.start(name, b64encode(message), NO_DOMAIN, offer=OFFER)
    assert isinstance(steps.send(None), Question)
    told = steps.send(answer)
    assert isinstance(told, Refusal)
    said = json.loads(b64decode(told.challenge))
    assert said["status"] == ("x" if answer else {"O": "invalid_token", "X": "401"}[name[0]])
    with pytest.raises(Refused):
        steps.send(reply)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("OAUTHBEARER", b"\x01"), ("OAUTHBEARER", b""), ("OAUTHBEARER", b"n,a=u,auth=Bearer x\x01\x01"),
        ("OAUTHBEARER", b"n,a=u,\x01auth=Bearer x\x01"), ("OAUTHBEARER", b"n,a=,\x01auth=Bearer x\x01\x01"),
        ("OAUTHBEARER", b"x,,\x01auth=Bearer x\x01\x01"), ("OAUTHBEARER", BEARER + b"x"),
        ("OAUTHBEARER", b"n,a=u=2D,\x01auth=Bearer x\x01\x01"), ("OAUTHBEARER", XOAUTH2),
        ("OAUTHBEARER", b"n,,\x01auth=Bearer x\0\x01\x01"),
        ("XOAUTH2", b"user=\x01auth=Bearer x\x01\x01"), ("XOAUTH2", b"user=u\x01\x01"),
        ("XOAUTH2", b"user=u\0\x01auth=Bearer x\x01\x01"), ("XOAUTH2", BEARER), ("XOAUTH2", XOAUTH2[:-1]),
    ],
)  # fmt: skip
def test_message_that_is_none(name: str, message: bytes) -> None:
    with pytest.raises(Malformed):
        run(name, message)


@pytest.mark.parametrize(
    "message",
    [
        b"n,a=u,\x01host=x\x01\x01", b"n,a=u,\x01auth=Basic eDp5\x01\x01", b"n,,\x01auth=Bearer \x01\x01",
        b"n,,\x01auth=Bearer x y\x01\x01", b"n,,\x01auth=Bearer x\ny\x01\x01", b"n,,\x01xauth=Bearer x\x01\x01",
        b"p=tls-exporter,,\x01auth=Bearer x\x01\x01",
    ],
)  # fmt: skip
def test_message_without_a_token_that_could_be_checked(message: bytes) -> None:
    """Nobody is asked; the client hears why."""
    steps = sasl.start("OAUTHBEARER", b64encode(message), NO_DOMAIN, offer=OFFER)
    told = steps.send(None)
    assert isinstance(told, Refusal)
    assert json.loads(b64decode(told.challenge))["status"] == "invalid_token"
    with pytest.raises(Refused):
        steps.send(b"AQ==")


@pytest.mark.parametrize("userid", [b"u\nv", b"u\tv"])
def test_userid_that_nobody_has(userid: bytes) -> None:
    with pytest.raises(Refused):
        run("XOAUTH2", XOAUTH2.replace(b"u@example.com", userid))


def test_offer() -> None:
    """For encrypted connections alone (RFC 7628 3)."""
    assert sasl.offered(["OAUTHBEARER", "XOAUTH2"], None).names == frozenset()
    assert OFFER.names == {"OAUTHBEARER", "XOAUTH2"}
    with pytest.raises(sasl.UnknownMechanism):
        sasl.start("XOAUTH2", None, NO_DOMAIN, offer=sasl.offered(["OAUTHBEARER"], lambda _: b""))


def test_cancelled() -> None:
    steps = sasl.start("OAUTHBEARER", None, NO_DOMAIN, offer=OFFER)
    steps.send(None)
    with pytest.raises(Cancelled):
        steps.send(b"*")
