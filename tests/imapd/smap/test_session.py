"""An SMAP session as a whole: what it tells of others' changes, its limits, how it ends."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from pathlib import Path

import pytest

from courier.process.request import Receive, Wake
from tests.imapd.conftest import Log
from tests.imapd.driver import Driven
from tests.imapd.smap.conftest import Drive, Fill
from tests.imapd.smap.driver import DrivenSmap
from tests.support.maildirs import make_folder, make_maildir, message_files

UPDATED = "+OK Folder updated"
SYNTAX = ["-ERR Syntax error."]


# --- Changes by others ---------------------------------------------------------------------------


def test_message_that_is_gone(drive: Drive, fill: Fill, maildir: Path) -> None:
    """It keeps its number, its name and its flags until a report; another stands for its contents."""
    names = fill(3, "S")
    make_folder(maildir, "INBOX.To")
    session = drive()
    session.do("OPEN INBOX")
    other = drive()
    other.do("OPEN INBOX")
    other.do("EXPUNGE 2")

    assert session.ask("FETCH 2-3 FLAGS UID SIZE")[:-1] == [
        f'* FETCH 2 FLAGS=SEEN "UID={names[1]}" SIZE=14',
        f'* FETCH 3 FLAGS=SEEN "UID={names[2]}" SIZE=14',
    ]
    assert session.ask("FETCH 2 CONTENTS.PEEK=ALL")[0] == "{125/125} FETCH 2 CONTENTS"
    assert session.ask("FETCH 2 CONTENTS=HEADERS")[0] == "{.74} FETCH 2 HEADERS"
    assert session.ask("STORE 2 FLAGS=") == ["* FETCH 2 FLAGS=SEEN", "+OK Folder status updated"]
    assert len(session.ask('COPY 1-3 "" INBOX To')) == 3
    assert session.ask("SEARCH ALL SEEN")[0] == "* SEARCH 1-3"
    assert session.ask("SEARCH ALL SUBJECT x")[0] == "* SEARCH 1 3"
    assert session.ask("NOOP") == ["* EXPUNGE 2", UPDATED]
    assert session.ask("FETCH 1-9 UID")[1] == f'* FETCH 2 "UID={names[2]}"'


def test_many_that_are_gone(drive: Drive, fill: Fill) -> None:
    """A line has 101 messages; the next one counts from what that has left."""
    fill(200)
    session, other = drive(), drive()
    session.do("OPEN INBOX")
    other.do("OPEN INBOX")
    other.do("EXPUNGE 1-10 20-80 90-130")

    assert session.ask("NOOP") == ["* EXPUNGE 1-10 20-80 90-119", "* EXPUNGE 19-29", UPDATED]


def test_what_came_and_what_changed(drive: Drive, fill: Fill) -> None:
    """Removed, added, changed, in this order; one's own changes are not repeated."""
    fill(3)
    session, other = drive(), drive()
    session.do("OPEN INBOX")
    other.do("OPEN INBOX")
    session.do("STORE 2 FLAGS=SEEN")
    other.do("EXPUNGE 1")
    other.do("STORE 2 FLAGS=MARKED KEYWORDS=work")
    fill(2, None)

    assert session.ask("NOOP") == [
        "* EXPUNGE 1",
        "* EXISTS 4",
        '* FETCH 2 FLAGS=MARKED "KEYWORDS=work"',
        UPDATED,
    ]
    assert session.ask("NOOP") == [UPDATED]


def test_changes_are_told_by_reports_alone(drive: Drive, fill: Fill) -> None:
    """A client that is told in between would count wrong."""
    fill(1)
    session = drive()
    session.do("OPEN INBOX")
    fill(1, None)

    for line in ("FETCH 1 FLAGS", "STORE 1 FLAGS=SEEN", "SEARCH ALL SEEN", "STATUS FULL INBOX"):
        assert not [said for said in session.ask(line) if said.startswith("* EXISTS")]


