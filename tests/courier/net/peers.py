"""TLS clients against a `TlsStream`, all in memory."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from courier.net.tls_stream import TlsStream


def client_context(
    *, trusted: bytes | None = None, configure: Callable[[ssl.SSLContext], None] | None = None
) -> ssl.SSLContext:
    """A client that believes everything, or what ``trusted``, a certificate in PEM, has signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trusted is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(cadata=trusted.decode())
    if configure is not None:
        configure(context)
    return context


class Client:
    """Python's ssl as the client of a stream; octets go back and forth until nobody says more."""

    def __init__(
        self,
        stream: TlsStream,
        context: ssl.SSLContext | None = None,
        name: str | None = None,
        session: ssl.SSLSession | None = None,
        chunk: int = 1 << 20,
    ) -> None:
        self.stream = stream
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = (context or client_context()).wrap_bio(
            self.incoming, self.outgoing, server_hostname=name, session=session
        )
        self.chunk = chunk
        self.heard = b""  # by the server
        self.wire = b""  # all the server sent
        self.error: ssl.SSLError | None = None

    def exchange(self) -> None:
        """Carry octets both ways until there are no more."""
        while self._carry_up() | self._carry_down():
            pass

    def handshake(self) -> Client:
        for _ in range(20):
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                self.error = error
                self.exchange()
                return self
            else:
                self.exchange()
                return self
            self.exchange()
            if self.stream.failure and not self.incoming.pending:
                return self
        raise AssertionError("the handshake makes no progress")

    def read(self, size: int = 1 << 20) -> bytes:
        """All that the server said to the client so far."""
        parts = []
        try:
            while part := self.tls.read(size):
                parts.append(part)
        except ssl.SSLWantReadError:
            pass
        return b"".join(parts)

    def say(self, plaintext: bytes) -> bytes:
        """Send, and return what the server heard."""
        self.tls.write(plaintext)
        before = len(self.heard)
        self.exchange()
        return self.heard[before:]

    def _carry_up(self) -> bool:
        sent = self.outgoing.read()
        for start in range(0, len(sent), self.chunk):
            self.heard += self.stream.feed(sent[start : start + self.chunk])
        return bool(sent)

    def _carry_down(self) -> bool:
        answer = self.stream.pending_output()
        self.incoming.write(answer)
        self.wire += answer
        return bool(answer)
