"""mkdhparams: parameters that clients without elliptic curves need."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest

pytest.importorskip("OpenSSL")

from cryptography.hazmat.primitives.serialization import load_pem_parameters
from OpenSSL import SSL

from courier import paths
from tools import mkdhparams

DAY = 86400


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "SYSCONFDIR", tmp_path)
    for name in ("TLS_DHPARAMS", "DH_BITS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "dhparams.pem"


def test_make(target: Path) -> None:
    """OpenSSL takes them, in the one form that GnuTLS reads; nobody but the owner reads them."""
    assert mkdhparams.main([]) == 0

    assert target.read_text().startswith("-----BEGIN DH PARAMETERS-----\n")

    SSL.Context(SSL.TLS_METHOD).load_tmp_dh(bytes(target))
    assert load_pem_parameters(target.read_bytes()).parameter_numbers().p.bit_length() == 2048
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert os.listdir(target.parent) == ["dhparams.pem"]


@pytest.mark.parametrize(("bits", "name"), [("2048", "ffdhe2048"), ("high", "ffdhe3072")])
def test_groups_are_those_of_rfc_7919(
    target: Path, monkeypatch: pytest.MonkeyPatch, bits: str, name: str
) -> None:
    """OpenSSL knows them by their names."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    monkeypatch.setenv("DH_BITS", bits)

    mkdhparams.main([])

    shown = subprocess.run(
        ["openssl", "dhparam", "-in", target, "-noout", "-text", "-check"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert name in shown.stdout


@pytest.mark.parametrize(
    ("age", "is_kept"), [(0, True), (25 * DAY + 3600, True), (26 * DAY + 3600, False)]
)
def test_rule_of_25_days(
    target: Path, capsys: pytest.CaptureFixture[str], age: int, is_kept: bool
) -> None:
    """Whole days count, as with find(1); what is replaced keeps its mode."""
    target.write_text("old")
    target.chmod(0o640)
    then = time.time() - age
    os.utime(target, (then, then))

    assert mkdhparams.main([]) == 0

    assert (target.read_text() == "old") is is_kept
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert capsys.readouterr() == ("", "")


def test_other_file(target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLS_DHPARAMS", str(tmp_path / "other"))

    assert mkdhparams.main([]) == 0

    assert (tmp_path / "other").exists() and not target.exists()


@pytest.mark.parametrize("bits", ["1024", "2049", "low", "\u00b2"])
def test_bad_size(
    target: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bits: str
) -> None:
    monkeypatch.setenv("DH_BITS", bits)

    assert mkdhparams.main([]) == 1

    assert "expected 2048, 3072, 4096, 6144, 8192" in capsys.readouterr().err
    assert not target.exists()


def test_directory_that_is_missing(
    target: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TLS_DHPARAMS", "/nonexistent/dh.pem")

    assert mkdhparams.main([]) == 1

    assert "No such file or directory" in capsys.readouterr().err
