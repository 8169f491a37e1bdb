"""courier.process.message: what processes say to each other, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from courier.log import Peer
from courier.process.channel import ChannelClosed
from courier.process.message import (
    MAX_UNREAD,
    Kind,
    LoginRequest,
    Returned,
    SessionRequest,
    environment_of,
    kind_of,
    number_of,
    packed_environment,
    peers_of,
)

LOGIN = LoginRequest(
    number=7,
    service=b"imap",
    authtype=b"login",
    first=b"u@example.com",
    second=b"p\xff w",
    greeting=b"a OK LOGIN Ok.\r\n",
    unread=b"b NOOP\r\n",
    protocol=b"IMAP",
    tls=True,
)
SESSION = SessionRequest(
    number=7,
    address="u\udcff@example.com",
    options="disableimap=0",
    home="/home/\udce9",
    maildir="Maildir",
    peer=Peer("::ffff:192.0.2.1", "52254"),
    greeting=b"a OK LOGIN Ok.\r\n",
    unread=b"b NOOP\r\n",
    protocol="IMAP",
    tls=False,
    environment={"DEFDOMAIN": "@example.com"},
    quota="1000000S,500C",
)


def test_login_request_survives_the_way() -> None:
    """What is sent is what arrives, octets that are no UTF-8 included."""
    assert LoginRequest.of(LOGIN.fields()) == LOGIN
    for changed in (replace(LOGIN, tls=False), replace(LOGIN, takes_back=True)):
        assert LoginRequest.of(changed.fields()) == changed


def test_session_request_survives_the_way() -> None:
    """The same, with names that are no UTF-8."""
    for request in (SESSION, replace(SESSION, may_return=True)):
        assert SessionRequest.of(request.fields()) == request


def test_return_survives_the_way() -> None:
    """As much of what a client had sent as may be."""
    returned = Returned(7, b"\r\n\0\xff" * (MAX_UNREAD // 4))

    assert Returned.of(returned.fields()) == returned


@pytest.mark.parametrize(
    "fields",
    [
        [Kind.RETURNED.value],
        [Kind.RETURNED.value, b"7"],
        [Kind.RETURNED.value, b"x", b""],
        [Kind.RETURNED.value, b"7", b"", b""],
        [Kind.RETURNED.value, b"7", b"x" * (MAX_UNREAD + 1)],
    ],
    ids=["number missing", "octets missing", "no number", "too many fields", "too many octets"],
)
def test_return_that_is_none(fields: list[bytes]) -> None:
    with pytest.raises(ChannelClosed):
        Returned.of(fields)


@pytest.mark.parametrize("fields", [[], [b""], [b"LOGIN"], [b"nonsense", b"1"]])
def test_kind_of_what_is_none(fields: list[bytes]) -> None:
    """Only the kinds of the table are taken, to the letter."""
    with pytest.raises(ChannelClosed):
        kind_of(fields)


@pytest.mark.parametrize(
    "number", [b"", b"-1", b"+1", b" 1", b"1 ", b"1_0", b"0x1", "\u0661".encode(), b"9" * 19]
)
def test_number_that_is_none(number: bytes) -> None:
    """A number is a few decimal digits: no sign, no other script, nothing that costs time."""
    with pytest.raises(ChannelClosed):
        number_of([b"release", number])


def test_number_that_is_missing() -> None:
    """A message without its number is malformed."""
    with pytest.raises(ChannelClosed):
        number_of([b"release"])


@pytest.mark.parametrize("ip", ["::ffff:192.0.2.1", "192.0.2.1", "2001:db8::1"])
def test_peer_by_address(ip: str) -> None:
    """IPv4, IPv6 and the mapped form are taken as they are."""
    peers = peers_of([b"admit", b"1", ip.encode(), b"65535", b"::1", b"143"])
    assert peers == (Peer(ip, "65535"), Peer("::1", "143"))


@pytest.mark.parametrize(
    ("ip", "port"),
    [
        (b"", b"1"),
        (b"localhost", b"1"),
        (b"1.2.3", b"1"),
        (b"192.0.2.1\n", b"1"),
        (b"fe80::1%x\nERR: forged", b"1"),
        (b"\xff", b"1"),
        (b"1" * 70, b"1"),
        (b"192.0.2.1", b""),
        (b"192.0.2.1", b"-1"),
        (b"192.0.2.1", b"123456"),
    ],
)
def test_peer_that_is_none(ip: bytes, port: bytes) -> None:
    """What is no address never reaches the limits, the access file or the log."""
    for addresses in ((ip, port, b"::1", b"143"), (b"::1", b"1", ip, port), (b"::1", b"1")):
        with pytest.raises(ChannelClosed):
            peers_of([b"admit", b"1", *addresses])


@pytest.mark.parametrize("environment", [{}, {"A": ""}, {"A": "1,=\n2", "B": "\udce9"}])
def test_environment_survives_the_way(environment: dict[str, str]) -> None:
    assert environment_of(packed_environment(environment)) == environment


@pytest.mark.parametrize("count", [0, 1, 10, 12])
def test_login_request_of_wrong_length(count: int) -> None:
    """A field too few or too many is malformed."""
    with pytest.raises(ChannelClosed):
        LoginRequest.of((LOGIN.fields() * 2)[:count])


@pytest.mark.parametrize("protocol", [b"", b"IMAP\n", b"imap, user=root", b"A" * 9])
def test_login_request_with_a_forged_protocol(protocol: bytes) -> None:
    """The protocol's name stands in a log line, so it is a word."""
    with pytest.raises(ChannelClosed):
        LoginRequest.of(replace(LOGIN, protocol=protocol).fields())


def test_session_request_of_wrong_length() -> None:
    """A field too few is malformed."""
    with pytest.raises(ChannelClosed):
        SessionRequest.of(SESSION.fields()[:-1])


def test_kinds_differ() -> None:
    """No two kinds of message have the same word."""
    assert len({kind.value for kind in Kind}) == len(list(Kind))
