"""The generator of systemd's: sockets listen where the settings say."""

from __future__ import annotations

from pathlib import Path

import pytest

from courier.daemon import units
from imapd import settings as imapd_settings
from imapd.units import UNITS as IMAP_UNITS
from pop3d import settings as pop3d_settings
from pop3d.units import UNITS as POP_UNITS


def generated(tmp_path: Path, imapd: str = "", ssl: str = "") -> dict[str, str]:
    """Run imapd's generator; return what it wrote, by unit."""
    settings, target = tmp_path / "courier", tmp_path / "generator"
    settings.mkdir()
    target.mkdir()
    (settings / "imapd").write_text(f"IMAPDSTART=YES\n{imapd}\n")
    (settings / "imapd-ssl").write_text(f"IMAPDSSLSTART=YES\n{ssl}\n")
    assert units.main(imapd_settings.load, IMAP_UNITS, [str(target)] * 3, settings) == 0
    return {
        file.parent.name.removesuffix(".d"): file.read_text().replace(f"{settings}/", "")
        for file in target.rglob("*.conf")
    }


def listening(drop_in: str) -> list[str]:
    return [line.partition("=")[2] for line in drop_in.splitlines() if "ListenStream" in line]


def test_ports_that_are_shipped(tmp_path: Path) -> None:
    """The unit says it already; systemctl is only to notice a change of the file."""
    assert generated(tmp_path) == {
        "courier-imap.socket": "[Unit]\nSourcePath=imapd\n",
        "courier-imap-ssl.socket": "[Unit]\nSourcePath=imapd-ssl\n",
    }


@pytest.mark.parametrize(
    "settings, sockets",
    [
        ("PORT=1143", ["1143"]),
        ("PORT=143,1143", ["143", "1143"]),
        ("PORT=192.0.2.1.143,1143", ["192.0.2.1:143", "1143"]),
        ("ADDRESS=192.0.2.1", ["192.0.2.1:143"]),
        ("ADDRESS=::1", ["[::1]:143"]),
        ("ADDRESS=192.0.2.1\nPORT=143,0.1143", ["192.0.2.1:143", "192.0.2.1:1143"]),
        ("PORT=imap2,1143", ["143", "1143"]),
        ('TCPDOPTS="-address=192.0.2.7"', ["192.0.2.7:143"]),
    ],
)
def test_addresses_and_ports(tmp_path: Path, settings: str, sockets: list[str]) -> None:
    """Courier's list; the unit's own port is taken back first."""
    assert listening(generated(tmp_path, settings)["courier-imap.socket"]) == ["", *sockets]


def test_tls_port(tmp_path: Path) -> None:
    found = generated(tmp_path, ssl="SSLPORT=1993\nSSLADDRESS=192.0.2.1")

    assert listening(found["courier-imap-ssl.socket"]) == ["", "192.0.2.1:1993"]
    assert listening(found["courier-imap.socket"]) == []


def test_server_that_is_not_wanted(tmp_path: Path) -> None:
    """Neither socket nor service starts, and their status names the setting."""
    found = generated(tmp_path, "IMAPDSTART=NO\nPORT=1143")

    condition = "ConditionPathExists=imapd/IMAPDSTART=YES"
    assert condition in found["courier-imap.socket"].splitlines()
    assert condition in found["courier-imap.service"].splitlines()
    assert "courier-imap-ssl.service" not in found


def test_settings_that_are_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That is told; the unit stays as it is shipped, and the other server's is made."""
    (tmp_path / "pop3d").write_text("POP3DSTART=YES\nPORT=none\n")
    (tmp_path / "pop3d-ssl").write_text("POP3DSSLSTART=YES\nSSLPORT=1995\n")

    assert units.main(pop3d_settings.load, POP_UNITS, [str(tmp_path)] * 3, tmp_path) == 1

    assert "courier-pop: " in (told := capsys.readouterr().err)
    assert "pop3d:2: PORT: " in told
    assert not (tmp_path / "courier-pop.socket.d").exists()


def test_no_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A package that was removed and not purged leaves a generator, or an administrator did."""
    assert units.main(imapd_settings.load, IMAP_UNITS, [str(tmp_path)] * 3, tmp_path) == 0
    assert list(tmp_path.iterdir()) == []
    assert units.main(imapd_settings.load, IMAP_UNITS, [], tmp_path) == 2
    assert capsys.readouterr().err != ""