def test_folder_that_is_removed(drive: Drive, fill: Fill, maildir: Path) -> None:
    """Nothing is told, and nothing breaks; messages are unavailable."""
    make_folder(maildir, "INBOX.Work")
    fill(1, folder="INBOX.Work")
    session = drive()
    session.do("OPEN INBOX Work")
    shutil.rmtree(maildir / ".Work")

    assert session.ask("NOOP") == [UPDATED]
    assert session.ask("FETCH 1 CONTENTS=BODY")[0] == "{51/51} FETCH 1 CONTENTS"
    assert session.ask("STORE 1 FLAGS=SEEN")[-1].startswith(("-ERR", "+OK"))
    assert session.ask("OPEN INBOX Work") == [
        "-ERR Cannot open the folder: No such file or directory"
    ]
    assert session.ask("LIST INBOX") == ["+OK LIST completed"]


def test_folder_that_is_renumbered(drive: Drive, fill: Fill, maildir: Path) -> None:
    """Its numbers mean nothing any more: the session ends."""
    fill(2)
    session = drive()
    session.do("OPEN INBOX")
    (maildir / "courierimapuiddb").write_text("1 77 1\n")

    assert session.send(b"NOOP\n") == (
        b"* BYE [ALERT] Another program renumbered this mailbox.\r\n"
    )
    assert session.ended


def test_right_to_read_is_lost(tmp_path: Path, logged: Log) -> None:
    """Another account's folder, open, is read no more; one's own is, as with Courier."""
    homes = {name: tmp_path / name for name in ("alice", "bob")}
    for home in homes.values():
        make_maildir(home / "Maildir")
    index = tmp_path / "index"
    index.write_text(f"alice\t1000\t1000\t{homes['alice']}\n")
    settings = {"IMAP_SHAREDINDEXFILE": str(index)}
    alice = DrivenSmap(homes["alice"] / "Maildir", settings, user="alice")
    bob = DrivenSmap(homes["bob"] / "Maildir", settings, user="bob")
    alice.do('SETACL INBOX "" user=bob lr')
    alice.do("OPEN INBOX")
    assert bob.ask("LIST public") == ['* LIST "alice" "alice" FOLDER', "+OK LIST completed"]
    bob.do("OPEN public alice")
    bob.do("FETCH 1 FLAGS")

    alice.do('SETACL INBOX "" user=bob -r owner -r')

    assert bob.ask("FETCH 1 FLAGS") == ['-ERR Access denied: ACL "r" is required']
    assert bob.ask("NOOP") == ['-ERR Access denied: ACL "r" is required']
    alice.do("FETCH 1 FLAGS")


def test_reading_without_the_right_to_mark(tmp_path: Path, maildir: Path, logged: Log) -> None:
    """Who may read and no more changes nothing by reading, not even where mail lies."""
    index = tmp_path / "index"
    index.write_text(f"alice\t1000\t1000\t{maildir.parent}\n")
    settings = {"IMAP_SHAREDINDEXFILE": str(index)}
    (maildir / "new" / "1.M1P1.mx").write_text("Subject: x\n\n")
    DrivenSmap(maildir, settings, user="alice").do('SETACL INBOX "" user=bob lr')
    make_maildir(tmp_path / "bob")
    bob = DrivenSmap(tmp_path / "bob", settings, user="bob")

    assert bob.ask("OPEN public alice")[0] == "* EXISTS 1"
    assert bob.ask("FETCH 1 CONTENTS=HEADERS FLAGS")[-2:] == [
        "* FETCH 1 FLAGS=",
        "+OK Message retrieved.",
    ]
    assert bob.ask("STORE 1 FLAGS=SEEN KEYWORDS=x")[:-1] == [
        "* FETCH 1 FLAGS=",
        '* FETCH 1 "KEYWORDS="',
    ]
    assert os.listdir(maildir / "new") == ["1.M1P1.mx"]


# --- What settings say ---------------------------------------------------------------------------


