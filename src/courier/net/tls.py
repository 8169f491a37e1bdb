"""All TLS contexts of a daemon, loaded whole before a login process is locked up without files.

Each login process loads its own. OpenSSL makes the keys of session tickets when a context is
created, and pyOpenSSL can't share them: a client that comes back to another login process, or to a
later generation, makes a full handshake. There is no session cache: a ticket costs no memory here.

Which certificate a client sees, CERT being TLS_CERTFILE: `CERT.<name>` of the server name it asks
for, with leftmost labels taken off again and again; else `CERT.<address>` of the address it came
to; else CERT. The same endings select a private key file and a chain file. Names that nobody
configured cost nothing: only these files make contexts, and they are looked for once.

A setting or a file that is wrong is a `TlsError`, and so is a wrong file of a single name: a reload
that fails leaves the former generation with its still working certificate.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from cryptography import x509
from OpenSSL import SSL

from courier.net import certificate, tls_context
from courier.net.certificate import Identity, TlsError
from courier.net.tls_context import TlsOptions
from courier.net.tls_stream import TlsStream, Watch

__all__ = ["Contexts", "Stamp", "TlsError", "TlsOptions", "TlsStream", "stamp"]

_HOST_NAME = re.compile(r"[^\W_][\w-]*(\.[^\W_][\w-]*)*")
# Leftovers of editors and package managers beside the certificate are no hosts.
_LEFTOVER = re.compile(r"(bak|old|new|orig|tmp|lock|key|csr|.*\.?(dpkg-\w+|ucf-\w+|rpm\w+))")

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
            ending: tls_context.build(options, identity, trusted)
            for ending, identity in identities.items()
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
        names = [
            one.name
            for one in named.parent.iterdir()
            if one.name.startswith(start) and not one.is_dir()
        ]
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
