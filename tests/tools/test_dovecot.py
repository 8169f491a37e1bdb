"""maildir-from-dovecot, maildir-to-dovecot: beside real Dovecot, real Courier and our own server."""

from __future__ import annotations

import imaplib
import os
import re
import shlex
import shutil
import tempfile
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from courier.maildir import keywords, subscriptions, uiddb
from courier.maildir.uiddb import UidDb
from tests.conftest import missing
from tests.support.maildirs import make_maildir
from tests.support.servers import OURS, ROOT, Implementation
from tools import dovecot_files, maildir_from_dovecot, maildir_to_dovecot, maildirmake

DOVECOT = ROOT / ".tools/dovecot"
NOBODY = 65534
MESSAGE = b"Subject: %d\r\n\r\nText.\r\n"

UIDLIST = b"""\
3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1
25006 W2481 :1.one.host,S=2411
25017 W100 S90 :2.two.host:2,S
"""


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    """As Dovecot leaves one: two messages listed, one delivered since."""
    made = make_maildir(tmp_path / "Maildir")
    (made / "dovecot-uidlist").write_bytes(UIDLIST)
    (made / "dovecot-keywords").write_text("0 $Forwarded\n1 Later\n")
    (made / "subscriptions").write_text("Sent\nINBOX\nB&APY-se\n")
    for name in ("1.one.host,S=2411:2,Sab", "2.two.host:2,", "3.three.host:2,b"):
        (made / "cur" / name).write_bytes(MESSAGE % 1)
    return made