def test_without_keywords(drive: Drive, fill: Fill) -> None:
    """No answer has them, and what sets them is passed over."""
    fill(1)
    session = drive(IMAP_KEYWORDS="0")
    session.do("OPEN INBOX")

    assert session.ask("FETCH 1 FLAGS KEYWORDS")[0] == "* FETCH 1 FLAGS="
    assert session.ask("FETCH 1 KEYWORDS") == ["+OK Message retrieved."]
    assert session.ask("STORE 1 +KEYWORDS=a FLAGS=SEEN")[:-1] == ["* FETCH 1 FLAGS=SEEN"]
    assert session.ask("ADD KEYWORDS=a") == ["+OK So far, so good..."]


def test_trash(drive: Drive, fill: Fill, maildir: Path) -> None:
    """IMAP_MOVE_EXPUNGE_TO_TRASH keeps what is expunged, by flag or by number, but for what was copied."""
    fill(3, "FT")
    session = drive(IMAP_MOVE_EXPUNGE_TO_TRASH="1")
    session.do("OPEN INBOX")
    session.do('COPY 3 "" INBOX')
    session.do("EXPUNGE 1 3")

    session.do("EXPUNGE")

    assert sorted(message_files(maildir / ".Trash").values()) == ["F", "F", "F"]
    assert message_files(maildir) == {}


def test_quota(drive: Drive, fill: Fill, maildir: Path) -> None:
    """What does not fit is refused as on a full disk, all of it, and nothing is left."""
    (maildir / "maildirsize").write_text("100S\n          56            4\n")
    fill(4)  # of 14 octets
    make_folder(maildir, "INBOX.To")
    session = drive()
    session.do("OPEN INBOX")

    assert session.ask('COPY 1-4 "" INBOX To') == [
        "-ERR Cannot copy messages: No space left on device"
    ]
    session.do('ADD FOLDER INBOX To ""')
    assert session.send(b"ADD {50/50}\n" + b"x" * 50 + b"\n") == (
        b"> Go ahead\n-ERR No space left on device\n"
    )
    assert session.ask('MOVE 1-4 "" INBOX To')[-2:] == ["* EXPUNGE 1-4", "+OK Messages copied."]
    assert len(message_files(maildir / ".To")) == 4
    assert list((maildir / ".To/tmp").iterdir()) == []


# --- Input ---------------------------------------------------------------------------------------


def test_pipelined(drive: Drive, maildir: Path) -> None:
    """All of a session at once, an upload amid it: everything is answered in order."""
    session = drive()

    said = session.send(
        b"CREATE INBOX A\nADD FOLDER INBOX A\nADD {.9}\nSubject: x\n\n..\n.\n"
        b"OPEN INBOX A\nFETCH 1 CONTENTS.PEEK=BODY\nIDLE\nRESUME\nLOGOUT\nNOOP\n"
    )

    lines = said.split(b"\n")
    assert [line for line in lines if line.startswith((b"+", b"-", b">"))] == [
        b"+OK Folder created",
        b"+OK Will add to this folder",
        b"> Go ahead",
        b"+OK Message saved",
        b"+OK Folder opened",
        b"+OK Message retrieved.",
        b"+OK Entering idle mode",
        b"+OK Resumed...",
        b"+OK LOGOUT completed",
    ]
    assert b"{2/2} FETCH 1 CONTENTS\n.\n\n" in said
    assert session.ended


def test_octet_by_octet(drive: Drive) -> None:
    session = drive()
    data = b'ADD FOLDER INBOX ""\nADD {3/3}\na\nb2\ncd\n\nSTATUS FULL INBOX\n'

    said = b"".join(session.send(data[at : at + 1]) for at in range(len(data)))

    assert b"* STATUS EXISTS=1 UNSEEN=1\n" in said


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\0",
        b"\xff\xfe",
        b'"',
        b"A" * 100_000,
        b"FETCH",
        b"\\SMAP1 NOOP",
        b"a1 NOOP",
        b"{5}",
        b". LIST",
    ],
)
def test_what_is_no_command(drive: Drive, line: bytes) -> None:
    """Courier: without end."""
    session = drive()

    for _ in range(20):
        assert session.send(line + b"\n") == b"-ERR Syntax error.\n"


