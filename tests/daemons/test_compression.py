"""COMPRESS=DEFLATE through the daemons: the session deflates, TLS lies outside of it (RFC 4978 3)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import pytest

from tests.support.daemon import Daemon, Peer, Site


class Compressed:
    """A logged-in client's end of a compressed connection."""

    def __init__(self, client: Peer) -> None:
        assert client.command("COMPRESS DEFLATE")[-1].split()[1] == b"OK"
        self._client = client
        self._deflating = zlib.compressobj(wbits=-15)
        self._inflating = zlib.decompressobj(wbits=-15)
        self._input = b""

    def send(self, text: bytes) -> None:
        self._client.send(self._deflating.compress(text) + self._deflating.flush(zlib.Z_SYNC_FLUSH))

    def until(self, end: bytes) -> bytes:
        """Read until what came ends so."""
        while not self._input.endswith(end):
            data = self._client.socket.recv(65_536)
            assert data, self._input
            self._input += self._inflating.decompress(data)
        taken, self._input = self._input, b""
        return taken


@pytest.fixture(params=["plain", "STARTTLS", "imapd-ssl"])
def client(request: pytest.FixtureRequest, imapd: Daemon, site: Site) -> Iterator[Peer]:
    daemon = site.start("imapd-ssl") if request.param == "imapd-ssl" else imapd
    with daemon.connect() as peer:
        if request.param == "STARTTLS":
            peer.start_tls()
        peer.log_in()
        yield peer


def test_session(client: Peer) -> None:
    """A large message in, out again, and the end of the connection."""
    message = b"Subject: a\r\n\r\n" + b"A line of text.\r\n" * 40_000
    compressed = Compressed(client)

    compressed.send(b"a APPEND INBOX {%d+}\r\n%b\r\nb SELECT INBOX\r\n" % (len(message), message))
    assert b"a OK [APPENDUID" in compressed.until(b"b OK [READ-WRITE] Ok\r\n")
    compressed.send(b"c FETCH 1 BODY[]\r\n")
    assert message in compressed.until(b"c OK FETCH completed.\r\n")
    compressed.send(b"d LOGOUT\r\n")
    assert compressed.until(b"d OK LOGOUT completed\r\n").startswith(b"* BYE ")
    assert client.rest() == b""
