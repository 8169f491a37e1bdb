"""Our end of couriertls's connection: what the TLS_* variables make of it, and what it tells of the other."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping

from cryptography import x509

from classic.tls_options import Options
from classic.words import Wrong
from courier import tls_settings
from courier.net import certificate, tls_client
from courier.net.tls import Contexts, TlsError
from courier.net.tls_client import TlsClient
from courier.net.tls_stream import TlsStream
from courier.settings import SettingsError
from courier.tls_settings import DEFAULT_PROTOCOL, TlsSettings

TlsEnd = TlsStream | TlsClient

_TIME = "%Y-%m-%d %H:%M:%S"


class Maker:
    """All that is read from files, with the rights of the beginning."""

    def __init__(self, options: Options, environ: Mapping[str, str]) -> None:
        """Raises Wrong: a variable or a file can't be used."""
        self._options = options
        try:
            settings = tls_settings.from_environment(environ)
            if options.is_server:
                self._contexts = _server(settings)
            else:
                self._context = _client(settings, options)
        except SettingsError as error:
            raise Wrong(str(error)) from error
        except TlsError as error:
            raise Wrong(f"couriertls: {error}") from error
        except OSError as error:  # also ssl's
            raise Wrong(f"couriertls: {error.filename or 'TLS'}: {error.strerror}") from error

    def make(self, local_ip: str) -> TlsEnd:
        """Begin TLS on a connection that has this address here."""
        if self._options.is_server:
            return self._contexts.stream(local_ip)
        return TlsClient(self._context, self._options.verify or self._options.host or None)

    @property
    def verifies(self) -> bool:
        """Whether the other end's certificate, if there is one, is known to be good."""
        return self._options.is_server or self._context.verify_mode != ssl.CERT_NONE


def _server(settings: TlsSettings) -> Contexts:
    wanted = settings.options(starttls=False)
    if wanted is None:
        raise Wrong("couriertls: TLS_CERTFILE not set")
    return Contexts.load(wanted)


def _client(settings: TlsSettings, options: Options) -> ssl.SSLContext:
    if options.verify and settings.trusted is None:
        raise Wrong("TLS_TRUSTCERTS not set")
    if settings.verify == "none" and not options.verify:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.trusted is not None:
        context = tls_client.context(settings.trusted)
        context.check_hostname = bool(options.verify)
    else:  # Courier: nobody is trusted
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
    protocol = settings.protocol or DEFAULT_PROTOCOL
    context.minimum_version = ssl.TLSVersion[protocol.minimum.replace(".", "_")]
    if settings.ciphers:
        context.set_ciphers(settings.ciphers)
    if settings.alpn:
        context.set_alpn_protocols(settings.alpn)
    if settings.certificate is not None:
        context.load_cert_chain(settings.certificate, settings.private_key)
    return context


# --- What is told of the other end ----------------------------------------------------------------


def variables(end: TlsEnd, *, verified: bool) -> dict[str, str]:
    """Give what the program learns: TLS_CONNECTED_PROTOCOL, and the subject of a good certificate."""
    one = end.certificate() if verified else None
    subject = {} if one is None else certificate.subject(one)
    return {
        "TLS_CONNECTED_PROTOCOL": end.protocol,
        **{f"TLS_SUBJECT_{name}": value for name, value in subject.items()},
    }


def description(end: TlsEnd) -> str:
    """Describe the other end's certificate, if it has one, and the encryption."""
    one = end.certificate()
    lines = [] if one is None else list(_certificate(one))
    version, bits, cipher = end.protocol.split(",", 2)
    lines += [f"Version: {version}", f"Bits: {bits.removesuffix('bits')}", f"Cipher: {cipher}"]
    return "".join(f"{line}\n" for line in lines)


def _certificate(one: x509.Certificate) -> Iterator[str]:
    yield "Subject:"
    for name, value in certificate.subject(one).items():
        yield f"   {name.lower()}={value}"
    yield ""
    for host in _hosts(one):
        yield f"Subject-Alt-Name-DNS: {host}"
    yield f"Not-Before: {one.not_valid_before:{_TIME}}"
    yield f"Not-After: {one.not_valid_after:{_TIME}}"


def _hosts(one: x509.Certificate) -> list[str]:
    try:
        names = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = names.get_values_for_type(x509.DNSName)
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [host for host in found if host.isprintable()]


def who(environ: Mapping[str, str]) -> str:
    """Begin a line of the log: whose connection it is, where that is known."""
    ip = environ.get("TCPREMOTEIP", "")
    return f"ip=[{ip}], " if ip and ip.isprintable() else ""
