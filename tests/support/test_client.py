"""The tests' own client: it must neither wait for ever nor misread what it is sent."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.support.client import Client, Closed, Connection, Refused, Response, Silence, parse


@pytest.fixture
def ends() -> Iterator[tuple[Client, socket.socket]]:
    """A client, and the server's end of its connection."""
    ours, theirs = socket.socketpair()
    yield Client(Connection(ours.fileno(), ours.fileno(), patience_s=0.05)), theirs
    ours.close()
    theirs.close()


def test_literals_belong_to_their_response(ends: tuple[Client, socket.socket]) -> None:
    """A response goes on behind a literal, whatever the literal holds."""
    client, server = ends
    server.sendall(b"* 1 FETCH (BODY[] {9}\r\n)\r\nt1 OK\r UID 7)\r\nt1 OK done\r\n")

    reply = client.try_command("FETCH 1 (BODY[] UID)")

    assert reply.numbered("FETCH") == [(1, [[b"BODY[]", b")\r\nt1 OK\r", b"UID", 7]])]
    assert reply.text == "OK done"


def test_silence(ends: tuple[Client, socket.socket]) -> None:
    """A server that says nothing is waited for no longer than agreed."""
    client, server = ends
    server.sendall(b"* half a li")

    with pytest.raises(Silence, match="half a li"):
        client.response()


def test_closed(ends: tuple[Client, socket.socket]) -> None:
    """The end of the stream is an error wherever more was expected."""
    client, server = ends
    server.shutdown(socket.SHUT_WR)

    with pytest.raises(Closed):
        client.response()


@pytest.mark.parametrize("status", [b"NO", b"BAD"])
def test_refusal(ends: tuple[Client, socket.socket], status: bytes) -> None:
    """A command that has to succeed and does not is an error."""
    client, server = ends
    server.sendall(b"t1 %b sorry\r\n" % status)

    with pytest.raises(Refused, match="sorry"):
        client.command("NOOP")


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        (b'* LIST (\\HasChildren) "." "a \\"b\\\\"', [b"*", b"LIST", [b"\\HasChildren"], b".", b'a "b\\']),
        (b"* 3 FETCH (UID 9 X NIL Y ())", [b"*", 3, b"FETCH", [b"UID", 9, b"X", None, b"Y", []]]),
        (b"* X ~{2}\r\n\0\n (BODY[1.MIME]<0> {0}\r\n)", [b"*", b"X", b"\0\n", [b"BODY[1.MIME]<0>", b""]]),
        (b'* 1 FETCH (BODY[HEADER.FIELDS ("a b")] {1}\r\nx)',
         [b"*", 1, b"FETCH", [b'BODY[HEADER.FIELDS ("a b")]', b"x"]]),
    ],
)  # fmt: skip
def test_values(raw: bytes, values: object) -> None:
    """Atoms, numbers, quoted strings, literals, NIL and lists are told apart."""
    assert parse(raw) == values


def test_response_codes(ends: tuple[Client, socket.socket]) -> None:
    """Codes are found in untagged responses and in the completion."""
    client, server = ends
    server.sendall(b"* OK [UIDNEXT 12] Ok\r\nt1 OK [READ-WRITE] Ok\r\n")

    reply = client.command("SELECT INBOX")

    assert reply.code("UIDNEXT") == "12"
    assert reply.code("READ-WRITE") == ""
    assert reply.code("UIDVALIDITY") is None
    assert Response(b"* caf\xe9\r\n").text == "* café"
