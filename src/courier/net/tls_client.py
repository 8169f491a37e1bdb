"""One TLS connection to another host, without I/O: ciphertext in, plaintext out, and the other way.

The client's side, with the standard library's `ssl`: it checks that the certificate is the host's,
which pyOpenSSL, made for servers here (`tls_stream`), leaves to its user.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from cryptography import x509

_PIECE = 65_536


def context(trusted: Path | None) -> ssl.SSLContext:
    """Trust the certificates in a file or a hashed directory; None: those that the system trusts.

    Raises:
        OSError: they can't be read, or are none.
    """
    if trusted is None:
        return ssl.create_default_context()
    if trusted.is_dir():
        return ssl.create_default_context(capath=str(trusted))
    return ssl.create_default_context(cafile=str(trusted))


class TlsClient:
    """``failure`` is set once TLS has failed: then there is nothing more to feed."""

    def __init__(self, context: ssl.SSLContext, host: str | None) -> None:
        """Begin the handshake: there is output pending.

        Args:
            host: whom the certificate must name, if ``context`` has names checked.
        """
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self.is_established = False
        self.is_closed_by_peer = False
        self.failure: str | None = None
        self._handshake()

    def feed(self, ciphertext: bytes) -> bytes:
        """Take what the host sent, and return what it said. Look at ``failure`` afterwards."""
        self._incoming.write(ciphertext)
        if not self.is_established:
            self._handshake()
        said = bytearray()
        while self.is_established and self.failure is None and not self.is_closed_by_peer:
            try:
                data = self._tls.read(_PIECE)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                data = b""
            except ssl.SSLError as error:
                self._fail(error)
                break
            self.is_closed_by_peer = not data
            said += data
        return bytes(said)

    def write(self, plaintext: bytes) -> None:
        """Encrypt ``plaintext`` into the pending output. Only when ``is_established``."""
        rest = memoryview(plaintext)
        while rest and self.failure is None:
            try:
                rest = rest[self._tls.write(rest) :]
            except ssl.SSLError as error:
                self._fail(error)

    def close(self) -> None:
        """Say close_notify; it is in the pending output then."""
        if self.is_established and self.failure is None:
            try:
                self._tls.unwrap()
            except (ssl.SSLError, OSError):
                pass  # its own goodbye is not waited for

    def feed_eof(self) -> None:
        """Take that the host's side of the transport has ended."""
        if not self.is_established and self.failure is None:
            self.failure = "connection closed during the TLS handshake"

    @property
    def protocol(self) -> str:
        """Version, strength, cipher, as `tls_stream` has it."""
        name, _, bits = self._tls.cipher() or ("", "", 0)
        return f"{self._tls.version()},{bits}bits,{name}"

    def certificate(self) -> x509.Certificate | None:
        """The host's certificate, verified or not."""
        der = self._tls.getpeercert(binary_form=True)
        return None if der is None else x509.load_der_x509_certificate(der)

    def pending_output(self) -> bytes:
        """Take the octets that have to be sent to the host."""
        return self._outgoing.read()

    def _handshake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            self._fail(error)
        else:
            self.is_established = True

    def _fail(self, error: ssl.SSLError) -> None:
        if isinstance(error, ssl.SSLCertVerificationError):
            self.failure = error.verify_message
        else:
            self.failure = error.reason or str(error)
