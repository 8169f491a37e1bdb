"""The name of a client's address."""

from __future__ import annotations

import socket

import pytest

from classic import tcpd_child


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([("192.0.2.7", 0)], "client.example"),
        ([("192.0.2.8", 0), ("192.0.2.7", 0)], "client.example"),
        ([("192.0.2.8", 0)], None),
        (socket.gaierror(socket.EAI_NONAME, "none"), None),
        (socket.gaierror(socket.EAI_AGAIN, "later"), "softdnserr"),
    ],
)
def test_name_of_an_address(
    found: list[tuple[str, int]] | OSError, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that leads back to the address counts, no other; who can't tell now says so."""

    def look_up(name: str, *_: object) -> list[tuple[object, ...]]:
        assert name == "client.example"
        if isinstance(found, OSError):
            raise found
        return [(2, 1, 6, "", address) for address in found]

    monkeypatch.setattr(socket, "getnameinfo", lambda address, _: ("client.example", "0"))
    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    assert tcpd_child.host_name("::ffff:192.0.2.7") == expected


def test_address_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(address: object, flags: int) -> tuple[str, str]:
        raise socket.gaierror(socket.EAI_NONAME, "none")

    monkeypatch.setattr(socket, "getnameinfo", fail)

    assert tcpd_child.host_name("2001:db8::1") is None
