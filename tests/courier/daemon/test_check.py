"""imapd -n: everything that would keep the server from starting, a line for each."""

from __future__ import annotations

import dbm.gnu
import os
import socket
from pathlib import Path

import pytest

pytest.importorskip("OpenSSL")

from courier.daemon import check as checker
from courier.daemon.check import check
from courier.daemon.service import files
from imapd.daemon import SUBJECT
from tests.courier.net.authority import Signed, authority


@pytest.fixture(scope="module")
def signed() -> Signed:
    return authority().sign("mx.example.com")


@pytest.fixture
def etc(tmp_path: Path, signed: Signed) -> Path:
    """Settings that nothing is the matter with. Tests add lines below the first."""
    signed.combined(tmp_path / "imapd.pem").chmod(0o600)
    (tmp_path / "imapd-ssl").write_text(
        f"IMAPDSTARTTLS=YES TLS_CERTFILE={tmp_path}/imapd.pem TLS_VERIFYPEER=NONE\n"
    )
    dbm.gnu.open(str(tmp_path / "imapaccess.dat"), "n").close()
    (tmp_path / "imapd").write_text(
        f"LOGIN_USER=nobody IMAPACCESSFILE={tmp_path}/imapaccess MAXDAEMONS=40\n"
    )
    for name in ("imapd", "imapd-ssl"):
        (tmp_path / name).chmod(0o644)
    return tmp_path


def add(file: Path, *lines: str) -> None:
    file.write_text(file.read_text() + "".join(line + "\n" for line in lines))


def found(etc: Path, daemon: str = "imapd") -> tuple[list[str], list[str]]:
    """What is wrong, and what is doubtful."""
    warnings: list[str] = []
    return check(SUBJECT, files(daemon, etc), daemon, warnings.append), warnings


@pytest.mark.parametrize("daemon", ["imapd", "imapd-ssl"])
def test_nothing_is_wrong(etc: Path, daemon: str) -> None:
    assert found(etc, daemon) == ([], [])


def test_says_what_loading_says(etc: Path) -> None:
    """All bad values, and what is unknown or without effect."""
    add(etc / "imapd", "IMAP_ACL=yes", "MAXPERIP=0", "IMAP_UMAKS=022")

    wrong, warnings = found(etc)

    assert wrong == [
        f"{etc}/imapd:3: MAXPERIP: expected a number, at least 1, found '0'",
        f"{etc}/imapd:2: IMAP_ACL: expected 0 or 1, found 'yes'",
    ]
    assert warnings == []

    (etc / "imapd").write_text(
        (etc / "imapd").read_text().replace("=yes", "=1").replace("=0\n", "=9\n")
    )
    assert found(etc) == ([], [f"{etc}/imapd:4: IMAP_UMAKS: no setting of ours, passed on unread"])


def test_file_that_is_missing(etc: Path) -> None:
    (etc / "imapd-ssl").unlink()

    assert found(etc)[0] == [f"{etc}/imapd-ssl: No such file or directory"]


def test_user_that_does_not_exist(etc: Path) -> None:
    add(etc / "imapd", "LOGIN_USER=no-such-user")

    assert found(etc)[0] == [
        f"{etc}/imapd:2: LOGIN_USER: expected a user of this system, found 'no-such-user'"
    ]


def test_user_with_rights(etc: Path) -> None:
    add(etc / "imapd", "LOGIN_USER=root")

    assert found(etc)[0] == [
        f"{etc}/imapd:2: LOGIN_USER: expected a user without rights, found root"
    ]


def test_user_by_default(etc: Path) -> None:
    """A value that nobody set has no place; the setting is named."""
    (etc / "imapd").write_text("")

    assert found(etc)[0] == ["LOGIN_USER: expected a user of this system, found 'pycourier-login'"]


def test_log_facility(etc: Path) -> None:
    """Each daemon has its own."""
    add(etc / "imapd", "LOGGEROPTS=-facility=post")
    add(etc / "imapd-ssl", "SSLLOGGEROPTS=-facility=letter")

    assert found(etc)[0] == [
        f"{etc}/imapd:2: LOGGEROPTS: expected a facility of syslog, found 'post'"
    ]
    assert found(etc, "imapd-ssl")[0] == [
        f"{etc}/imapd-ssl:2: SSLLOGGEROPTS: expected a facility of syslog, found 'letter'"
    ]


def test_access_file_without_source(etc: Path) -> None:
    (etc / "imapaccess.dat").unlink()

    assert found(etc)[0] == [
        f"{etc}/imapd:1: IMAPACCESSFILE: expected an access database, found no {etc}/imapaccess.dat"
    ]


def test_access_file_that_was_not_made_yet(etc: Path) -> None:
    """Nothing is lost as long as there is nothing to make it from."""
    (etc / "imapaccess.dat").unlink()
    (etc / "imapaccess").mkdir()

    assert found(etc) == ([], [])
    (etc / "imapaccess/local").write_text("192.168\tallow\n*\tdeny\n")
    assert found(etc) == (
        [],
        [
            f"{etc}/imapd:1: IMAPACCESSFILE: without {etc}/imapaccess.dat all may connect; "
            "makeimapaccess makes it"
        ],
    )


