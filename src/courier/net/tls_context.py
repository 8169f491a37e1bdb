"""One TLS context: what the settings say about TLS, put into OpenSSL's terms."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import OpenSSL
from cryptography import x509
from OpenSSL import SSL, _util, crypto

from courier.net import certificate
from courier.net.certificate import Identity, TlsError
from courier.net.tls_stream import Refusal, Watch

Version = Literal["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]

# Forward secrecy and authenticated encryption first, CBC last for what is older.
CIPHERS = (
    "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:DHE+AES"
    ":!aNULL:!eNULL:!aDSS:!PSK:!SRP:!AESCCM"
)
# For whoever asks for TLS 1.0 or 1.1. OpenSSL 3 signs their handshakes at security level 0 alone.
OLD_CIPHERS = f"{CIPHERS}:kRSA+AES"
OLD_LEVEL = "@SECLEVEL=0"

_VERSIONS: Mapping[Version, int] = {
    "TLSv1": SSL.TLS1_VERSION,
    "TLSv1.1": SSL.TLS1_1_VERSION,
    "TLSv1.2": SSL.TLS1_2_VERSION,
    "TLSv1.3": SSL.TLS1_3_VERSION,
}
_VERIFY = {
    "none": SSL.VERIFY_NONE,
    "peer": SSL.VERIFY_PEER,
    "require": SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
}
# X509_verify_cert_error_string is not offered by pyOpenSSL; these are what clients' mistakes give.
_VERIFY_ERRORS = {
    9: "is not yet valid",
    10: "has expired",
    18: "is self-signed",
    26: "is not meant for clients",
}
_ACCEPT_MOVING_WRITE_BUFFER = 2  # SSL_MODE_...: without a name before pyOpenSSL 25.2

# pyOpenSSL 24.3 began to take cryptography's objects, and to warn of its own.
_TAKES_CRYPTOGRAPHY = tuple(int(part) for part in OpenSSL.__version__.split(".")[:2]) >= (24, 3)


@dataclass(frozen=True, kw_only=True)
class TlsOptions:
    """What the settings say about TLS.

    ``private_key``, ``chain``: None where ``certificate`` holds them. ``dh_parameters``: None, or
    where the file is missing, if ``certificate`` may hold them. ``trusted``: file or folder.
    ``resumption``: whether clients get session tickets. ``alpn``: empty to leave it unhandled.

    Renegotiation and compression are never allowed; there are no settings for them.
    """

    certificate: Path
    private_key: Path | None = None
    chain: Path | None = None
    dh_parameters: Path | None = None
    trusted: Path | None = None
    verify: Literal["none", "peer", "require"] = "none"
    minimum_version: Version = "TLSv1.2"
    server_preference: bool = False
    ciphers: str | None = None
    ciphersuites: str | None = None
    alpn: tuple[str, ...] = ()
    session_timeout_s: int | None = None
    resumption: bool = True


def build(
    options: TlsOptions, identity: Identity, trusted: Sequence[x509.Certificate]
) -> SSL.Context:
    """Make the context that shows ``identity`` and believes what ``trusted`` have signed.

    Raises:
        TlsError: OpenSSL refuses something; says what.
    """
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS | _ACCEPT_MOVING_WRITE_BUFFER)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    if options.server_preference:
        context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_min_proto_version(_VERSIONS[options.minimum_version])
    # The security level comes before what is measured by it. (This call makes a connection to try
    # the list, up to pyOpenSSL 25.1; then those versions warn of every later change, for nothing.)
    _set_ciphers(context, options)
    _set_identity(context, identity)
    _set_dh(context, options, identity)
    _set_sessions(context, options)
    if options.verify != "none":
        _set_verification(context, options, trusted)
    if options.alpn:
        context.set_alpn_select_callback(_alpn(options.alpn))
    context.set_app_data(identity.end_point())
    return context


def _set_ciphers(context: SSL.Context, options: TlsOptions) -> None:
    is_old = options.minimum_version in ("TLSv1", "TLSv1.1")
    ciphers = options.ciphers or (OLD_CIPHERS if is_old else CIPHERS)
    if is_old and "@SECLEVEL" not in ciphers:
        ciphers = f"{ciphers}:{OLD_LEVEL}"
    try:
        context.set_cipher_list(ciphers.encode())
    except SSL.Error as error:
        raise TlsError(
            f"TLS_CIPHER_LIST: expected an OpenSSL cipher list, found {options.ciphers!r}"
        ) from error
    if options.ciphersuites:
        try:
            _set_ciphersuites(context, options.ciphersuites.encode())
        except SSL.Error as error:
            raise TlsError(
                f"expected TLS 1.3 cipher suites, found {options.ciphersuites!r}"
            ) from error


def _set_ciphersuites(context: SSL.Context, suites: bytes) -> None:
    if hasattr(context, "set_tls13_ciphersuites"):  # pyOpenSSL 25.2
        context.set_tls13_ciphersuites(suites)
    else:
        library: Any = _util.lib  # the binding behind pyOpenSSL, which has no method for it
        if library.SSL_CTX_set_ciphersuites(context._context, suites) != 1:
            raise SSL.Error


def _set_identity(context: SSL.Context, identity: Identity) -> None:
    try:
        context.use_certificate(_native(identity.certificate))
        for one in identity.chain:
            context.add_extra_chain_cert(_native(one))
        key = identity.key
        context.use_privatekey(
            key if _TAKES_CRYPTOGRAPHY else crypto.PKey.from_cryptography_key(key)
        )
        context.check_privatekey()
    except SSL.Error as error:
        raise TlsError(f"{identity.file}: OpenSSL refuses it: {_reasons(error)}") from error


def _set_dh(context: SSL.Context, options: TlsOptions, identity: Identity) -> None:
    """Without parameters there is no DHE before TLS 1.3; ECDHE needs none."""
    file = identity.dh_file
    if options.dh_parameters is not None and options.dh_parameters.exists():
        file = certificate.dh_file(options.dh_parameters)
    if file is not None:
        try:
            context.load_tmp_dh(bytes(file))
        except SSL.Error as error:
            raise TlsError(
                f"{file}: expected DH parameters of 2048 bits or more: {_reasons(error)}"
            ) from error


def _set_sessions(context: SSL.Context, options: TlsOptions) -> None:
    # Without an id context servers that ask for client certificates fail at resumption.
    context.set_session_id(b"pycourier")
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if not options.resumption:
        context.set_options(SSL.OP_NO_TICKET)
    if options.session_timeout_s is not None:
        context.set_timeout(options.session_timeout_s)


def _set_verification(
    context: SSL.Context, options: TlsOptions, trusted: Sequence[x509.Certificate]
) -> None:
    store = context.get_cert_store()
    assert store is not None
    for authority in trusted:
        store.add_cert(crypto.X509.from_cryptography(authority))
        context.add_client_ca(_native(authority))
    context.set_verify(_VERIFY[options.verify], _verified)


def _verified(
    connection: SSL.Connection, _certificate: crypto.X509, error: int, _depth: int, is_good: int
) -> bool:
    if not is_good:
        watch: Watch = connection.get_app_data()
        # Courier: these words, for whatever is wrong.
        watch.verify_error = "Peer's certificate " + _VERIFY_ERRORS.get(
            error, "not signed by a trusted authority"
        )
    return bool(is_good)


def _alpn(names: tuple[str, ...]) -> Callable[[SSL.Connection, list[bytes]], bytes]:
    """Make a callback that takes the first of our names that the client offers (RFC 7301 3.2).

    It isn't called for a client that offers none. Any exception in it refuses the client, in all
    versions of pyOpenSSL; its NO_OVERLAPPING_PROTOCOLS would accept.
    """
    ours = [name.encode() for name in names]

    def select(_connection: SSL.Connection, offered: list[bytes]) -> bytes:
        for name in ours:
            if name in offered:
                return name
        raise Refusal("no application protocol (ALPN) in common")

    return select


def _native(one: x509.Certificate) -> x509.Certificate | crypto.X509:
    return one if _TAKES_CRYPTOGRAPHY else crypto.X509.from_cryptography(one)


def _reasons(error: SSL.Error) -> str:
    reasons = error.args[0] if error.args else ()
    return "; ".join(entry[-1] for entry in reasons) or "unknown"
