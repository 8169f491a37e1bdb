"""UIDONLY (RFC 9586): a client that knows messages by UID alone."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from courier.process.request import Wake
from imapd.commands import fetch
from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.support.maildirs import deliver, make_folder

pytestmark = pytest.mark.usefixtures("logged")


@pytest.fixture
def filled(maildir: Path) -> Path:
    """UIDs 1 to 6."""
    for number in range(1, 7):
        deliver(maildir, b"Subject: x\n\nbody\n", number=number, flags="")
    return maildir


@pytest.fixture
def selected(filled: Path, driven: Driven) -> Driven:
    """UIDs 2, 4 and 6 are left."""
    assert driven.ask("e ENABLE UIDONLY")[0].line == "* ENABLED UIDONLY"
    driven.ask("s SELECT INBOX")
    driven.ask("d UID STORE 1,3,5 +FLAGS.SILENT (\\Deleted)")
    assert driven.ask("x EXPUNGE")[0].line == "* VANISHED 1,3,5"
    return driven


def lines(driven: Driven, command: str) -> list[str]:
    responses = driven.ask(f"a {command}")
    assert responses[-1].name == "OK", responses
    return [one.line.removeprefix("* ") for one in responses[:-1]]


def test_announced(driven: Driven) -> None:
    assert b" UIDONLY" in driven.send(b"a CAPABILITY\r\n")


def test_not_without_extensions(drive: Drive) -> None:
    driven = drive(IMAP_EXTENSIONS="0")

    assert driven.ask("e ENABLE UIDONLY")[0].line == "* ENABLED"
    assert driven.ask("s SELECT INBOX")[-1].name == "OK"


@pytest.mark.parametrize(
    "command",
    [
        "FETCH 1 FLAGS",
        "FETCH $ FLAGS",
        "STORE 1 +FLAGS (\\Seen)",
        "COPY 1 INBOX",
        "MOVE 1 INBOX",
        "SEARCH ALL",
        "SEARCH UID 2",
        "SEARCH RETURN (COUNT) ALL",
        "SORT (DATE) UTF-8 ALL",
        "THREAD REFERENCES UTF-8 ALL",
        "REPLACE 1 INBOX {1+}\r\nx",
        "UID SEARCH 1",
        "UID SEARCH 1:*",
        "UID SEARCH OR SEEN (NOT *)",
        "UID SORT (DATE) UTF-8 1:2",
        "UID THREAD REFERENCES UTF-8 1:2",
        "UID SEARCH RETURN (UPDATE) 1:2",
        "ESEARCH IN (personal) ALL 1:2",
    ],
)
def test_numbers_are_refused(selected: Driven, command: str) -> None:
    """RFC 9586 3.2, 3.5, 3.8."""
    (completion,) = selected.ask(f"a {command}")

    assert (completion.name, completion.code) == ("BAD", "UIDREQUIRED")
    assert lines(selected, "UID FETCH 2:6 FLAGS")[1:] == [
        "4 UIDFETCH (FLAGS (\\Recent))",
        "6 UIDFETCH (FLAGS (\\Recent))",
    ]


def test_refused_before_a_literal_is_sent(selected: Driven) -> None:
    """RFC 9586 3.2: nothing that the client could still send would help."""
    for command in ("SEARCH SUBJECT {3}", "REPLACE 1 INBOX {3}"):
        (completion,) = selected.ask(f"a {command}")

        assert (completion.name, completion.code) == ("BAD", "UIDREQUIRED")


def test_sequence_match_data(selected: Driven) -> None:
    """RFC 9586 3.7."""
    selected.ask("e ENABLE QRESYNC")

    (completion,) = selected.ask("a SELECT INBOX (QRESYNC (1 1 1:6 (1 2)))")

    assert (completion.name, completion.code) == ("BAD", "UIDREQUIRED")
    assert selected.ask("b UID FETCH 2 FLAGS")[-1].name == "OK"


def test_select(selected: Driven) -> None:
    """RFC 9586 3.6: no UNSEEN, which is a number; EXISTS stays."""
    told = lines(selected, "SELECT INBOX")

    assert "3 EXISTS" in told
    assert not [line for line in told if "UNSEEN" in line]


@pytest.mark.parametrize(
    ("items", "told"),
    [
        ("FLAGS", "4 UIDFETCH (FLAGS (\\Recent))"),
        ("(UID FLAGS)", "4 UIDFETCH (UID 4 FLAGS (\\Recent))"),
        ("RFC822.SIZE", "4 UIDFETCH (RFC822.SIZE 20)"),
        ("BODY.PEEK[TEXT]", "4 UIDFETCH (BODY[TEXT] {6}\r\nbody\r\n)"),
        ("(BODY.PEEK[HEADER.FIELDS (SUBJECT)])", "4 UIDFETCH (BODY[HEADER.FIELDS (\"SUBJECT\")] {14}\r\nSubject: x\r\n\r\n)"),
    ],
)  # fmt: skip
def test_fetch(selected: Driven, items: str, told: str) -> None:
    """RFC 9586 3.3: from what is kept, and from files; UID if it is asked for."""
    assert lines(selected, f"UID FETCH 4 {items}") == [told]


def test_seen_by_fetch(selected: Driven) -> None:
    told = lines(selected, "UID FETCH 4 BODY[TEXT]")

    assert told == [
        "4 UIDFETCH (BODY[TEXT] {6}\r\nbody\r\n FLAGS (\\Seen \\Recent))",
    ]


def test_store(selected: Driven) -> None:
    assert lines(selected, "UID STORE 2,6 +FLAGS (\\Seen)") == [
        "2 UIDFETCH (FLAGS (\\Seen \\Recent))",
        "6 UIDFETCH (FLAGS (\\Seen \\Recent))",
    ]


def test_with_condstore(selected: Driven) -> None:
    """MODSEQ without UID, in what is asked for and in what is not."""
    selected.ask("e ENABLE CONDSTORE")

    (told,) = lines(selected, "UID STORE 4 +FLAGS (\\Seen)")
    assert told.startswith("4 UIDFETCH (FLAGS (\\Seen \\Recent) MODSEQ (")
    (told,) = lines(selected, "UID STORE 4 +FLAGS.SILENT (\\Flagged)")
    assert told.startswith("4 UIDFETCH (MODSEQ (")
    (told,) = lines(selected, "UID FETCH 4 FLAGS (CHANGEDSINCE 1)")
    assert told.startswith("4 UIDFETCH (FLAGS (")


def test_resynchronisation(filled: Path, selected: Driven, drive: Drive) -> None:
    """What SELECT tells of changes goes by UID, too."""
    selected.ask("e ENABLE QRESYNC")
    view = selected.session.selected
    known = f"{view.folder.uidvalidity} {view.highest}"
    other = drive()
    other.ask("s SELECT INBOX")
    other.ask("b UID STORE 4 +FLAGS (\\Flagged)")
    other.ask("c UID STORE 2 +FLAGS (\\Deleted)")
    other.ask("d EXPUNGE")

    told = lines(selected, f"SELECT INBOX (QRESYNC ({known}))")

    assert "VANISHED (EARLIER) 2" in told
    assert told[-1].startswith("4 UIDFETCH (FLAGS (\\Flagged")


def test_changes_by_others(filled: Path, selected: Driven, drive: Drive) -> None:
    """RFC 9586 3.4: VANISHED, also to a client that has not enabled QRESYNC."""
    other = drive()
    other.ask("s SELECT INBOX")
    other.ask("b UID STORE 4 +FLAGS (\\Flagged)")
    other.ask("c UID STORE 2 +FLAGS (\\Deleted)")
    other.ask("d EXPUNGE")
    deliver(filled, b"Subject: new\n\n", number=9, flags="")

    assert lines(selected, "NOOP") == [
        "VANISHED 2",
        "3 EXISTS",
        "3 RECENT",
        "4 UIDFETCH (FLAGS (\\Flagged \\Recent))",
    ]


def test_in_idle(filled: Path, selected: Driven, drive: Drive) -> None:
    selected.send(b"i IDLE\r\n")
    other = drive()
    other.ask("s SELECT INBOX")
    other.ask("c UID STORE 6 +FLAGS (\\Deleted)")
    other.ask("d EXPUNGE")

    told = selected.send(Wake.CHANGED)

    assert b"* VANISHED 6\r\n" in told and b"EXPUNGE" not in told


def test_notified_of_new_messages(filled: Path, selected: Driven) -> None:
    """RFC 9586 3.6: what NOTIFY and UPDATE have the client want, too."""
    selected.ask("n NOTIFY SET (selected (MessageNew (FLAGS) MessageExpunge))")
    selected.ask("u UID SEARCH RETURN (UPDATE (RFC822.SIZE)) UNSEEN")
    deliver(filled, b"Subject: new\n\n", number=9, flags="")

    told = lines(selected, "NOOP")

    assert "7 UIDFETCH (FLAGS (\\Recent) RFC822.SIZE 16)" in told
    assert 'ESEARCH (TAG "u") UID ADDTO (0 7)' in told


def test_move(filled: Path, selected: Driven) -> None:
    make_folder(filled, "INBOX.other")

    told = lines(selected, "UID MOVE 4 INBOX.other")

    assert "VANISHED 4" in told and not [line for line in told if "EXPUNGE" in line]


def test_without_locks(filled: Path, drive: Drive) -> None:
    """A mailbox that keeps no MODSEQs has UIDs all the same."""
    driven = drive(IMAP_USELOCKS="0")
    driven.ask("e ENABLE UIDONLY QRESYNC")
    driven.ask("s SELECT INBOX")

    assert lines(driven, "UID STORE 2 +FLAGS (\\Deleted)")[0].startswith("2 UIDFETCH (FLAGS (")
    assert "VANISHED 2" in lines(driven, "EXPUNGE")


def test_searches_by_uid(selected: Driven) -> None:
    """RFC 9586 3.5: all that names no numbers; ``$`` does not."""
    assert lines(selected, "UID SEARCH UID 3:*") == ["SEARCH 4 6"]
    assert lines(selected, "UID SEARCH RETURN (SAVE COUNT) UID 4:6") == [
        'ESEARCH (TAG "a") UID COUNT 2'
    ]
    assert lines(selected, "UID SEARCH RETURN (ALL) $") == ['ESEARCH (TAG "a") UID ALL 4,6']
    assert lines(selected, "UID SORT (REVERSE ARRIVAL) UTF-8 ALL")[0].startswith("SORT ")
    assert lines(selected, "UID THREAD REFERENCES UTF-8 UID 4") == ["THREAD (4)"]


def test_pages(selected: Driven) -> None:
    """With PARTIAL and UIDBATCHES, as Apple's clients ask for it."""
    assert lines(selected, "UIDBATCHES 500") == ['UIDBATCHES (TAG "a") 6:1']
    assert lines(selected, "UID SEARCH RETURN (PARTIAL -1:-2) ALL") == [
        'ESEARCH (TAG "a") UID PARTIAL (-1:-2 4,6)'
    ]
    assert lines(selected, "UID FETCH 1:6 (UID) (PARTIAL -1:-1)") == ["6 UIDFETCH (UID 6)"]


def test_unreadable_message(selected: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said to people names no number either."""

    def fails(*arguments: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "x")

    monkeypatch.setattr(fetch, "_open", fails)

    told = lines(selected, "UID FETCH 4 BODY.PEEK[]")

    assert told == ["NO [ALERT] Cannot open message 4"]
