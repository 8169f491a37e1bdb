"""The TLS_* settings, which stand in `imapd-ssl` and `pop3d-ssl` alike."""

# ruff: noqa: RUF009  a call per field is how this table is written

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from courier import setting_reader as read
from courier.setting_reader import Expected
from courier.settings import setting, values
from courier.shell import Assignment, Origin

if TYPE_CHECKING:  # OpenSSL is loaded where it is needed, and not for a session from a shell
    from courier.net.tls_context import TlsOptions, Version

Verify = Literal["none", "peer", "require"]


@dataclass(frozen=True, slots=True)
class Protocol:
    """The oldest version of TLS that is spoken, and whose order of ciphers counts."""

    minimum: Version
    server_preference: bool = False


# RFC 9325 3.1.1: TLS 1.0 and 1.1 MUST NOT be negotiated. Courier: TLSv1, if nothing is set.
DEFAULT_PROTOCOL = Protocol("TLSv1.2", server_preference=True)

# Courier: "TLSv1.2+" is "TLSv1.2"; ++ forbids renegotiation, which is never allowed here, and with
# TLSv1.2++ the server's order counts.
_VERSIONS: dict[str, Version] = {
    "TLSv1": "TLSv1",
    "TLS1": "TLSv1",
    "TLSv1.1": "TLSv1.1",
    "TLSv1.2": "TLSv1.2",
    "TLSv1.3": "TLSv1.3",
}
OLD_PROTOCOLS = frozenset({"SSL2", "SSL3", "SSL23", "SSLv2", "SSLv3", "SSLv23"})


def _protocol(text: str) -> Protocol | None:
    """A version of TLS; None if there is nothing, or a name from before TLS."""
    text = text.strip()
    if not text or text in OLD_PROTOCOLS:
        return None
    match = re.fullmatch(r"([^+]*)(\+{0,2})", text)
    if match is None or match[1] not in _VERSIONS:
        raise Expected("TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3, perhaps with ++")
    version = _VERSIONS[match[1]]
    return Protocol(version, match[2] == "++" and version in ("TLSv1.2", "TLSv1.3"))


def _verify(text: str) -> Verify:
    """By the first letter."""
    found: dict[str, Verify] = {"N": "none", "P": "peer", "R": "require"}
    if text[:1].upper() not in found:
        raise Expected("NONE, PEER or REQUIREPEER")
    return found[text[:1].upper()]


def _alpn(text: str) -> tuple[str, ...]:
    """Names separated by commas or blanks; words with @ are GnuTLS's, and skipped."""
    names = tuple(word for word in re.split(r"[,\s]+", text) if word and not word.startswith("@"))
    if not all(re.fullmatch(r"[!-~]{1,255}", name) for name in names):
        raise Expected("names of protocols separated by commas")
    return names


def _timeout(text: str) -> int | None:
    return read.atoi(text) or None


@dataclass(frozen=True, kw_only=True)
class TlsSettings:
    """One line for each setting, in the order of `conf/imapd-ssl.dist`."""

    priority: str | None = setting("TLS_PRIORITY", read.text_or_none, unset=None, by_daemon=True)
    protocol: Protocol | None = setting("TLS_PROTOCOL", _protocol, unset=None, by_daemon=True)
    ciphers: str | None = setting("TLS_CIPHER_LIST", read.text_or_none, unset=None, by_daemon=True)
    starttls_protocol: Protocol | None = setting(
        "TLS_STARTTLS_PROTOCOL", _protocol, unset=None, by_daemon=True
    )
    min_dh_bits: int = setting("TLS_MIN_DH_BITS", read.atoi, unset=0, by_daemon=True)
    timeout_s: int | None = setting("TLS_TIMEOUT", _timeout, unset=None, by_daemon=True)
    certificate: Path | None = setting(
        "TLS_CERTFILE", read.absolute_path_or_none, unset=None, by_daemon=True
    )
    private_key: Path | None = setting(
        "TLS_PRIVATE_KEYFILE", read.absolute_path_or_none, unset=None, by_daemon=True
    )
    dh_parameters: Path | None = setting(
        "TLS_DHPARAMS", read.absolute_path_or_none, unset=None, by_daemon=True
    )
    trusted: Path | None = setting(
        "TLS_TRUSTCERTS", read.absolute_path_or_none, unset=None, by_daemon=True
    )
    verify: Verify | None = setting("TLS_VERIFYPEER", _verify, unset=None, by_daemon=True)
    external: str | None = setting("TLS_EXTERNAL", read.text_or_none, unset=None, by_daemon=True)
    cache_file: Path | None = setting(
        "TLS_CACHEFILE", read.path_or_none, unset=None, by_daemon=True
    )
    cache_size: int = setting("TLS_CACHESIZE", read.atoi, unset=524288, by_daemon=True)
    alpn: tuple[str, ...] = setting("TLS_ALPN", _alpn, unset=(), by_daemon=True)

    # Additions of ours
    chain: Path | None = setting(
        "TLS_CHAINFILE", read.absolute_path_or_none, unset=None, by_daemon=True
    )
    ciphersuites: str | None = setting(
        "TLS_CIPHERSUITES", read.text_or_none, unset=None, by_daemon=True
    )

    def options(self, *, starttls: bool) -> TlsOptions | None:
        """Return what TLS is to be like, None without a certificate to show."""
        from courier.net.tls_context import TlsOptions

        if self.certificate is None:
            return None
        # Courier: PEER, if nothing is set. Without trusted certificates it could refuse alone.
        verify = self.verify or ("peer" if self.trusted else "none")
        protocol = (starttls and self.starttls_protocol) or self.protocol or DEFAULT_PROTOCOL
        return TlsOptions(
            certificate=self.certificate,
            private_key=self.private_key,
            chain=self.chain,
            dh_parameters=self.dh_parameters,
            trusted=self.trusted,
            verify=verify,
            minimum_version=protocol.minimum,
            server_preference=protocol.server_preference,
            ciphers=self.ciphers,
            ciphersuites=self.ciphersuites,
            alpn=self.alpn,
            session_timeout_s=self.timeout_s,
            resumption=self.cache_file is not None,
        )


def from_environment(environ: Mapping[str, str]) -> TlsSettings:
    """Read the settings as start scripts hand them to the programs that a connection is served by.

    Raises:
        SettingsError: with a line for each value that can't be used.
    """
    origin = Origin("environment")
    assignments = {name: Assignment(value, origin) for name, value in environ.items()}
    return TlsSettings(**values(TlsSettings, assignments, for_daemon=True))
