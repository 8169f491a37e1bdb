"""Requests on the socket: the exchanges and edge cases captured from Courier's programs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.auth import request
from courier.auth.account import Secret
from courier.auth.request import (
    Authenticate,
    ChangePassword,
    Enumerate,
    Lookup,
    Malformed,
    Reader,
    Refused,
    Request,
)

LOGIN = Authenticate(b"imap", b"login", b"vm1@example.com", Secret(b"secret"))

CAPTURED: list[tuple[bytes, Request]] = [
    (
        b"TCPREMOTEIP=::ffff:127.0.0.1\nAUTH 34\nimap\nlogin\nvm1@example.com\nsecret\n",
        Authenticate(b"imap", b"login", b"vm1@example.com", Secret(b"secret"), b"::ffff:127.0.0.1"),
    ),
    (
        b"TCPREMOTEIP=::ffff:127.0.0.1\nPRE . imap vm1@example.com\n",
        Lookup(b"imap", b"vm1@example.com", remote_ip=b"::ffff:127.0.0.1"),
    ),
    (b"PRE . login nosuch@example.com\n", Lookup(b"login", b"nosuch@example.com")),
    (
        b"PASSWD pop3\tvm1@example.com\tsecret\tnewsys\n",
        ChangePassword(b"pop3", b"vm1@example.com", Secret(b"secret"), Secret(b"newsys")),
    ),
    (b"ENUMERATE\n", Enumerate()),
]

ODD: list[tuple[bytes, Request]] = [
    # Cyrus SASL: one LF more than the length says.
    (b"AUTH 34\nimap\nlogin\nvm1@example.com\nsecret\n\n", LOGIN),
    (b"AUTH 34\r\nimap\nlogin\nvm1@example.com\nsecret\n", LOGIN),
    (b"AUTH    34xyz\nimap\nlogin\nvm1@example.com\nsecret\n", LOGIN),
    (b"AUTH 33\nimap\nlogin\nvm1@example.com\nsecret", LOGIN),
    (b"AUTH 36\nimap\nlogin\n\nvm1@example.com\nsecret\nx", LOGIN),
    (b"AUTH 28\nsmtp\nlogin\nvm1@example.com\n\n\n",
     Authenticate(b"smtp", b"login", b"vm1@example.com", Secret(b""))),
    (b"AUTH 12\nimap\nlogin\n\n", Authenticate(b"imap", b"login", b"", Secret(b""))),
    (b"AUTH 13\n\n\nuser\nsecret", Authenticate(b"", b"", b"user", Secret(b"secret"))),
    (b"PRE   .   imap   alice\n", Lookup(b"imap", b"alice")),
    (b"PRE authpam imap two words \n", Lookup(b"imap", b"two words ", b"authpam")),
    (b"PRE . imap alice\r\n", Lookup(b"imap", b"alice\r")),
    (b"PRE . imap al\0ice\n", Lookup(b"imap", b"al\0ice")),
    (b"PRE . imap a\nPRE . imap b\n", Lookup(b"imap", b"a")),
    (b"FOO=bar\nTCPREMOTEIP=1\nTCPREMOTEIP=2\nPRE . imap a=b\n",
     Lookup(b"imap", b"a=b", remote_ip=b"2")),
    (b"TCPREMOTEIP=" + b"1" * 60 + b"\nENUMERATE\n", Enumerate(b"1" * 39)),
    (b"=\nENUMERATE  what ever\n", Enumerate()),
    (b"PASSWD  s\tu\t\t\tignored\n", ChangePassword(b"s", b"u", Secret(b""), Secret(b""))),
]  # fmt: skip

MALFORMED = [
    b"\n",
    b"HELLO\n",
    b"pre . imap alice\n",
    b"PRE . alice\n",
    b"PRE\n",
    b"PRE . imap \n",
    b"AUTH\n",
    b"AUTH 0\n",
    b"AUTH -5\n",
    b"AUTH x\n",
    b"AUTH 8192\n",
    b"AUTH 99999999999999999999\n",
    b"AUTH 5\nabcde",
    b"AUTH 9\nimap\nlogi",
    b"PASSWD s\tu\to\n",
    b"PASSWD\n",
    b"ENUMERATE\r\n",
    b"x" * 8191,
    b"PRE . imap " + b"x" * 1_000_000,
    b"X=" + b"y" * 8000 + b"\n" + b"X=" + b"y" * 8000 + b"\n" + b"X=" + b"y" * 8000 + b"\n",
]


@pytest.mark.parametrize(("data", "expected"), CAPTURED + ODD)
def test_read(data: bytes, expected: Request) -> None:
    """As a whole, and octet by octet, when nothing is known before the request is whole."""
    assert Reader().feed(data) == expected

    reader = Reader()
    found = [reader.feed(data[i : i + 1]) for i in range(len(data))]
    assert next(one for one in found if one is not None) == expected


@pytest.mark.parametrize("data", MALFORMED)
def test_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        Reader().feed(data)


def test_longest_line_and_payload() -> None:
    userid = b"x" * (request.LONGEST_LINE - len(b"PRE . imap "))
    payload = b"imap\nlogin\nuser\n".ljust(request.LONGEST_PAYLOAD, b"p")

    assert Reader().feed(b"PRE . imap " + userid + b"\n") == Lookup(b"imap", userid)
    found = Reader().feed(b"AUTH 8191\n" + payload)

    assert isinstance(found, Authenticate)
    assert len(found.second.reveal()) == 8191 - len(b"imap\nlogin\nuser\n")


def test_incomplete_needs_more() -> None:
    assert Reader().feed(b"AUTH 34\nimap\nlogin\nvm1@example.com\nsecre") is None
    assert Reader().feed(b"PRE . imap alice") is None


@pytest.mark.parametrize(("data", "value"), CAPTURED)
def test_encode_gives_what_couriers_library_sends(data: bytes, value: Request) -> None:
    assert request.encode(value) == data


NOT_SENT: list[Request] = [
    Lookup(b"imap", b""),
    Lookup(b"imap", b"a\nPRE . imap root"),
    Lookup(b"im ap", b"a"),
    Lookup(b"imap", b"a", remote_ip=b"::1\nENUMERATE"),
    Lookup(b"imap", b"x" * 9000),
    Authenticate(b"imap", b"login", b"user", Secret(b"")),
    Authenticate(b"imap", b"login", b"", Secret(b"secret")),
    Authenticate(b"imap", b"login", b"us\ner", Secret(b"secret")),
    Authenticate(b"imap", b"login", b"user", Secret(b"sec\tret")),
    Authenticate(b"imap", b"login", b"user", Secret(b"sec\0ret")),
    Authenticate(b"imap", b"login\nroot", b"user", Secret(b"secret")),
    ChangePassword(b"imap", b"user", Secret(b"old"), Secret(b"n\tew")),
    ChangePassword(b"im\tap", b"user", Secret(b"old"), Secret(b"new")),
]


@pytest.mark.parametrize("value", NOT_SENT)
def test_nothing_is_sent_that_would_mean_something_else(value: Request) -> None:
    with pytest.raises(Refused):
        request.encode(value)


FIELD = st.binary(min_size=1, max_size=30).filter(lambda text: all(octet > 31 for octet in text))
WORD = FIELD.filter(lambda text: b" " not in text)


@given(service=WORD, userid=FIELD, password=FIELD, cut=st.integers(1, 40))
def test_what_is_encoded_is_read(service: bytes, userid: bytes, password: bytes, cut: int) -> None:
    """Whatever the values are, and however the octets arrive."""
    for value in (
        Authenticate(service, b"login", userid, Secret(password), b"::1"),
        ChangePassword(service, userid, Secret(password), Secret(userid), b"::1"),
    ):
        data = request.encode(value)
        reader = Reader()

        parts = [data[at : at + cut] for at in range(0, len(data), cut)]
        found = [reader.feed(part) for part in parts]

        assert found == [None] * (len(parts) - 1) + [value]


@given(st.binary(max_size=300))
def test_any_octets_are_a_request_or_none(data: bytes) -> None:
    """Nothing but Malformed is ever raised."""
    try:
        Reader().feed(data)
    except Malformed:
        pass