def test_access_file_that_was_changed(etc: Path) -> None:
    """The database is of before, which is worth a word; a text that is wrong is an error."""
    (etc / "imapaccess").write_text("192.168\tallow\n")
    os.utime(etc / "imapaccess.dat", ns=(1, 1))
    assert found(etc) == (
        [],
        [
            f"{etc}/imapd:1: IMAPACCESSFILE: has changed since {etc}/imapaccess.dat was made; "
            "makeimapaccess makes a new one"
        ],
    )

    (etc / "imapaccess").write_text("192.168/99\tallow\n")
    assert found(etc)[0] == [
        f"{etc}/imapd:1: IMAPACCESSFILE: {etc}/imapaccess:1: 192.168/99: "
        "no net or range of addresses"
    ]


def test_access_file_that_is_none(etc: Path) -> None:
    (etc / "imapaccess.dat").write_text("192.168.0\tallow\n" * 1000)

    (line,) = found(etc)[0]
    assert line.startswith(
        f"{etc}/imapd:1: IMAPACCESSFILE: {etc}/imapaccess.dat: can't be opened: "
    )


def test_access_file_of_tcpdopts(etc: Path) -> None:
    add(etc / "imapd", "TCPDOPTS=-access=/nonexistent.dat")

    assert found(etc)[0] == [
        f"{etc}/imapd:2: TCPDOPTS: expected an access database, found no /nonexistent.dat"
    ]


# --- TLS ----------------------------------------------------------------------------------------


def test_no_certificate(etc: Path) -> None:
    """It is missed if TLS shall be offered."""
    add(etc / "imapd-ssl", "TLS_CERTFILE=")
    line = f"{etc}/imapd-ssl:2: TLS_CERTFILE: expected a file with a certificate, found nothing"

    assert (found(etc)[0], found(etc, "imapd-ssl")[0]) == ([line], [line])
    add(etc / "imapd-ssl", "IMAPDSTARTTLS=NO")
    assert (found(etc)[0], found(etc, "imapd-ssl")[0]) == ([], [line])


def test_certificate_that_is_missing(etc: Path) -> None:
    (etc / "imapd.pem").unlink()

    assert found(etc)[0] == [
        f"{etc}/imapd-ssl:1: TLS_CERTFILE: {etc}/imapd.pem: can't be read: No such file or directory"
    ]


def test_all_files_that_are_wrong_are_told(etc: Path) -> None:
    """Each beside the setting that names it."""
    for name in ("key", "ca", "dh"):
        (etc / name).write_text("nothing\n")
    add(
        etc / "imapd-ssl",
        f"TLS_PRIVATE_KEYFILE={etc}/key",
        f"TLS_TRUSTCERTS={etc}/ca TLS_VERIFYPEER=PEER",
        f"TLS_DHPARAMS={etc}/dh",
    )

    wrong, _ = found(etc)

    assert [line.split(": expected")[0] for line in wrong] == [
        f"{etc}/imapd-ssl:2: TLS_PRIVATE_KEYFILE: {etc}/key",
        f"{etc}/imapd-ssl:3: TLS_TRUSTCERTS: {etc}/ca",
        f"{etc}/imapd-ssl:4: TLS_DHPARAMS: {etc}/dh",
    ]


def test_key_of_another_certificate(etc: Path, signed: Signed) -> None:
    (etc / "imapd.pem").write_bytes(authority().key_pem + signed.certificate_pem)

    (line,) = found(etc, "imapd-ssl")[0]
    assert line.startswith(
        f"{etc}/imapd-ssl:1: TLS_CERTFILE: {etc}/imapd.pem: expected the private key"
    )


def test_ciphers(etc: Path) -> None:
    """What OpenSSL alone can judge is put to it."""
    add(etc / "imapd-ssl", "TLS_CIPHER_LIST=NO-SUCH-CIPHER")

    assert found(etc)[0] == [
        f"{etc}/imapd-ssl:2: TLS_CIPHER_LIST: expected an OpenSSL cipher list, "
        "found 'NO-SUCH-CIPHER'"
    ]


def test_cipher_suites(etc: Path) -> None:
    add(etc / "imapd-ssl", "TLS_CIPHERSUITES=NO-SUCH-SUITE")

    (line,) = found(etc)[0]
    assert line.startswith(f"{etc}/imapd-ssl:2: TLS_CIPHERSUITES: ")


def test_certificate_that_has_expired(etc: Path) -> None:
    """The server starts with it."""
    authority().sign("mx.example.com", days=(-30, -1)).combined(etc / "imapd.pem").chmod(0o600)

    wrong, (warning,) = found(etc)

    assert wrong == []
    assert warning.startswith(
        f"{etc}/imapd-ssl:1: TLS_CERTFILE: {etc}/imapd.pem: the certificate expired"
    )