def test_line_beyond_the_limit(drive: Drive) -> None:
    """What exceeds it is thrown away, and the rest executed, as Courier does it."""
    session = drive()

    assert session.send(b"CREATE INBOX A " + b" " * 9000 + b"x\n") == b"+OK Folder created\n"
    assert session.ask("LIST INBOX")[0] == '* LIST "A" "A" FOLDER'


@pytest.mark.parametrize(
    "numbers",
    ["99999999999999999999", "1-99999999999999999999", "1-999999999999999999", "1 3 5 7 9", "0-5"],
)
@pytest.mark.parametrize(
    "command",
    [
        "FETCH {} FLAGS UID CONTENTS.PEEK=BODY",
        "STORE {} FLAGS=SEEN",
        "EXPUNGE {}",
        'COPY {} "" INBOX',
        'MOVE {} "" INBOX',
    ],
)
def test_numbers_beyond_all_messages(drive: Drive, fill: Fill, numbers: str, command: str) -> None:
    fill(2)
    session = drive()
    session.do("OPEN INBOX")

    assert session.ask(command.format(numbers))[-1].startswith(("+OK", "-ERR"))
    assert session.ask("CLOSE") == ["+OK Folder closed"]


@pytest.mark.parametrize(
    "line",
    ["EXPUNGE 2-1", "EXPUNGE 1-", "EXPUNGE 1 1", 'COPY 1 1 "" INBOX', 'MOVE 1- "" INBOX'],
)
def test_sets_that_kill_courier(drive: Drive, fill: Fill, line: str) -> None:
    """They are errors here, and nothing is done."""
    fill(2)
    session = drive()
    session.do("OPEN INBOX")

    assert session.ask(line) == SYNTAX
    assert session.ask("NOOP") == [UPDATED]


def test_folders_that_kill_courier(drive: Drive, fill: Fill) -> None:
    """What is not there is said not to be."""
    fill(1)
    session = drive()
    session.do("OPEN INBOX")
    missing = "No such file or directory"

    assert session.ask('COPY 1 "" INBOX No') == [f"-ERR Cannot copy messages: {missing}"]
    assert session.ask("STATUS FULL INBOX No") == [f"-ERR Cannot read folder status: {missing}"]
    assert session.ask("OPEN INBOX No") == [f"-ERR Cannot open the folder: {missing}"]
    assert session.ask('SOPEN "" INBOX No') == [f"-ERR Cannot open the folder: {missing}"]
    session.do("OPEN INBOX")


@pytest.mark.parametrize(
    "word",
    ["..", "/etc", "a/../../b", "\udcff", "a\0b", "", " ", ".", "~", "\\056", "x" * 300, "\u202e"],
)
def test_strange_names(drive: Drive, maildir: Path, word: str) -> None:
    """None leads out of the maildir; each that can be made can be used, under the name that was given."""
    session = drive()
    quoted = word.replace('"', '""')
    before = set(maildir.parent.iterdir())

    made = session.ask(f'CREATE INBOX "{quoted}"')[-1]

    assert made.startswith(("+OK", "-ERR"))
    if made.startswith("+OK"):
        session.do(f'OPEN INBOX "{quoted}"')
        session.do("CLOSE")
        session.do(f'RENAME INBOX "{quoted}" "" INBOX Other')
        session.do("DELETE INBOX Other")
    assert set(maildir.parent.iterdir()) == before


def test_names_on_disk_that_no_line_can_hold(drive: Drive, maildir: Path) -> None:
    """They are told in a way that leads back to them."""
    make_folder(maildir, "INBOX.one\\012two")
    make_folder(maildir, 'INBOX.say "hi"')
    session = drive()

    assert session.ask("LIST INBOX")[:-1] == [
        '* LIST "one\\012two" "one\\012two" FOLDER',
        '* LIST "say ""hi""" "say ""hi""" FOLDER',
    ]
    session.do('OPEN INBOX "one\\012two"')
    session.do('OPEN INBOX "say ""hi"""')


# --- Uploads -------------------------------------------------------------------------------------