def snapshot(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def run(tool: Callable[[list[str]], int], *arguments: str | Path) -> int:
    return tool([str(argument) for argument in arguments])


def test_from_dovecot(maildir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(maildir_from_dovecot.main, maildir) == 0

    assert uiddb.read(str(maildir)) == UidDb(
        1275660208, 25022, array("I", [25006, 25017]), [b"1.one.host,S=2411", b"2.two.host"]
    )
    assert keywords.listed(str(maildir)) == {
        b"1.one.host,S=2411": ("$Forwarded", "Later"), b"3.three.host": ("Later",),
    }  # fmt: skip
    assert subscriptions.read(str(maildir)) == ["INBOX.Sent", "INBOX", "INBOX.Böse"]
    said = capsys.readouterr().out
    assert "UIDVALIDITY 1275660208, next UID 25022, 2 messages, 1 of no UID yet, 2 with" in said
    assert "3 of 3 subscriptions are new" in said


def test_dry_run(maildir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says the same and changes nothing."""
    before = snapshot(maildir)

    assert run(maildir_from_dovecot.main, "-n", maildir) == 0
    assert snapshot(maildir) == before
    dry = capsys.readouterr().out
    assert run(maildir_from_dovecot.main, maildir) == 0
    assert capsys.readouterr().out == dry


def test_uids_that_clients_know(maildir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A database that is there is replaced on demand alone."""
    known = UidDb(7, 9, array("I", [8]), [b"2.two.host"])
    uiddb.write(str(maildir), known, sync=False)

    assert run(maildir_from_dovecot.main, maildir) == 0
    assert uiddb.read(str(maildir)) == known
    assert "left alone" in capsys.readouterr().out

    assert run(maildir_from_dovecot.main, "-f", maildir) == 0
    made = uiddb.read(str(maildir))
    assert made is not None and made.uidvalidity == 1275660208


@pytest.mark.parametrize(
    "text, reason",
    [
        (b"", "line 1: expected version 1 or 3"),
        (b"2 V1 N1\n", "line 1: expected version 1 or 3"),
        (b"3 N1\n", "line 1: expected UIDVALIDITY"),
        (b"3 V0 N1\n", "out of range"),
        (b"3 V1 N4294967296\n", "out of range"),
        (b"3 V1 N9\n5 :a\n5 :b\n", "line 3: UID 5 after 5"),
        (b"3 V1 N9\n5 :a\n4 :b\n", "line 3: UID 4 after 5"),
        (b"3 V1 N9\n5 :a\n6 :a:2,S\n", "two UIDs for one message"),
        (b"3 V1 N9\nx :a\n", "line 2: expected a UID"),
        (b"3 V1 N9\n5 :../../etc/passwd\n", "line 2: expected a UID"),
    ],
)
def test_damaged_list(
    maildir: Path, capsys: pytest.CaptureFixture[str], text: bytes, reason: str
) -> None:
    """A wrong UID is worse than a new one: the folder is left alone, and named."""
    (maildir / "dovecot-uidlist").write_bytes(text)

    assert run(maildir_from_dovecot.main, maildir) == 1

    assert reason in capsys.readouterr().err
    assert uiddb.read(str(maildir)) is None


def test_line_that_is_being_written(maildir: Path) -> None:
    (maildir / "dovecot-uidlist").write_bytes(UIDLIST + b"25018 W1 :3.thr")

    found = dovecot_files.read_uidlist(str(maildir))

    assert found is not None and list(found.uids) == [25006, 25017]


def test_first_version(maildir: Path) -> None:
    """Which is Courier's format."""
    (maildir / "dovecot-uidlist").write_bytes(b"1 77 9\n3 1.one.host,S=2411\n4 2.two.host:2,S\n")

    found = dovecot_files.read_uidlist(str(maildir))

    assert found == dovecot_files.UidList(77, 9, [3, 4], [b"1.one.host,S=2411", b"2.two.host"])


def test_second_version_of_subscriptions(maildir: Path) -> None:
    (maildir / "subscriptions").write_text("V\t2\n\nWork\t2026\nSent\n")

    assert dovecot_files.read_subscriptions(str(maildir)) == ["Work.2026", "Sent"]


def test_no_maildir(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(maildir_from_dovecot.main, tmp_path) == 1
    assert run(maildir_to_dovecot.main, tmp_path) == 1
    assert capsys.readouterr().err.count("No such file") == 2


def test_more_keywords_than_dovecot_has(maildir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The 26 that most messages have go along; those left out are told."""
    run(maildir_from_dovecot.main, maildir)
    words = [f"word{number:02}" for number in range(30)]
    keywords.publish(str(maildir), b"2.two.host", words, sync=False)
    capsys.readouterr()

    assert run(maildir_to_dovecot.main, maildir) == 0

    assert "26 keywords; 6 that are used least are left out" in capsys.readouterr().out
    # "Later" is two messages', the most used of all; "$Forwarded" the first of the others.
    assert (maildir / "dovecot-keywords").read_text().startswith("0 Later\n1 $Forwarded\n")
    assert (maildir / "cur/1.one.host,S=2411:2,Sab").exists()


# --- With real servers ------------------------------------------------------------------------


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that Dovecot's user can enter; Dovecot does not serve root."""
    made = Path(tempfile.mkdtemp(prefix="dovecot.", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def dovecot(home: Path) -> Callable[[Path], imaplib.IMAP4]:
    """Start a session of Dovecot's on a maildir, in the place where a log-in would."""
    if os.geteuid() != 0 or not DOVECOT.exists():
        missing("root, or Dovecot, see `make tools`")
    shutil.copytree(DOVECOT, home / "program", symlinks=True)
    (home / "base").mkdir()
    libraries = home / "program/usr/lib/dovecot"
    settings = home / "dovecot.conf"

    def start(maildir: Path) -> imaplib.IMAP4:
        own(maildir, NOBODY)
        own(home / "base", NOBODY)
        settings.write_text(
            f"mail_location = maildir:{maildir}\nbase_dir = {home}/base\nstate_dir = {home}/base\n"
            f"log_path = {home}/base/log\nmail_uid = {NOBODY}\nmail_gid = {NOBODY}\n"
            "first_valid_gid = 0\n"
            "namespace inbox {\n  inbox = yes\n  prefix = INBOX.\n  separator = .\n}\n"
        )
        command = (
            f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups env -i USER=nobody "
            f"HOME={home} LD_LIBRARY_PATH={libraries} {home}/program/usr/bin/doveconf -c {settings} "
            f"-f service=imap -m imap -e {libraries}/imap"
        )
        return imaplib.IMAP4_stream(command)

    return start


def own(directory: Path, uid: int) -> None:
    for path in (directory, *directory.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)


def session(implementation: Implementation, maildir: Path) -> imaplib.IMAP4:
    own(maildir, os.getuid())
    variables = implementation.variables()
    words = [f"{name}={value}" for name, value in variables.items()]
    command = ["env", "-i", *words, *implementation.command_line(maildir)]
    return imaplib.IMAP4_stream(" ".join(map(shlex.quote, command)))


def seen(client: imaplib.IMAP4) -> Mapping[str, object]:
    """What a client knows of an account, by mailbox."""
    found: dict[str, object] = {}
    for line in client.list()[1]:
        assert isinstance(line, bytes)
        if b"\\Noselect" in line or b"\\NonExistent" in line:
            continue
        name = line.decode().rpartition(' "." ')[2].strip('"')
        client.select(f'"{name}"', readonly=True)
        messages = {}
        for one in client.uid("FETCH", "1:*", "(FLAGS)")[1]:
            if match := re.search(
                r"UID (\d+).*FLAGS \((.*?)\)|FLAGS \((.*?)\).*UID (\d+)", str(one)
            ):
                uid, flags = match[1] or match[4], match[2] or match[3] or ""
                messages[int(uid)] = frozenset(flags.replace("\\\\", "\\").split()) - {"\\Recent"}
        found[name] = (client.response("UIDVALIDITY")[1], messages)
    lines = [line for line in client.lsub()[1] if "Noselect" not in str(line)]
    found["subscriptions"] = sorted(str(line).rpartition(' "." ')[2].strip("\"'") for line in lines)
    client.logout()
    return found


@pytest.mark.slow
@pytest.mark.courier
@pytest.mark.root
def test_there_and_back_with_real_servers(
    home: Path, dovecot: Callable[[Path], imaplib.IMAP4], courier: Implementation
) -> None:
    """Dovecot's user finds the same with ours and with Courier, and with Dovecot again."""
    maildir = make_maildir(home / "Maildir")
    client = dovecot(maildir)
    client.create("INBOX.B&APY-se.Work")
    client.subscribe("INBOX.B&APY-se.Work")
    client.create("INBOX.Sent")
    for number in range(5):
        flags = ("(\\Seen $Forwarded)", "(Later)", "()", "(\\Flagged Later $Forwarded)")[number % 4]
        for name in ("INBOX", "INBOX.B&APY-se.Work"):
            assert client.append(name, flags, "", MESSAGE % number)[0] == "OK"
    client.select("INBOX")
    client.store("2", "+FLAGS", "\\Deleted")
    client.expunge()
    client.logout()
    before = seen(dovecot(maildir))

    own(maildir, os.getuid())
    assert run(maildir_from_dovecot.main, maildir) == 0
    assert seen(session(OURS, maildir)) == before
    assert run(maildirmake.main, "--convutf8", maildir) == 0
    assert seen(session(courier, maildir)) == before

    client = session(OURS, maildir)
    client.select("INBOX")
    client.append("INBOX", "(Important)", "", MESSAGE % 9)
    client.store("1", "-FLAGS", "$Forwarded")
    client.store("3", "+FLAGS", "Later")
    client.subscribe("INBOX.Sent")
    client.logout()
    before = seen(session(OURS, maildir))

    for path in [*maildir.rglob("dovecot*"), maildir / "subscriptions"]:
        path.unlink()
    assert run(maildir_to_dovecot.main, maildir) == 0
    assert seen(dovecot(maildir)) == before