# --- What is doubtful -----------------------------------------------------------------------------


def test_tls_required_and_not_offered(etc: Path) -> None:
    add(etc / "imapd-ssl", "IMAP_TLS_REQUIRED=1 IMAPDSTARTTLS=NO")
    line = (
        f"{etc}/imapd-ssl:2: IMAP_TLS_REQUIRED: nobody can log in, because IMAPDSTARTTLS isn't YES"
    )

    assert found(etc) == ([], [line])
    assert found(etc, "imapd-ssl") == ([], [])


def test_external_without_certificates_of_clients(etc: Path) -> None:
    add(etc / "imapd-ssl", "TLS_EXTERNAL=emailaddress")

    assert found(etc)[1] == [
        f"{etc}/imapd-ssl:2: TLS_EXTERNAL: has no effect, because TLS_VERIFYPEER is NONE"
    ]


def test_key_that_everybody_may_read(etc: Path) -> None:
    (etc / "imapd.pem").chmod(0o644)

    assert found(etc)[1] == [
        f"{etc}/imapd-ssl:1: TLS_CERTFILE: everybody may read the private key in {etc}/imapd.pem"
    ]


def test_settings_that_others_may_write(etc: Path) -> None:
    (etc / "imapd").chmod(0o664)

    assert found(etc)[1] == [
        f"{etc}/imapd: others than root may write it, and with it run programs as root"
    ]


def test_programs_and_directories(etc: Path) -> None:
    add(
        etc / "imapd",
        "OUTBOX=.Outbox SENDMAIL=/nonexistent/sendmail",
        "AUTH_MKHOMEDIR_SKEL=/nonexistent",
    )

    assert found(etc)[1] == [
        f"{etc}/imapd:3: AUTH_MKHOMEDIR_SKEL: /nonexistent is no directory",
        f"{etc}/imapd:2: SENDMAIL: /nonexistent/sendmail can't be run",
    ]


def test_smap_by_another_name(etc: Path) -> None:
    """It is switched on, and nobody will use it."""
    add(etc / "imapd", "SMAP_CAPABILITY=SMAP SENDMAIL=/nonexistent/sendmail")

    assert found(etc)[1] == [
        f"{etc}/imapd:2: SENDMAIL: /nonexistent/sendmail can't be run",
        f"{etc}/imapd:2: SMAP_CAPABILITY: clients know nothing but SMAP1",
    ]


# --- The command ----------------------------------------------------------------------------------


def test_index_of_shared_accounts(etc: Path) -> None:
    """Warnings only, and few: the lines that are wrong are passed over. There need be none."""
    add(etc / "imapd", f"IMAP_SHAREDINDEXFILE={etc}/index")
    assert found(etc) == ([], [])
    (etc / "index").write_text("a\t1\t1\t/a\n" + "wrong\n" * 20)

    wrong, warnings = found(etc)

    assert wrong == []
    assert len(warnings) == 10
    assert warnings[0] == f"{etc}/imapd:2: IMAP_SHAREDINDEXFILE: {etc}/index(2): syntax error."


def test_report(etc: Path) -> None:
    """Exit code 0 or 1; warnings say that they are some."""
    lines: list[str] = []
    add(etc / "imapd", "IMAP_UMAKS=022")

    assert checker.report(SUBJECT, "imapd", etc, lines.append) == 0
    add(etc / "imapd", "IMAP_ACL=x")
    assert checker.report(SUBJECT, "imapd", etc, lines.append) == 1

    assert lines == [
        f"warning: {etc}/imapd:2: IMAP_UMAKS: no setting of ours, passed on unread",
        f"{etc}/imapd:3: IMAP_ACL: expected 0 or 1, found 'x'",
    ]


def test_nothing_is_bound_and_nothing_written(etc: Path) -> None:
    """It may run beside the server that uses the port."""
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in etc.iterdir()}
    with socket.create_server(("127.0.0.1", 0)) as server:
        add(etc / "imapd", f"PORT=127.0.0.1.{server.getsockname()[1]}")
        del before[etc / "imapd"]

        assert found(etc) == ([], [])

    assert sorted(os.listdir(etc)) == ["imapaccess.dat", "imapd", "imapd-ssl", "imapd.pem"]
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before} == before


@pytest.mark.parametrize("content", [None, "no certificate\n"])
def test_certificates_for_other_hosts(etc: Path, content: str | None) -> None:
    """IMAP_PROXY_TLS needs them, and nothing else does here."""
    if content is not None:
        (etc / "ca").write_text(content)
    add(etc / "imapd-ssl", f"TLS_TRUSTCERTS={etc}/ca")
    assert found(etc)[0] == []
    add(etc / "imapd", "IMAP_PROXY=1", "IMAP_PROXY_TLS=STARTTLS")

    (wrong,) = found(etc)[0]

    assert wrong.startswith(
        f"{etc}/imapd-ssl:2: TLS_TRUSTCERTS: no certificates to know other hosts by: "
    )
