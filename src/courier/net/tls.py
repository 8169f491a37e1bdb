"""TLS contexts, loaded whole before a login process is locked up: it can open no file later.

Master builds them and forks the login processes. OpenSSL makes the keys of session tickets when a
context is created, so processes forked from one `Contexts` resume each other's sessions, and the
keys change with each generation. There is no session cache: a ticket costs no memory here.

Which certificate a client sees, CERT being TLS_CERTFILE: `CERT.<name>` of the server name it asks
for, with leftmost labels taken off again and again; else `CERT.<address>` of the address it came
to; else CERT. The same endings select a private key file and a chain file. Names that nobody
configured cost nothing: only these files make contexts, and they are looked for once.

A setting or a file that is wrong is a `TlsError`, and so is a wrong file of a single name: a reload
that fails leaves the former generation with its still working certificate.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any, Literal

import OpenSSL
from cryptography import x509
from OpenSSL import SSL, _util, crypto

from courier.net import certificate
from courier.net.certificate import Identity, TlsError
from courier.net.tls_stream import Refusal, TlsStream, Watch

__all__ = ["Contexts", "TlsError", "TlsOptions", "TlsStream", "stamp"]

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

_HOST_NAME = re.compile(r"[^\W_][\w-]*(\.[^\W_][\w-]*)*")
# Leftovers of editors and package managers beside the certificate are no hosts.
_LEFTOVER = re.compile(r"(bak|old|new|orig|tmp|lock|key|csr|.*\.?(dpkg-\w+|ucf-\w+|rpm\w+))")

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


# --- What was loaded ----------------------------------------------------------------------------


class Contexts:
    """Everything that TLS connections of one daemon need, in memory."""

    def __init__(
        self,
        default: SSL.Context,
        by_name: Mapping[str, SSL.Context],
        by_address: Mapping[str, SSL.Context],
        warnings: Sequence[str],
        loaded: "Stamp",
    ) -> None:
        self._default = default
        self._by_name = by_name
        self._by_address = by_address
        self.warnings = tuple(warnings)
        self.stamp = loaded
        for context in (default, *by_address.values()):
            context.set_tlsext_servername_callback(_guarded(self._choose))

    @classmethod
    def load(cls, options: TlsOptions) -> "Contexts":
        """Read all files that ``options`` name.

        Returns:
            The contexts; ``warnings`` has a line for each thing an administrator should look at.

        Raises:
            TlsError: a file or a value can't be used; says which, and what was expected.
        """
        loaded = stamp(options)  # before reading: what changes meanwhile is noticed later
        identities, warnings = _identities(options)
        trusted = _trusted(options)
        contexts = {
            ending: _context(options, identity, trusted) for ending, identity in identities.items()
        }
        return cls(
            contexts[""],
            {_ascii(one): context for one, context in contexts.items() if one and not _ip(one)},
            {_ip(one): context for one, context in contexts.items() if _ip(one)},
            warnings,
            loaded,
        )

    @property
    def names(self) -> frozenset[str]:
        """The server names with a certificate of their own."""
        return frozenset(self._by_name)

    def stream(self, local_address: str) -> TlsStream:
        """Begin TLS on a connection that was accepted on ``local_address``."""
        return TlsStream(self._by_address.get(_ip(local_address), self._default))

    def _choose(self, connection: SSL.Connection) -> None:
        name = connection.get_servername()
        if name is None or not self._by_name:
            return
        # Courier: `/` becomes `.`, and GnuTLS builds take leftmost labels off.
        host = name.decode("ascii").lower().replace("/", ".").rstrip(".")
        while host:
            if (context := self._by_name.get(host)) is not None:
                connection.set_context(context)
                return
            host = host.partition(".")[2]


def _guarded(choose: Callable[[SSL.Connection], None]) -> Callable[[SSL.Connection], None]:
    """Make a server name callback that refuses whatever goes wrong in it.

    Before pyOpenSSL 26 an exception here is printed, and the handshake goes on with the default
    (CVE-2026-27448). The stream looks at its watch before it sends anything.
    """

    def callback(connection: SSL.Connection) -> None:
        try:
            choose(connection)
        except BaseException as error:
            watch: Watch = connection.get_app_data()
            watch.refuse(f"server name: {error!r}")

    return callback


# --- Files --------------------------------------------------------------------------------------

Stamp = frozenset[tuple[str, int, int, int, int]]


def stamp(options: TlsOptions) -> Stamp:
    """Return a value that changes when any file of ``options`` changes, comes or goes."""
    files = [
        file
        for named in (options.certificate, options.private_key, options.chain)
        if named is not None
        for file in (named, *_siblings(named).values())
    ]
    if options.dh_parameters is not None:
        files.append(options.dh_parameters)
    if options.trusted is not None and options.verify != "none":
        files.append(options.trusted)
        if options.trusted.is_dir():
            files += certificate.trusted_files(options.trusted)
    return frozenset(_state(file) for file in files)


def _state(file: Path) -> tuple[str, int, int, int, int]:
    try:
        found = file.stat()
    except OSError:
        return (str(file), 0, 0, 0, 0)
    return (str(file), found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _siblings(named: Path) -> dict[str, Path]:
    """Return the files of single hosts and addresses beside ``named``, by their ending."""
    start = named.name + "."
    try:
        names = [one.name for one in named.parent.iterdir() if one.name.startswith(start)]
    except OSError:
        return {}  # the file itself can't be read either, and is complained of
    return {
        ending.lower(): named.parent / (start + ending)
        for ending in (name[len(start) :] for name in sorted(names))
        if (_HOST_NAME.fullmatch(ending) and not _LEFTOVER.fullmatch(ending)) or _ip(ending)
    }


def _identities(options: TlsOptions) -> tuple[dict[str, Identity], list[str]]:
    """Load the default certificate, under the empty ending, and the others."""
    default = certificate.load_identity(options.certificate, options.private_key, options.chain)
    if default is None:
        raise TlsError(f"{options.certificate}: expected a certificate in PEM, found none")
    identities = {"": default}
    warnings = []

    keys = _siblings(options.private_key) if options.private_key else {}
    chains = _siblings(options.chain) if options.chain else {}
    for ending, file in _siblings(options.certificate).items():
        key = keys.get(ending)
        if key is None and not certificate.has_private_key(file):
            key = options.private_key
        identity = certificate.load_identity(file, key, chains.get(ending))
        if identity is None:
            warnings.append(f"{file}: ignored: expected a certificate in PEM, found none")
        else:
            identities[ending] = identity

    now = datetime.now(UTC)
    warnings += [text for one in identities.values() if (text := one.warning(now))]
    return identities, warnings


def _trusted(options: TlsOptions) -> tuple[x509.Certificate, ...]:
    if options.verify == "none":
        return ()  # Debian's default is a bundle of 140, of no use then
    if options.trusted is None:
        raise TlsError("TLS_VERIFYPEER: expected TLS_TRUSTCERTS with it, found none")
    return certificate.load_trusted(options.trusted)


def _ip(text: str) -> str:
    """Return an address in its one form, IPv4 in IPv6 as IPv4; empty for anything else."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)


def _ascii(host: str) -> str:
    """Return a host name as clients send it: `bücher.example` as `xn--bcher-kva.example`."""
    try:
        return host.lower().encode("idna").decode("ascii")
    except UnicodeError:
        return host.lower()


# --- A context ----------------------------------------------------------------------------------


def _context(
    options: TlsOptions, identity: Identity, trusted: Sequence[x509.Certificate]
) -> SSL.Context:
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
