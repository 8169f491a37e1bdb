"""SASL mechanisms, driven by responses as a client sends them."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.auth import sasl
from courier.auth.account import Secret
from courier.auth.domain import DefaultDomain
from courier.auth.sasl import (
    Cancelled,
    Credentials,
    Failed,
    Malformed,
    Refused,
    UnknownMechanism,
)

NO_DOMAIN = DefaultDomain()
LOGGED_IN = Credentials(b"login", b"vm1@example.com", Secret(b"secret"))
PLAIN = b64encode(b"\0vm1@example.com\0secret")


def run(
    mechanism: str,
    responses: Sequence[bytes],
    initial: bytes | None = None,
    domain: DefaultDomain = NO_DOMAIN,
) -> tuple[list[bytes], Credentials]:
    """Play a client; return the challenges and the credentials."""
    steps = sasl.start(mechanism, initial, domain)
    challenges: list[bytes] = []
    response: bytes | None = None
    left = list(responses)
    while True:
        try:
            step = steps.send(response)
            assert isinstance(step, bytes)
            challenges.append(step)
        except StopIteration as stop:
            assert not left
            return challenges, stop.value
        response = left.pop(0)


def test_plain() -> None:
    assert run("PLAIN", [PLAIN]) == ([b""], LOGGED_IN)
    assert run("plain", [], initial=PLAIN) == ([], LOGGED_IN)


IDENTITY = b"vm1@example.com"


def external(initial: bytes | None, *responses: bytes) -> Credentials:
    steps = sasl.start("External", initial, NO_DOMAIN, IDENTITY)
    left = list(responses)
    try:
        challenge = next(steps)
        while True:
            assert challenge == b""
            challenge = steps.send(left.pop(0))
    except StopIteration as stop:
        assert not left
        credentials: Credentials = stop.value
        return credentials


def test_external() -> None:
    """The name is the certificate's; the client may say it, or nothing."""
    named = b64encode(IDENTITY)
    wanted = Credentials(b"EXTERNAL", IDENTITY, Secret(b""))

    assert external(named) == wanted
    assert external(None, b"") == external(b"=", b"") == external(None, named) == wanted


@pytest.mark.parametrize(
    ("initial", "responses", "failure"),
    [
        (b64encode(b"root"), [], Refused),
        (None, [b64encode(b"root")], Refused),
        (b"=", [b64encode(IDENTITY + b"\0x")], Refused),
        (None, [b"*"], Cancelled),
        (None, [b"!"], Malformed),
    ],
)
def test_external_for_somebody_else(
    initial: bytes | None, responses: list[bytes], failure: type[Failed]
) -> None:
    with pytest.raises(failure):
        external(initial, *responses)


@pytest.mark.parametrize(
    ("field", "identity"),
    [
        ("emailaddress", IDENTITY), ("EmailAddress", IDENTITY), ("CN", b""), ("x", b""), (None, b""),
        ("", b""), ("OU", b""),
    ],
)  # fmt: skip
def test_identity_of_a_certificate(field: str | None, identity: bytes) -> None:
    """Nobody's where the field is missing, empty, or can't be a userid."""
    subject = {"EMAILADDRESS": IDENTITY.decode(), "CN": "", "OU": "a\nb"}

    assert sasl.external_identity(subject, field) == identity


def test_login() -> None:
    userid, password = b64encode(b"vm1@example.com"), b64encode(b"secret")
    prompts = [b"VXNlcm5hbWU6", b"UGFzc3dvcmQ6"]

    assert run("LOGIN", [userid, password]) == (prompts, LOGGED_IN)
    assert run("LOGIN", [password], initial=userid) == (prompts[1:], LOGGED_IN)


@pytest.mark.parametrize(
    ("name", "authtype"),
    [("CRAM-MD5", b"cram-md5"), ("CRAM-SHA1", b"cram-sha1"), ("Cram-Sha256", b"cram-sha256")],
)
@pytest.mark.parametrize("initial", [None, b"=", b""])
def test_cram(name: str, authtype: bytes, initial: bytes | None) -> None:
    """Challenge and response are passed on in base64; an empty initial response is none."""
    response = b64encode(b"vm1@example.com 01234567")

    challenges, credentials = run(name, [response], initial)

    assert credentials == Credentials(authtype, challenges[0], Secret(response))
    text = b64decode(challenges[0])
    assert text.startswith(b"<") and text.endswith(b">") and text[33:34] == b"@"
    assert bytes.fromhex(text[1:33].decode()) and text[1:33].upper() == text[1:33]


def test_challenges_differ() -> None:
    assert run("CRAM-MD5", [b64encode(b"a b")])[0] != run("CRAM-MD5", [b64encode(b"a b")])[0]


