"""One TLS connection of a server, without I/O: ciphertext in, plaintext out, and the other way.

    plaintext = stream.feed(data)           # whatever recv() gave
    sock.sendall(stream.pending_output())   # always, even after a failure: it holds the alert

STARTTLS: make a new stream, and throw away every octet that came behind the STARTTLS line before
the first octet is fed. Nothing a client said before the handshake survives it (RFC 9051 6.2.1).

A stream is made for being idle in thousands: OpenSSL gives its buffers back
(SSL_MODE_RELEASE_BUFFERS) and its memory BIOs, which never shrink, are never given much at once.
"""

import re

from cryptography import x509
from OpenSSL import SSL

from courier.net import certificate

# A memory BIO keeps the size of the most it ever held.
_SLICE = 4096
_RECORD = 16384 + 2048

# A fatal internal_error(80) alert in the clear (RFC 8446 6): nothing is encrypted yet when it goes.
_INTERNAL_ERROR = b"\x15\x03\x03\x00\x02\x02\x50"

_ALERT = re.compile(r"(?:ssl|tls)v?[0-9]* alert (.+)")

# What versions of OpenSSL put before or behind the entry that says what happened.
_OF_NO_NEWS = {"cipher operation failed", "record layer failure"}


class Refusal(Exception):
    """A callback refuses the client."""


class Watch:
    """What callbacks found out during a handshake.

    It belongs to the connection, and doesn't point back: no cycle keeps a closed one in memory.
    """

    __slots__ = ("refusal", "verify_error")

    def __init__(self) -> None:
        self.refusal: str | None = None
        self.verify_error: str | None = None

    def refuse(self, reason: str) -> None:
        self.refusal = reason


