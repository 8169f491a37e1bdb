"""From TLS_* settings to what a TLS context is made of. The readers: tests/imapd/test_settings.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from courier.tls_settings import Protocol, TlsSettings

pytest.importorskip("OpenSSL")
from courier.net.tls_context import TlsOptions

CERTIFICATE = Path("/etc/courier/imapd.pem")


def test_nothing_set() -> None:
    """There is nothing to show, so there is no TLS."""
    assert TlsSettings().options(starttls=True) is None


def test_certificate_alone() -> None:
    """TLS 1.2 or newer, in the server's order; nobody is asked for a certificate."""
    assert TlsSettings(certificate=CERTIFICATE).options(starttls=False) == TlsOptions(
        certificate=CERTIFICATE, server_preference=True, resumption=False
    )


def test_everything_set() -> None:
    settings = TlsSettings(
        protocol=Protocol("TLSv1.1"),
        ciphers="HIGH",
        timeout_s=300,
        certificate=CERTIFICATE,
        private_key=Path("/key"),
        dh_parameters=Path("/dh"),
        trusted=Path("/ca"),
        verify="require",
        cache_file=Path("/cache"),
        alpn=("imap",),
        chain=Path("/chain"),
        ciphersuites="TLS_AES_256_GCM_SHA384",
    )

    assert settings.options(starttls=False) == TlsOptions(
        certificate=CERTIFICATE,
        private_key=Path("/key"),
        chain=Path("/chain"),
        dh_parameters=Path("/dh"),
        trusted=Path("/ca"),
        verify="require",
        minimum_version="TLSv1.1",
        server_preference=False,
        ciphers="HIGH",
        ciphersuites="TLS_AES_256_GCM_SHA384",
        alpn=("imap",),
        session_timeout_s=300,
        resumption=True,
    )


@pytest.mark.parametrize(
    ("trusted", "verify", "expected"),
    [
        (None, None, "none"),
        (Path("/ca"), None, "peer"),
        (Path("/ca"), "none", "none"),
        (Path("/ca"), "require", "require"),
        (None, "require", "require"),
    ],
)
def test_verification(trusted: Path | None, verify: str | None, expected: str) -> None:
    """Unset it is PEER, if there is anything to verify by; what is set is never weakened."""
    settings = TlsSettings(certificate=CERTIFICATE, trusted=trusted, verify=verify)  # type: ignore[arg-type]

    options = settings.options(starttls=True)

    assert options is not None and options.verify == expected


@pytest.mark.parametrize(
    ("starttls", "protocol", "starttls_protocol", "expected"),
    [
        (False, "TLSv1.3", "TLSv1", "TLSv1.3"),
        (True, "TLSv1.3", "TLSv1", "TLSv1"),
        (True, "TLSv1.3", None, "TLSv1.3"),
        (False, None, "TLSv1.3", "TLSv1.2"),
        (True, None, None, "TLSv1.2"),
    ],
)
def test_protocol_of_starttls(
    starttls: bool, protocol: str | None, starttls_protocol: str | None, expected: str
) -> None:
    """TLS_STARTTLS_PROTOCOL stands in for TLS_PROTOCOL, for STARTTLS alone."""
    settings = TlsSettings(
        certificate=CERTIFICATE,
        protocol=protocol and Protocol(protocol),  # type: ignore[arg-type]
        starttls_protocol=starttls_protocol and Protocol(starttls_protocol),  # type: ignore[arg-type]
    )

    options = settings.options(starttls=starttls)

    assert options is not None and options.minimum_version == expected


def test_reading_settings_loads_no_openssl() -> None:
    """A session from a shell neither needs it nor waits for it."""
    code = "import courier.daemon.service, sys; sys.exit('OpenSSL' in sys.modules)"

    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=True)