def test_chunk_without_a_size_ends_the_session(drive: Drive, maildir: Path) -> None:
    """What follows might be the message, and is no command."""
    session = drive()

    said = session.send(b'ADD FOLDER INBOX "" {2/9}\nabNOOP\nDELETE INBOX A\n')

    assert said == b"> Go ahead\n* BYE [ALERT] Fatal error: malformed upload: \r\n"
    assert session.ended
    assert message_files(maildir) == {}


def test_upload_that_is_cut_short(drive: Drive, maildir: Path) -> None:
    """It leaves nothing behind."""
    session = drive()
    session.send(b'ADD FOLDER INBOX "" {20/20}\nabc')

    session.close()

    assert message_files(maildir) == {}
    assert list((maildir / "tmp").iterdir()) == []


def test_upload_is_waited_for_a_minute(drive: Drive) -> None:
    session = drive()
    session.send(b'ADD FOLDER INBOX "" {20/20}\nabc')
    assert session.requests[-1] == Receive(60.0)

    assert session.send(Wake.TIMEOUT) == b"* BYE Disconnected for inactivity.\r\n"


@pytest.mark.parametrize("form", [b"{5/5}\n12345\n", b"{.}\n12345\n.\n"])
def test_upload_beyond_the_limit(drive: Drive, maildir: Path, form: bytes) -> None:
    """IMAP_MAX_APPEND holds for both forms, and commands go on behind it."""
    session = drive(IMAP_MAX_APPEND="4")
    session.do('ADD FOLDER INBOX ""')

    said = session.send(b"ADD " + form + b"NOOP\n").replace(b"> Go ahead\n", b"")

    assert said.startswith(b"-ERR File too large\n")
    assert message_files(maildir) == {}