class TlsStream:
    """The server's side of one connection, from the first octet of the handshake on.

    ``failure`` is one line for the log once TLS has failed, in the handshake or later: then there
    is an alert to send, and nothing more to feed. ``is_truncated``: the peer went away without
    saying so, and what it sent may be incomplete.
    """

    __slots__ = (
        "_connection",
        "_output",
        "_watch",
        "failure",
        "is_closed_by_peer",
        "is_established",
        "is_truncated",
    )

    def __init__(self, context: SSL.Context) -> None:
        self._watch = Watch()
        self._connection = SSL.Connection(context, None)
        self._connection.set_app_data(self._watch)
        self._connection.set_accept_state()
        self._output: list[bytes] = []
        self.is_established = False
        self.is_closed_by_peer = False
        self.is_truncated = False
        self.failure: str | None = None

    # --- Octets ---------------------------------------------------------------------------------

    def feed(self, ciphertext: bytes) -> bytes:
        """Take what the peer sent, and return what it said. Look at ``failure`` afterwards."""
        said: list[bytes] = []
        view = memoryview(ciphertext)
        for start in range(0, len(view), _SLICE):
            if self.failure is not None or self.is_closed_by_peer:
                break
            self._connection.bio_write(bytes(view[start : start + _SLICE]))
            if self.is_established or self._handshake():
                self._read(said)
        return b"".join(said)

    def feed_eof(self) -> None:
        """Take that the peer's side of the transport has ended."""
        if self.is_closed_by_peer or self.failure is not None:
            return
        self.is_truncated = True
        if not self.is_established:
            self.failure = "connection closed during the TLS handshake"

    def write(self, plaintext: bytes | memoryview) -> None:
        """Encrypt ``plaintext`` into the pending output.

        Raises:
            RuntimeError: the handshake is not complete.
        """
        if not self.is_established:
            raise RuntimeError("write before the end of the TLS handshake")
        view = memoryview(plaintext)
        while len(view) and self.failure is None:
            try:
                # Neither a memory BIO nor, without renegotiation, the protocol makes this wait.
                sent = self._connection.send(bytes(view[:_SLICE]))
            except SSL.Error as error:
                self._fail(_text(error))
            else:
                view = view[sent:]
                self._collect()

    def pending_output(self) -> bytes:
        """Take the octets that have to be sent to the peer."""
        output = b"".join(self._output)
        self._output.clear()
        return output

    def close(self) -> None:
        """Say close_notify; it is in the pending output then."""
        if not self.is_established or self.failure is not None:
            return
        try:
            self._connection.shutdown()
        except SSL.Error:
            pass  # the peer failed in between: nothing is left to say
        self._collect()

    def _handshake(self) -> bool:
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            is_complete = False
        except Refusal as refusal:
            self._fail(str(refusal))
            return False
        except SSL.Error as error:
            self._fail(self._watch.verify_error or _text(error))
            return False
        else:
            is_complete = True

        if self._watch.refusal is not None:
            # Whatever OpenSSL answered shows a certificate that was not chosen: it is not sent.
            self._fail(self._watch.refusal)
            self._output[:] = [_INTERNAL_ERROR]
            return False
        self._collect()
        self.is_established = is_complete
        return is_complete

    def _read(self, said: list[bytes]) -> None:
        try:
            while True:
                said.append(self._connection.recv(_RECORD))
        except SSL.WantReadError:
            self._collect()
        except SSL.ZeroReturnError:
            self.is_closed_by_peer = True
        except SSL.Error as error:
            self._fail(_text(error))

    def _collect(self) -> None:
        try:
            while len(octets := self._connection.bio_read(_RECORD)):
                self._output.append(octets)
                if len(octets) < _RECORD:
                    return
        except SSL.WantReadError:
            pass

    def _fail(self, reason: str) -> None:
        self.failure = reason
        self._collect()  # the alert

    # --- What was agreed ------------------------------------------------------------------------

    @property
    def protocol(self) -> str:
        """Version, strength, cipher: `TLSv1.3,256bits,TLS_AES_256_GCM_SHA384`.

        Courier: TLS_CONNECTED_PROTOCOL.
        """
        connection = self._connection
        version = connection.get_protocol_version_name()
        return f"{version},{connection.get_cipher_bits()}bits,{connection.get_cipher_name()}"

    @property
    def alpn(self) -> str:
        """The application protocol agreed on, or nothing."""
        return str(self._connection.get_alpn_proto_negotiated(), "ascii", "replace")

    def subject(self) -> dict[str, str]:
        """Return the subject of the client's certificate: `EMAILADDRESS`, `CN`, ...

        Empty without one. There is never an unverified one: it ends the handshake.
        """
        one = self.certificate()
        return {} if one is None else certificate.subject(one)

    def certificate(self) -> x509.Certificate | None:
        """The client's certificate."""
        if not self.is_established or (peer := self._connection.get_peer_certificate()) is None:
            return None
        found: x509.Certificate = peer.to_cryptography()
        return found

    def channel_binding(self, kind: str) -> bytes | None:
        """Return the octets of a channel binding; None where this connection has none.

        `tls-exporter` is given for TLS 1.3 alone: before, it is sound only with an extension
        (extended master secret) of which OpenSSL's binding tells nothing (RFC 9266 4.2).
        """
        if kind == "tls-server-end-point":  # RFC 5929 4
            end_point: bytes | None = self._connection.get_context().get_app_data()
            return end_point
        if kind == "tls-exporter" and self._connection.get_protocol_version() >= SSL.TLS1_3_VERSION:
            exported: bytes = self._connection.export_keying_material(
                b"EXPORTER-Channel-Binding", 32, b""
            )
            return exported
        return None


def _text(error: SSL.Error) -> str:
    """Say in a few words what OpenSSL says in several entries."""
    if isinstance(error, SSL.ZeroReturnError):
        return "the peer closed TLS during the handshake"
    if isinstance(error, SSL.SysCallError) or not error.args:
        return "unexpected end of the TLS connection"
    said = [str(entry[-1]) for entry in error.args[0]]
    reasons = [one for one in said if one not in _OF_NO_NEWS] or said or ["unknown TLS error"]
    match = _ALERT.fullmatch(reasons[-1])
    return f"the peer's alert: {match[1]}" if match else reasons[-1]