def test_request() -> None:
    """What authdaemond is asked."""
    request = LOGGED_IN.request(b"imap", b"::1")

    assert (request.service, request.authtype, request.remote_ip) == (b"imap", b"login", b"::1")
    assert (request.first, request.second) == (b"vm1@example.com", Secret(b"secret"))


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_cancelled(mechanism: str) -> None:
    for response in (b"*", b"* and more"):
        with pytest.raises(Cancelled):
            run(mechanism, [response])


def test_cancelled_at_the_password() -> None:
    with pytest.raises(Cancelled):
        run("LOGIN", [b64encode(b"alice"), b"*"])


@pytest.mark.parametrize(
    "response",
    [
        b"!",
        b"YQ",
        b"YQ=",
        b"Y===",
        b" " + PLAIN,
        PLAIN + b" ",
        PLAIN[:-1],
        b"\xff\xfe\xfd\xfc",
        b"YQ==YQ==",
    ],
)
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_what_is_no_base64(mechanism: str, response: bytes) -> None:
    with pytest.raises(Malformed):
        run(mechanism, [response])


@pytest.mark.parametrize("message", [b"", b"alice", b"\0alice", b"\0a\0b\0c"])
def test_plain_needs_three_parts(message: bytes) -> None:
    with pytest.raises(Malformed):
        run("PLAIN", [b64encode(message)])


def test_plain_with_empty_initial_response() -> None:
    """`AUTH PLAIN =` is a message without parts."""
    with pytest.raises(Malformed):
        run("PLAIN", [], initial=b"=")


@pytest.mark.parametrize("response", [b64encode(b"alice"), b"", b64encode(b"01234567")])
def test_cram_needs_userid_and_digest(response: bytes) -> None:
    with pytest.raises(Malformed):
        run("CRAM-MD5", [response])


def test_cram_takes_no_initial_response() -> None:
    with pytest.raises(Malformed):
        run("CRAM-MD5", [], initial=b64encode(b"alice 0123"))


def test_acting_for_somebody_else_is_refused() -> None:
    """authzid is empty, or who logs in."""
    assert run("PLAIN", [b64encode(b"bob\0bob\0secret")])[1].first == b"bob"
    for authzid in (b"root", b"bo", b"bob "):
        with pytest.raises(Refused):
            run("PLAIN", [b64encode(authzid + b"\0bob\0secret")])


@pytest.mark.parametrize(
    ("userid", "password"),
    [
        (b"", b"secret"),
        (b"bob", b""),
        (b"b\nob", b"secret"),
        (b"b\tob", b"x"),
        (b"bob", b"se\rcret"),
    ],
)
def test_what_no_account_has(userid: bytes, password: bytes) -> None:
    with pytest.raises(Refused):
        sasl.password(userid, password, NO_DOMAIN)
    with pytest.raises(Refused):
        run("PLAIN", [b64encode(b"\0" + userid + b"\0" + password)])
    with pytest.raises(Refused):
        run("LOGIN", [b64encode(userid), b64encode(password)])


@pytest.mark.parametrize("userid", [b"", b"a\0b", b"a\nb"])
def test_cram_userid_that_no_account_has(userid: bytes) -> None:
    with pytest.raises(Refused):
        run("CRAM-MD5", [b64encode(userid + b" 0123")])


@pytest.mark.parametrize("name", ["", "GSSAPI", "PLAINX", "EXTERNAL", "CRAM-", "CRAM-MD4"])
def test_unknown_mechanism(name: str) -> None:
    with pytest.raises(UnknownMechanism):
        sasl.start(name, None, NO_DOMAIN)


@pytest.mark.parametrize(
    ("separators", "typed", "userid"),
    [
        (None, b"alice", b"alice@example.com"),
        (None, b"alice@b", b"alice@b"),
        (None, b"alice%b", b"alice%b@example.com"),
        ("%", b"alice@b", b"alice@b@example.com"),
        ("@%", b"alice%b", b"alice%b"),
    ],
)
def test_default_domain(separators: str | None, typed: bytes, userid: bytes) -> None:
    domain = DefaultDomain("@example.com", separators)

    assert domain.complete(typed) == userid
    assert run("PLAIN", [b64encode(b"\0" + typed + b"\0x")], domain=domain)[1].first == userid
    response = run("CRAM-MD5", [b64encode(typed + b" 0123")], domain=domain)[1].second
    assert b64decode(response.reveal()) == userid + b" 0123"


def test_no_default_domain() -> None:
    assert NO_DOMAIN.complete(b"alice") == b"alice"


@given(
    st.sampled_from(sorted(sasl.MECHANISMS)),
    st.lists(st.binary(max_size=60), min_size=2, max_size=2),
)
def test_any_responses(mechanism: str, responses: list[bytes]) -> None:
    """A mechanism ends with credentials or fails, and raises nothing else."""
    steps = sasl.start(mechanism, None, NO_DOMAIN)
    next(steps)
    try:
        for response in responses:
            steps.send(response)
    except (Failed, StopIteration):
        pass