def test_disk_that_is_full_amid_an_upload(
    drive: Drive, monkeypatch: pytest.MonkeyPatch, maildir: Path
) -> None:
    """The upload is read to its end, and nothing of it is taken for a command."""
    session = drive()
    session.do('ADD FOLDER INBOX ""')

    def full(fd: int, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("courier.maildir.delivery.write_all", full)
    said = session.send(b"ADD {10/10}\nLOGOUT\nxx\n\n")
    monkeypatch.undo()

    assert said == b"> Go ahead\n-ERR No space left on device\n"
    # What was said before stays in force.
    assert b"Message saved" in session.send(b"ADD {1/1}\nx\n")
    assert len(message_files(maildir)) == 1


# --- Ends ----------------------------------------------------------------------------------------


def test_silence(drive: Drive) -> None:
    """After half an hour it is told goodbye, also while it idles."""
    session = drive()
    assert session.requests[-1] == Receive(1800.0)

    assert session.send(Wake.TIMEOUT) == b"* BYE Disconnected for inactivity.\r\n"
    assert session.ended


def test_no_watch_to_be_had(
    drive: Drive, fill: Fill, logged: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IDLE is not ENHANCED then; the folder is looked at every IMAP_IDLE_TIMEOUT."""

    def refuse(path: str) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    session = drive(IMAP_IDLE_TIMEOUT="7", IMAP_ENHANCEDIDLE="1")
    monkeypatch.setattr(session.session.store.watcher, "watch", refuse)
    session.do("OPEN INBOX")

    assert session.ask("IDLE") == ["+OK Entering idle mode"]
    waiting = session.requests[-1]
    assert isinstance(waiting, Receive) and (waiting.timeout_s, waiting.watch) == (7, None)
    assert "cannot watch folder, polling instead" in logged.lines[-1]
    fill(1)
    assert session.send(Wake.TIMEOUT) == b"* EXISTS 1\n"


def test_server_that_stops(drive: Drive) -> None:
    """Courier: without a word."""
    assert drive().stop() == b""


def test_client_that_hangs_up(drive: Drive, logged: Log) -> None:
    session = drive()

    assert session.close() == b""
    assert "DISCONNECTED, user=user" in logged.lines[-1]


def test_log_counts(drive: Drive, fill: Fill, logged: Log) -> None:
    """Octets of headers and of bodies, as Courier's line has them."""
    fill(1)
    session = drive()
    session.do("OPEN INBOX")
    session.do("FETCH 1 CONTENTS=HEADERS CONTENTS=BODY")
    session.do("LOGOUT")

    assert "LOGOUT, user=user" in logged.lines[-1]
    assert "headers=11, body=2" in logged.lines[-1]


# --- Beside IMAP ---------------------------------------------------------------------------------


def test_date_that_was_set(drive: Drive, fill: Fill, maildir: Path) -> None:
    """IMAP sessions that come later tell it, though they had kept another one."""
    fill(1)
    reader = Driven(maildir, {})
    reader.ask("a SELECT INBOX")
    assert b"14-Nov-2023" in reader.send(b"b FETCH 1 (INTERNALDATE ENVELOPE)\r\n")
    session = drive()
    session.do("OPEN INBOX")

    session.do('STORE 1 "INTERNALDATE=Mon, 20 Jan 2025 18:43:09 -0500"')

    assert (
        '"INTERNALDATE=Mon, 20 Jan 2025 23:43:09 +0000"' in session.ask("FETCH 1 INTERNALDATE")[0]
    )
    later = Driven(maildir, {})
    later.ask("a SELECT INBOX")
    assert b'"20-Jan-2025 23:43:09 +0000"' in later.send(b"b FETCH 1 (INTERNALDATE ENVELOPE)\r\n")


def test_synchronising_clients_learn_of_it(drive: Drive, fill: Fill, maildir: Path) -> None:
    """What SMAP changes and removes has its MODSEQ, for QRESYNC (RFC 7162)."""
    fill(3)
    reader = Driven(maildir, {})
    reader.ask("a ENABLE QRESYNC")
    selected = reader.send(b"b SELECT INBOX\r\n")
    highest = int(re.search(rb"HIGHESTMODSEQ (\d+)", selected)[1])  # type: ignore[index]
    session = drive()
    session.do("OPEN INBOX")
    session.do("STORE 2 FLAGS=MARKED KEYWORDS=work")
    session.do("EXPUNGE 1")
    session.do('ADD FOLDER INBOX "" FLAGS=SEEN')
    session.send(b"ADD {1/1}\nx\n")

    told = reader.send(b"c NOOP\r\n")
    assert b"* VANISHED 1\r\n" in told
    assert b"* 3 EXISTS\r\n" in told
    assert re.search(
        rb"\* 1 FETCH \(UID 2 FLAGS \(\\Flagged \\Recent work\) MODSEQ \(\d+\)\)", told
    )
    again = Driven(maildir, {})
    again.ask("a ENABLE QRESYNC")
    uidvalidity = int(re.search(rb"UIDVALIDITY (\d+)", selected)[1])  # type: ignore[index]
    told = again.send(b"b SELECT INBOX (QRESYNC (%d %d))\r\n" % (uidvalidity, highest))
    assert b"* VANISHED (EARLIER) 1\r\n" in told
    assert b"UID 2 FLAGS (\\Flagged work)" in told
    assert b"UID 4 FLAGS (\\Seen" in told


def test_in_one_worker(drive: Drive, fill: Fill, maildir: Path) -> None:
    """Sessions of both protocols on one folder object tell the same."""
    fill(2)
    reader, session = Driven(maildir, {}), drive()
    session.session.store = reader.session.store
    reader.ask("a SELECT INBOX")
    session.do("OPEN INBOX")

    reader.ask("b STORE 1 +FLAGS.SILENT (\\Deleted)")
    reader.ask("c EXPUNGE")
    assert session.ask("NOOP") == ["* EXPUNGE 1", UPDATED]
    session.do("STORE 1 FLAGS=MARKED")
    assert b"* 1 FETCH (FLAGS (\\Flagged" in reader.send(b"d NOOP\r\n")
    session.do("EXPUNGE 1")
    assert reader.send(b"e FETCH 1 FLAGS\r\n").startswith(b"* 1 FETCH (FLAGS (\\Flagged")
    assert b"* 1 EXPUNGE\r\n" in reader.send(b"f NOOP\r\n")


def test_keyword_of_both_protocols(drive: Drive, fill: Fill, maildir: Path) -> None:
    """What IMAP can't say is so from the beginning."""
    fill(1)
    session = drive()
    session.do("OPEN INBOX")

    assert session.ask('STORE 1 "KEYWORDS=two words,a*"')[0] == '* FETCH 1 "KEYWORDS=a_,two_words"'
    reader = Driven(maildir, {})
    assert b"a_ two_words" in reader.send(b"a SELECT INBOX\r\n")


# --- Dates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "wanted"),
    [
        ("UTC", "Mon, 20 Jan 2025 23:43:09 +0000"),
        ("Europe/Berlin", "Tue, 21 Jan 2025 00:43:09 +0100"),
        ("America/St_Johns", "Mon, 20 Jan 2025 20:13:09 -0330"),
    ],
)
def test_date_in_the_server_s_zone(
    drive: Drive,
    fill: Fill,
    maildir: Path,
    monkeypatch: pytest.MonkeyPatch,
    zone: str,
    wanted: str,
) -> None:
    (name,) = fill(1)
    os.utime(maildir / "cur" / f"{name}:2,", (1737416589, 1737416589))
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    session = drive()
    session.do("OPEN INBOX")

    try:
        assert session.ask("FETCH 1 INTERNALDATE")[0] == f'* FETCH 1 "INTERNALDATE={wanted}"'
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("moment", [-(1 << 40), -1, 0, 1 << 40])
def test_date_of_any_file(drive: Drive, fill: Fill, maildir: Path, moment: int) -> None:
    (name,) = fill(1)
    os.utime(maildir / "cur" / f"{name}:2,", (moment, moment))
    session = drive()
    session.do("OPEN INBOX")

    assert session.ask("FETCH 1 INTERNALDATE")[-1] == "+OK Message retrieved."


def test_transcript(drive: Drive, maildir: Path) -> None:
    """IMAPDEBUGFILE, which has to be there: what is said, and unlike Courier's what is asked."""
    (maildir / "debug").touch()
    session = drive(IMAPDEBUGFILE="debug")
    session.do("STATUS FULL INBOX")

    assert (maildir / "debug").read_bytes() == (
        b"WRITE: +OK SMAP1 LOGIN Ok.\n"
        b"READ: STATUS FULL INBOX\n"
        b"WRITE: * STATUS EXISTS=0 UNSEEN=0\n+OK Folder status retrieved\n"
    )


@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 8193, 16_384, 300_000, 1_000_000])
def test_body_of_any_size(drive: Drive, fill: Fill, size: int) -> None:
    """In chunks of 8 KiB; what has them joined is the body."""
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    fill(1, content=b"Subject: x\n\n" + body)
    session = drive()
    session.do("OPEN INBOX")

    said = session.send(b"FETCH 1 CONTENTS.PEEK=BODY\n")

    if not size:
        assert said == b"{.0} FETCH 1 CONTENTS\n.\n+OK Message retrieved.\n"
        return
    first, _, rest = said.partition(b"\n")
    assert first == b"{%d/%d} FETCH 1 CONTENTS" % (min(size, 8192), size)
    chunk, found = min(size, 8192), b""
    while chunk:
        found, rest = found + rest[:chunk], rest[chunk:]
        number, _, rest = rest.partition(b"\n")
        chunk = int(number or 0)
    assert found == body
    assert rest == b"+OK Message retrieved.\n"


def test_names_with_quotes(drive: Drive, maildir: Path) -> None:
    """They are doubled, as in every word."""
    (maildir / "cur" / '1.a"b.mx:2,').write_text("Subject: x\n\n")
    session = drive()
    session.do("OPEN INBOX")

    assert session.ask("FETCH 1 UID")[0] == '* FETCH 1 "UID=1.a""b.mx"'


def test_message_read_last_is_kept_while_it_is_read(drive: Drive, fill: Fill) -> None:
    """Its parts are asked for one by one; a session that waits for changes keeps none."""
    fill(1)
    session = drive()
    session.do("OPEN INBOX")
    session.do("FETCH 1 CONTENTS.PEEK=MIME")
    assert session.session.opened is not None

    session.do("NOOP")

    assert session.session.opened is None
