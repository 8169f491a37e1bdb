"""NOTIFY (RFC 5465): what a client is told of, when, and what it is not."""

from __future__ import annotations

import errno
import os
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from courier.maildir import watch
from courier.process.request import Receive, Wake
from imapd import notifier, observed
from tests.imapd.conftest import Drive, Log
from tests.imapd.driver import Driven
from tests.imapd.responses import read
from tests.support.maildirs import deliver, folder_path, make_folder
from tests.support.open_files import open_before, open_now

pytestmark = pytest.mark.usefixtures("logged", "unhurried")

MESSAGES = "(MessageNew MessageExpunge)"
ALL = "(MessageNew MessageExpunge FlagChange)"


@pytest.fixture
def other(drive: Drive) -> Driven:
    """Another client of the account, in a process of its own as far as the disk goes."""
    return drive()


def lines(data: bytes) -> list[str]:
    """Well formed responses, without what changes from run to run."""
    return [response.line.removeprefix("* ") for response in read(data)]


def told(driven: Driven) -> list[str]:
    """What a client is told between commands."""
    return lines(driven.wake())


def set_(driven: Driven, groups: str) -> list[str]:
    responses = driven.ask(f"n NOTIFY SET {groups}")
    assert responses[-1].name == "OK", responses
    return [response.line.removeprefix("* ") for response in responses[:-1]]


def arrive(maildir: Path, mailbox: str, number: int, flags: str | None = None) -> str:
    return deliver(folder_path(maildir, mailbox), b"Subject: s\n\nx\n", number=number, flags=flags)


# -- the command -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "SET",
        "SET STATUS",
        "SET ()",
        "SET (personal)",
        "SET (personal MessageNew MessageExpunge)",
        "SET (everything (MessageNew MessageExpunge))",
        "SET (mailboxes (MessageNew MessageExpunge))",
        "SET (subtree () NONE)",
        "NONE x",
        "SET (personal NONE) x",
        "SET (personal ())",
        # RFC 5465 5: these only together.
        "SET (personal (MessageNew))",
        "SET (personal (MessageExpunge))",
        "SET (personal (FlagChange))",
        "SET (personal (AnnotationChange))",
        "SET (selected (FlagChange MessageNew))",
        # 6.1: one of these, and events of messages alone.
        "SET (selected NONE) (selected-delayed NONE)",
        "SET (selected (MessageNew MessageExpunge)) (selected NONE)",
        "SET (selected (MailboxName))",
        "SET (selected-delayed (MessageNew MessageExpunge SubscriptionChange))",
        # 8: of the selected mailbox alone.
        "SET (personal (MessageNew (uid) MessageExpunge))",
        "SET (selected (MessageNew () MessageExpunge))",
        "SET (selected (MessageNew (x) MessageExpunge))",
    ],
)
def test_bad(driven: Driven, arguments: str) -> None:
    assert driven.ask(f"a NOTIFY {arguments}".rstrip())[-1].name == "BAD"


@pytest.mark.parametrize(
    "groups",
    [
        "(personal (AnnotationChange MessageNew MessageExpunge))",
        "(personal (MailboxName SomethingNew))",
        "(selected (MessageNew MessageExpunge AnnotationChange))",
    ],
)
def test_events_that_there_are_not(driven: Driven, groups: str) -> None:
    """RFC 5465 3.1: NO, with the names of all that there are."""
    (response,) = driven.ask(f"a NOTIFY SET {groups}")

    assert response.name == "NO"
    assert response.code == (
        "BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange "
        "MailboxMetadataChange ServerMetadataChange)"
    )


def test_case_does_not_matter(driven: Driven, maildir: Path) -> None:
    """Nor do names that are literals, quoted, or INBOX in small letters."""
    driven.send(b"a notify set (MAILBOXES (inbox {7+}\r\nINBOX.a) (messagenew MESSAGEEXPUNGE))\r\n")
    arrive(maildir, "INBOX", 1)

    assert len(told(driven)) == 1


def test_announced_unless_extensions_are_off(drive: Drive) -> None:
    assert " NOTIFY" in drive().ask("c CAPABILITY")[0].line
    assert " NOTIFY" not in drive(IMAP_EXTENSIONS="0").ask("c CAPABILITY")[0].line


def test_what_fails_changes_nothing(driven: Driven, maildir: Path) -> None:
    set_(driven, f"(mailboxes INBOX {MESSAGES})")
    driven.ask("b NOTIFY SET (personal (AnnotationChange MessageNew MessageExpunge))")
    arrive(maildir, "INBOX", 1)

    assert len(told(driven)) == 1


def test_none_ends_it(driven: Driven, maildir: Path) -> None:
    """Nothing is watched any more, and no descriptor left."""
    before = open_before()
    set_(driven, f"(personal {MESSAGES})")
    assert len(open_now()) == len(before) + 1

    driven.ask("b NOTIFY NONE")

    assert open_now() == before
    assert driven.requests[-1].watch is None  # type: ignore[union-attr]


@pytest.mark.parametrize("end", ["close", "stop", "lose"])
def test_watches_end_with_the_session(driven: Driven, end: str) -> None:
    before = open_before()
    set_(driven, f"(selected {ALL}) (personal {ALL})")

    getattr(driven, end)()

    assert open_now() == before


def test_inactivity_counts_from_the_last_command(
    driven: Driven, maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often the client is told of something."""
    now = 1000.0
    monkeypatch.setattr("imapd.session.time.monotonic", lambda: now)
    set_(driven, f"(personal {MESSAGES})")
    for number in range(17):
        now += 100
        arrive(maildir, "INBOX", number)
        assert len(told(driven)) == 1
        assert driven.requests[-1].timeout_s <= 2800 - now  # type: ignore[union-attr]
    now = 2800.0

    assert driven.send(Wake.TIMEOUT) == b"* BYE Disconnected for inactivity.\r\n"


# -- STATUS ------------------------------------------------------------------------------------


def test_status(driven: Driven, maildir: Path) -> None:
    """RFC 5465 3.1: of each mailbox with events of messages, but the selected one; what they need."""
    make_folder(maildir, "INBOX.a")
    make_folder(maildir, "INBOX.b")
    make_folder(maildir, "INBOX.c")
    driven.ask("s SELECT INBOX.c")
    responses = driven.ask(
        f"n NOTIFY SET STATUS (mailboxes (INBOX INBOX.c) {MESSAGES}) (mailboxes INBOX.a {ALL})"
        " (mailboxes INBOX.b (MailboxName)) (mailboxes INBOX.none (MessageNew MessageExpunge))"
    )

    told = {r.values[0]: set(r.values[1]) for r in responses if r.name == "STATUS"}  # type: ignore[call-overload]
    assert told[b"INBOX"] == {"MESSAGES", "UIDNEXT", "UIDVALIDITY"}
    assert told[b"INBOX.a"] >= {"MESSAGES", "UIDNEXT", "UIDVALIDITY", "HIGHESTMODSEQ"}
    assert told.keys() == {b"INBOX", b"INBOX.a"}
    assert set_(driven, f"(personal {ALL})") == []  # not asked for


# -- other mailboxes -----------------------------------------------------------------------------


def test_message_in_another_mailbox(driven: Driven, other: Driven, maildir: Path) -> None:
    make_folder(maildir, "INBOX.a")
    set_(driven, f"(mailboxes INBOX.a {MESSAGES})")

    arrive(maildir, "INBOX.a", 1)
    (line,) = told(driven)
    assert line.startswith('STATUS "INBOX.a" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY ')
    assert told(driven) == []

    other.ask("a SELECT INBOX.a")
    assert told(driven) == []  # it moved from new/ to cur/
    other.ask("a STORE 1 +FLAGS (\\Seen \\Deleted)")
    assert told(driven) == []  # FlagChange is not wanted
    other.ask("a EXPUNGE")
    (line,) = told(driven)
    assert line.startswith('STATUS "INBOX.a" (MESSAGES 0 UIDNEXT 2 UIDVALIDITY ')


def test_flags_in_another_mailbox(driven: Driven, other: Driven, maildir: Path) -> None:
    """RFC 5465 5.1: without CONDSTORE what is unseen, with it the MODSEQ."""
    make_folder(maildir, "INBOX.a")
    arrive(maildir, "INBOX.a", 1, "")
    other.ask("a SELECT INBOX.a")
    set_(driven, f"(mailboxes INBOX.a {ALL})")

    other.ask("a STORE 1 +FLAGS (\\Flagged)")
    assert told(driven) == []
    other.ask("a STORE 1 +FLAGS (\\Seen)")
    (line,) = told(driven)
    assert line.endswith(" UNSEEN 0)")
    assert "UIDVALIDITY" in line

    driven.ask("e ENABLE CONDSTORE")
    set_(driven, f"(mailboxes INBOX.a {ALL})")
    other.ask("a STORE 1 -FLAGS (\\Flagged)")
    (line,) = told(driven)
    assert "HIGHESTMODSEQ" in line
    assert "MESSAGES" not in line
    arrive(maildir, "INBOX.a", 2)
    (line,) = told(driven)
    assert "HIGHESTMODSEQ" in line
    assert "MESSAGES 2" in line


def test_mailbox_with_another_uidvalidity(driven: Driven, other: Driven, maildir: Path) -> None:
    """RFC 5465 5.1."""
    make_folder(maildir, "INBOX.a")
    set_(driven, f"(mailboxes INBOX.a {ALL})")

    (folder_path(maildir, "INBOX.a") / "courierimapuiddb").write_text("1 7 1\n")
    arrive(maildir, "INBOX.a", 1, "S")
    (line,) = told(driven)
    assert "UIDVALIDITY 7" in line


def test_own_messages_are_not_told(driven: Driven, maildir: Path) -> None:
    """RFC 5465 5: but what others do at the same time is."""
    make_folder(maildir, "INBOX.a")
    set_(driven, f"(personal {ALL})")
    assert len(driven.send(b"a APPEND INBOX.a {1+}\r\nx\r\n").splitlines()) == 1
    assert told(driven) == []
    arrive(maildir, "INBOX.a", 1)

    sent = driven.send(b"a APPEND INBOX.a {1+}\r\nx\r\n")

    assert b"(MESSAGES 3 UIDNEXT 4 " in sent


def test_told_before_a_command_completes(driven: Driven, maildir: Path) -> None:
    """A client that only ever sends commands is told, too; not during FETCH."""
    make_folder(maildir, "INBOX.a")
    set_(driven, f"(personal {MESSAGES})")
    arrive(maildir, "INBOX.a", 1)

    assert [response.name for response in driven.ask("a NOOP")] == ["STATUS", "OK"]
    assert [response.name for response in driven.ask("a NOOP")] == ["OK"]


def test_end_of_input_behind_a_command(driven: Driven) -> None:
    """It is completed all the same."""
    set_(driven, f"(personal {MESSAGES})")

    assert driven.send(b"a NOOP\r\n", b"") == b"a OK NOOP completed\r\n"
    assert driven.ended


@pytest.mark.parametrize(
    "which, expected",
    [
        ("personal", {"INBOX", "INBOX.a", "INBOX.a.b", "INBOX.ab"}),
        ("inboxes", {"INBOX", "INBOX.a", "INBOX.a.b", "INBOX.ab"}),
        ("subtree INBOX.a", {"INBOX.a", "INBOX.a.b"}),
        ("subtree (INBOX.ab INBOX.none)", {"INBOX.ab"}),
        ("mailboxes INBOX.a", {"INBOX.a"}),
        ('mailboxes "INBOX.%"', set()),  # RFC 5465 6.6: no wildcards
        ('subtree "*"', set()),
        ("subscribed", {"INBOX.ab"}),
    ],
)
def test_filters(driven: Driven, maildir: Path, which: str, expected: set[str]) -> None:
    names = ("INBOX.a", "INBOX.a.b", "INBOX.ab")
    for name in names:
        make_folder(maildir, name)
    driven.ask("s SUBSCRIBE INBOX.ab")
    set_(driven, f"({which} {MESSAGES})")

    for number, name in enumerate(("INBOX", *names)):
        arrive(maildir, name, number)

    assert {line.split('"')[1] for line in told(driven)} == expected


def test_subscribed_is_evaluated_anew(driven: Driven, other: Driven, maildir: Path) -> None:
    """RFC 5465 6.4."""
    make_folder(maildir, "INBOX.a")
    set_(driven, f"(subscribed {MESSAGES})")

    other.ask("a SUBSCRIBE INBOX.a")
    assert told(driven) == []
    arrive(maildir, "INBOX.a", 1)
    assert len(told(driven)) == 1
    other.ask("a UNSUBSCRIBE INBOX.a")
    told(driven)
    arrive(maildir, "INBOX.a", 2)
    assert told(driven) == []


def test_mailbox_made_later(driven: Driven, other: Driven, maildir: Path) -> None:
    """It is among the personal ones from then on; what came meanwhile is told."""
    set_(driven, f"(personal {MESSAGES})")

    other.ask("a CREATE INBOX.new")
    assert told(driven) == []
    arrive(maildir, "INBOX.new", 1)
    assert len(told(driven)) == 1
    make_folder(maildir, "INBOX.full")
    arrive(maildir, "INBOX.full", 2)
    assert told(driven)[0].startswith('STATUS "INBOX.full" (MESSAGES 1 ')


def test_change_noted_while_the_session_does_not_wait(driven: Driven, maildir: Path) -> None:
    """Another session of the process has the events collected: this one looks before it waits."""
    driven.ask("s SELECT INBOX")
    set_(driven, f"(selected {ALL}) (personal {MESSAGES})")
    watcher = driven.session.store.watcher

    def arrive_once(step: object) -> None:
        if isinstance(step, bytes) and step.startswith(b"a OK"):
            arrive(maildir, "INBOX", 1)
            watcher.collect()

    driven.before = arrive_once

    told = [response.name for response in read(driven.send(b"a FETCH 1:* FLAGS\r\n"))]
    assert told == ["BAD"]
    told = [response.name for response in read(driven.send(b"a UID FETCH 1:* FLAGS\r\n"))]
    assert told == ["OK", "EXISTS", "RECENT"]


def test_change_between_selecting_and_watching(driven: Driven, maildir: Path) -> None:
    """The mailbox is looked at again once it is watched."""
    set_(driven, f"(selected {ALL})")

    def arrive_once(step: object) -> None:
        if isinstance(step, bytes) and step.startswith(b"a OK"):
            arrive(maildir, "INBOX", 1)

    driven.before = arrive_once

    names = [response.name for response in read(driven.send(b"a SELECT INBOX\r\n"))]
    assert names[-3:] == ["OK", "EXISTS", "RECENT"]


# -- names ---------------------------------------------------------------------------------------


def test_names(driven: Driven, other: Driven) -> None:
    """RFC 5465 5.4: the mailbox, and its parent whether there is one or not."""
    set_(driven, "(personal (MailboxName))")

    other.ask("a CREATE INBOX.a.b")
    assert told(driven) == [
        'LIST (\\HasNoChildren) "." "INBOX.a.b"',
        'LIST (\\NonExistent \\HasChildren) "." "INBOX.a"',
    ]
    other.ask("a CREATE INBOX.a")
    assert told(driven)[0] == 'LIST (\\HasChildren) "." "INBOX.a"'
    other.ask("a RENAME INBOX.a INBOX.c")
    assert told(driven) == ['LIST (\\HasChildren) "." "INBOX.c" ("OLDNAME" ("INBOX.a"))']
    other.ask("a DELETE INBOX.c.b")
    assert told(driven) == [
        'LIST (\\NonExistent \\HasNoChildren) "." "INBOX.c.b"',
        'LIST (\\HasNoChildren) "." "INBOX.c"',
    ]


def test_own_names_are_not_told(driven: Driven, other: Driven) -> None:
    """RFC 5465 5: what another does meanwhile is."""
    set_(driven, "(personal (MailboxName SubscriptionChange))")
    other.ask("a CREATE INBOX.others")
    told(driven)

    for command in ("CREATE INBOX.a", "CREATE INBOX.a.b", "RENAME INBOX.a INBOX.c"):
        assert len(driven.ask(f"a {command}")) == 1, command
        assert told(driven) == []
    driven.send(b"a APPEND INBOX {1+}\r\nx\r\n")
    for command in (
        "SUBSCRIBE INBOX.c",
        "RENAME INBOX INBOX.old",
        "DELETE INBOX.c.b",
        "UNSUBSCRIBE INBOX.c",
    ):
        assert len(driven.ask(f"a {command}")) == 1, command
        assert told(driven) == []
    other.ask("a DELETE INBOX.others")
    assert any("INBOX.others" in response.line for response in driven.ask("a CREATE INBOX.d"))


def test_looking_for_names_rests(
    driven: Driven, other: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it takes long it is not done all the time; nothing is lost by that, nor one's own told."""
    set_(driven, "(personal (MailboxName))")
    monkeypatch.setattr(notifier, "_LONG_S", -1.0)
    monkeypatch.setattr(notifier, "_REST", 1e6)
    other.ask("a CREATE INBOX.a")
    assert len(told(driven)) == 2
    other.ask("a CREATE INBOX.b")
    assert len(driven.ask("a CREATE INBOX.own")) == 1
    assert told(driven) == []
    assert driven.requests[-1].timeout_s > 0  # type: ignore[union-attr]

    driven.session.notifier._rests_until = 0.0

    assert [line.split('"')[3] for line in lines(driven.send(Wake.TIMEOUT))] == ["INBOX.b", "INBOX"]


def test_subscriptions(driven: Driven, other: Driven, maildir: Path) -> None:
    """RFC 5465 5.5, of mailboxes that there are not, too."""
    make_folder(maildir, "INBOX.a")
    set_(driven, "(personal (SubscriptionChange))")

    other.ask("a SUBSCRIBE INBOX.a")
    assert told(driven) == ['LIST (\\Subscribed \\HasNoChildren) "." "INBOX.a"']
    other.ask("a SUBSCRIBE INBOX.none")
    assert told(driven) == ['LIST (\\Subscribed \\NonExistent \\HasNoChildren) "." "INBOX.none"']
    other.ask("a UNSUBSCRIBE INBOX.a")
    assert told(driven) == ['LIST (\\HasNoChildren) "." "INBOX.a"']


# -- annotations ---------------------------------------------------------------------------------


def test_annotations(driven: Driven, other: Driven, maildir: Path) -> None:
    """RFC 5465 5.6 and 5.7: the entries' names, deleted ones too; not one's own."""
    make_folder(maildir, "INBOX.a")
    set_(driven, "(personal (MailboxMetadataChange ServerMetadataChange))")

    other.ask('a SETMETADATA INBOX.a (/private/comment "x" /shared/comment "y")')
    assert told(driven) == ['METADATA "INBOX.a" /private/comment /shared/comment']
    other.ask("a SETMETADATA INBOX.a (/private/comment NIL)")
    assert told(driven) == ['METADATA "INBOX.a" /private/comment']
    other.ask('a SETMETADATA "" (/private/vendor/x/y "z")')
    assert told(driven) == ['METADATA "" /private/vendor/x/y']
    driven.ask('a SETMETADATA INBOX.a (/private/comment "z")')
    assert told(driven) == []


# -- the selected mailbox --------------------------------------------------------------------------


@pytest.fixture
def selected(driven: Driven, other: Driven, maildir: Path) -> Driven:
    """A client that has selected INBOX with two messages."""
    for number in (1, 2):
        arrive(maildir, "INBOX", number, "")
    other.ask("s SELECT INBOX")  # so that they are not recent
    other.ask("s CLOSE")
    driven.ask("s SELECT INBOX")
    return driven


def test_selected(selected: Driven, other: Driven, maildir: Path) -> None:
    """All at once, between commands, and changes with the UID (RFC 5465 5.1)."""
    set_(selected, f"(selected {ALL})")
    arrive(maildir, "INBOX", 3, "S")
    assert told(selected) == ["3 EXISTS", "1 RECENT"]
    other.ask("a SELECT INBOX")
    other.ask("a STORE 2 +FLAGS (\\Flagged)")
    assert told(selected) == ["2 FETCH (UID 2 FLAGS (\\Flagged))"]
    other.ask("a STORE 2 +FLAGS (\\Deleted)")
    told(selected)
    other.ask("a EXPUNGE")
    assert told(selected)[0] == "2 EXPUNGE"


def test_selected_delayed(selected: Driven, other: Driven, maildir: Path) -> None:
    """Numbers stay until a command that may change them (RFC 5465 6.1.2)."""
    set_(selected, f"(selected-delayed {ALL})")
    other.ask("a SELECT INBOX")
    other.ask("a STORE 1 +FLAGS (\\Deleted)")
    other.ask("a EXPUNGE")
    arrive(maildir, "INBOX", 3, "S")

    names = [line.split()[1] for line in told(selected)]
    assert "EXISTS" in names
    assert "EXPUNGE" not in names
    assert "EXPUNGE" not in [response.name for response in selected.ask("a FETCH 1 FLAGS")]
    assert selected.ask("a NOOP")[0].line == "* 1 EXPUNGE"


def test_with_qresync(selected: Driven, other: Driven) -> None:
    """RFC 5465 5.3."""
    selected.ask("e ENABLE QRESYNC")
    set_(selected, f"(selected {ALL})")
    other.ask("a SELECT INBOX")
    other.ask("a STORE 1 +FLAGS (\\Deleted)")
    assert "MODSEQ" in told(selected)[0]
    other.ask("a EXPUNGE")
    assert told(selected)[0] == "VANISHED 1"


@pytest.mark.parametrize("groups", ["(selected NONE)", f"(personal {ALL})"])
def test_a_snapshot(selected: Driven, other: Driven, maildir: Path, groups: str) -> None:
    """RFC 5465 3.1, 5: of a selected mailbox that is not asked for nothing is told, even in IDLE."""
    set_(selected, groups)
    other.ask("a SELECT INBOX")
    other.ask("a STORE 1 +FLAGS (\\Deleted)")
    other.ask("a EXPUNGE")
    arrive(maildir, "INBOX", 3, "S")

    assert told(selected) == []
    for command in ("NOOP", "CHECK", "FETCH 1:2 UID", "UID SEARCH ALL"):
        names = [response.name for response in selected.ask(f"a {command}")]
        assert not {"EXISTS", "EXPUNGE"}.intersection(names), command
    assert lines(selected.send(b"a IDLE\r\n"))[1:] == []
    assert lines(selected.send(b"DONE\r\n")) == ["a OK IDLE completed"]
    # What the client does itself has to be told (RFC 9051 6.4.3).
    selected.ask("a STORE 2 +FLAGS (\\Deleted)")
    assert [r.name for r in selected.ask("a EXPUNGE")][:2] == ["EXPUNGE", "EXPUNGE"]


def test_without_flags(selected: Driven, other: Driven, maildir: Path) -> None:
    """Then none are told, and a client with QRESYNC is not made to believe that it is in step."""
    selected.ask("e ENABLE QRESYNC")
    (known,) = [r.code for r in selected.ask("s SELECT INBOX") if "HIGHESTMODSEQ" in r.code]
    set_(selected, f"(selected {MESSAGES})")
    other.ask("a SELECT INBOX")
    other.ask("a STORE 1 +FLAGS (\\Flagged)")
    assert told(selected) == []
    arrive(maildir, "INBOX", 3, "S")
    assert told(selected) == ["3 EXISTS", "1 RECENT"]
    other.ask("a STORE 2 +FLAGS (\\Deleted)")
    other.ask("a EXPUNGE")
    assert told(selected)[0].startswith("VANISHED ")

    since = known.split()[1]
    validity = next(
        r.code.split()[1] for r in other.ask("s SELECT INBOX") if r.code.startswith("UIDV")
    )
    (noop,) = selected.ask("a NOOP")
    assert noop.code in ("", known)
    missed = selected.ask(f"s SELECT INBOX (QRESYNC ({validity} {since}))")
    assert any(r.name == "FETCH" and b"\\Flagged" in r.raw for r in missed)


def test_items_of_new_messages(selected: Driven, maildir: Path) -> None:
    """One FETCH response behind EXISTS; not of what the client has added itself (RFC 5465 5.2)."""
    items = "(UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])"
    set_(selected, f"(selected (MessageNew {items} MessageExpunge))")
    arrive(maildir, "INBOX", 3)
    arrive(maildir, "INBOX", 4)

    responses = read(selected.wake())
    assert [(r.number, r.name) for r in responses] == [
        (4, "EXISTS"),
        (2, "RECENT"),
        (3, "FETCH"),
        (4, "FETCH"),
    ]
    assert b"UID 4 FLAGS (\\Recent) BODY[HEADER.FIELDS" in responses[-1].raw
    assert b"Subject: s" in responses[-1].raw
    names = [r.name for r in read(selected.send(b"a APPEND INBOX {1+}\r\nx\r\n"))]
    assert names == ["EXISTS", "RECENT", "OK"]
    assert "FETCH" not in [r.name for r in selected.ask("a COPY 1 INBOX")]
    assert told(selected) == []


def test_items_that_would_set_seen_do_not(selected: Driven, maildir: Path) -> None:
    set_(selected, "(selected (MessageNew (BODY[TEXT]) MessageExpunge FlagChange))")
    arrive(maildir, "INBOX", 3)

    assert b"BODY[TEXT] {3}" in selected.wake()
    assert b"\\Seen" not in selected.send(b"f FETCH 3 FLAGS\r\n")


def test_items_of_a_search_that_is_updated(selected: Driven, maildir: Path) -> None:
    """RFC 5465 7: of new messages that match, once; not of those whose flags changed."""
    selected.ask('u UID SEARCH RETURN (UPDATE (UID) COUNT) SUBJECT "s"')
    selected.ask("v SEARCH RETURN (UPDATE (FLAGS)) SEEN")
    set_(selected, "(selected (MessageNew (UID) MessageExpunge FlagChange))")
    arrive(maildir, "INBOX", 3, "S")

    assert told(selected) == [
        "3 EXISTS",
        "1 RECENT",
        "3 FETCH (UID 3 FLAGS (\\Seen \\Recent))",
        'ESEARCH (TAG "u") UID ADDTO (0 3)',
        'ESEARCH (TAG "v") ADDTO (0 3)',
    ]
    selected.ask("a STORE 1 +FLAGS.SILENT (\\Seen)")
    assert told(selected) == []


def test_set_tells_what_has_accumulated(selected: Driven, other: Driven) -> None:
    """RFC 5465 3.1: an implicit NOOP, even if nothing is wanted from then on."""
    other.ask("a SELECT INBOX")
    other.ask("a STORE 1 +FLAGS (\\Deleted)")
    other.ask("a EXPUNGE")

    assert set_(selected, "(selected NONE)")[0] == "1 EXPUNGE"


def test_the_selected_mailbox_is_whichever_it_is(driven: Driven, maildir: Path) -> None:
    """RFC 5465 3.1: another one after SELECT; the one that was left is told as others are."""
    make_folder(maildir, "INBOX.a")
    set_(driven, f"(selected {ALL}) (personal {MESSAGES})")
    driven.ask("s SELECT INBOX.a")
    arrive(maildir, "INBOX.a", 1)
    assert told(driven)[0] == "1 EXISTS"
    arrive(maildir, "INBOX", 2)
    assert told(driven)[0].startswith('STATUS "INBOX" ')
    driven.ask("s SELECT INBOX")
    arrive(maildir, "INBOX", 3)
    assert told(driven)[0] == "2 EXISTS"
    arrive(maildir, "INBOX.a", 4)
    assert told(driven)[0].startswith('STATUS "INBOX.a" (MESSAGES 2 ')
    driven.ask("s CLOSE")
    assert told(driven) == []


def test_idle(driven: Driven, maildir: Path) -> None:
    """RFC 5465 4: the same events, at once."""
    make_folder(maildir, "INBOX.a")
    driven.ask("s SELECT INBOX")
    set_(driven, f"(selected {MESSAGES}) (personal {MESSAGES})")
    driven.send(b"i IDLE\r\n")

    arrive(maildir, "INBOX.a", 1)
    assert told(driven)[0].startswith('STATUS "INBOX.a" ')
    arrive(maildir, "INBOX", 2)
    assert told(driven)[0] == "1 EXISTS"
    assert lines(driven.send(b"DONE\r\n")) == ["i OK IDLE completed"]


def test_selected_mailbox_that_is_removed(driven: Driven, other: Driven, maildir: Path) -> None:
    """The session ends as it does with a command."""
    make_folder(maildir, "INBOX.a")
    driven.ask("s SELECT INBOX.a")
    set_(driven, f"(selected {ALL})")

    other.ask("a DELETE INBOX.a")

    assert driven.wake() == b"* BYE The selected mailbox was removed.\r\n"


# -- limits and failures ---------------------------------------------------------------------------


def test_too_many_mailboxes(
    driven: Driven, other: Driven, maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused at first (RFC 5465 3.1); later, it ends (5.8)."""
    monkeypatch.setattr(observed, "MOST", 2)
    make_folder(maildir, "INBOX.a")
    set_(driven, f"(personal {MESSAGES}) (selected {ALL})")

    other.ask("a CREATE INBOX.b")
    (line,) = told(driven)
    assert line.startswith("OK [NOTIFICATIONOVERFLOW] ")
    assert driven.requests[-1].watch is None  # type: ignore[union-attr]
    (response,) = driven.ask(f"n NOTIFY SET (personal {MESSAGES})")
    assert (response.name, response.code) == ("NO", "NOTIFICATIONOVERFLOW")


def test_too_many_names(driven: Driven) -> None:
    names = " ".join(f"INBOX.{number}" for number in range(501))

    (response,) = driven.ask(f"n NOTIFY SET (mailboxes ({names}) {MESSAGES})")

    assert (response.name, response.code) == ("NO", "NOTIFICATIONOVERFLOW")


@pytest.mark.parametrize("count, name", [(20, "OK"), (21, "NO")])
def test_too_many_subtrees_of_others(driven: Driven, count: int, name: str) -> None:
    """Each is a look at an index of accounts."""
    names = " ".join(f'"#shared.{number}"' for number in range(count))

    assert driven.ask(f"n NOTIFY SET (subtree ({names}) {MESSAGES})")[-1].name == name


def test_many_subtrees_cost_one_list(
    driven: Driven, maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder(maildir, "INBOX.7.a")
    listed: list[object] = []
    mailboxes = driven.session.mailboxes
    lists = mailboxes.listed
    monkeypatch.setattr(
        mailboxes, "listed", lambda wanted: (listed.append(wanted), lists(wanted))[1]
    )
    names = " ".join(f"INBOX.{number}" for number in range(500))
    set_(driven, f"(subtree ({names}) {MESSAGES})")
    assert len(listed) == 1
    arrive(maildir, "INBOX.7.a", 1)

    assert len(told(driven)) == 1


def test_no_watches_to_be_had(drive: Drive, maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is looked every IMAP_IDLE_TIMEOUT seconds."""
    make_folder(maildir, "INBOX.a")
    driven = drive(IMAP_IDLE_TIMEOUT="7")
    driven.ask("s SELECT INBOX")

    def refuse(path: str, *_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(driven.session.store.watcher, "watch", refuse)
    monkeypatch.setattr(driven.session.store.watcher, "watch_names", refuse)
    set_(driven, f"(selected {ALL}) (personal {MESSAGES})")
    arrive(maildir, "INBOX.a", 1)
    arrive(maildir, "INBOX", 2)

    assert driven.requests[-1].timeout_s <= 7  # type: ignore[union-attr]
    driven.session.notifier._looked -= 7
    names = [response.name for response in read(driven.send(Wake.TIMEOUT))]
    assert names == ["STATUS", "EXISTS", "RECENT"]
    assert driven.send(Wake.TIMEOUT) == b""


def test_lost_events(driven: Driven, maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is looked at."""
    make_folder(maildir, "INBOX.a")
    set_(driven, f"(personal {MESSAGES})")
    arrive(maildir, "INBOX.a", 1)
    inotify = driven.session.store.watcher._inotify
    assert inotify is not None
    inotify.read()
    lost = iter([[watch.Event(-1, watch.IN_Q_OVERFLOW, b"")]])
    monkeypatch.setattr(inotify, "read", lambda: next(lost, []))

    assert len(told(driven)) == 1


def test_a_mailbox_that_cannot_be_read(driven: Driven, maildir: Path, logged: Log) -> None:
    """It is logged, and others are told of."""
    for name in ("INBOX.a", "INBOX.b"):
        make_folder(maildir, name)
    (folder_path(maildir, "INBOX.a") / "courierimapuiddb").mkdir()
    set_(driven, f"STATUS (personal {MESSAGES})")
    arrive(maildir, "INBOX.a", 1)
    arrive(maildir, "INBOX.b", 2)

    assert any(line.startswith('STATUS "INBOX.b" (MESSAGES 1 ') for line in told(driven))


def test_a_name_that_is_no_text(driven: Driven, other: Driven, maildir: Path) -> None:
    """Nothing is told of it, as LIST tells nothing."""
    make_folder(maildir, "INBOX.\udcff")
    assert set_(driven, f"STATUS (personal {MESSAGES})") != []
    set_(driven, "(personal (MessageNew MessageExpunge MailboxName SubscriptionChange))")
    deliver(maildir / ".\udcff", b"x\n", number=1)
    make_folder(maildir, "INBOX.\udcfe")

    assert all('"INBOX"' in line for line in told(driven))


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_asked_for(driven: Driven, other: Driven, maildir: Path, seed: int) -> None:
    """Each command is completed once, and what is told by any of them is well formed."""
    chance = random.Random(seed)
    filters = [
        "selected",
        "selected-delayed",
        "inboxes",
        "personal",
        "subscribed",
        "subtree INBOX.a",
    ]
    filters += ["mailboxes (INBOX INBOX.a)", 'subtree "#shared"', "mailboxes INBOX", "x", ""]
    words = ["MessageNew", "MessageExpunge", "FlagChange", "MailboxName", "SubscriptionChange"]
    words += ["MailboxMetadataChange", "ServerMetadataChange", "MessageNew (uid flags)", "X"]
    doings = ["CREATE INBOX.a", "DELETE INBOX.a", "RENAME INBOX.a INBOX.b", "SUBSCRIBE INBOX.a"]
    doings += [
        "SELECT INBOX",
        "STORE 1 +FLAGS (\\Deleted)",
        "EXPUNGE",
        "CLOSE",
        "UNSUBSCRIBE INBOX.a",
    ]
    doings += ['SETMETADATA INBOX (/private/x "y")', "COPY 1 INBOX", "NOOP", "ENABLE QRESYNC"]

    def group() -> str:
        events = [*chance.sample(words[:2], 2), *chance.sample(words, chance.randint(0, 3))]
        either = chance.choice([f"({' '.join(events)})", f"({' '.join(events[2:])})", "NONE"])
        return f"({chance.choice(filters)} {either})"

    for number in range(30):
        line = f"NOTIFY SET {chance.choice(['', 'STATUS '])}{' '.join(group() for _ in range(2))}"
        commands = [(driven, chance.choice([line, line, "NOTIFY NONE"]))]
        commands += [(chance.choice([driven, other]), chance.choice(doings)) for _ in range(3)]
        for client, command in commands:
            responses = client.ask(f"t{number} {command}")
            tagged = [response for response in responses if response.is_tagged]
            assert len(tagged) == 1, (command, responses)
        arrive(maildir, "INBOX", number)
        waiting = driven.requests[-1]
        assert isinstance(waiting, Receive)
        if waiting.watch is not None:
            assert not any(response.is_tagged for response in read(driven.wake()))
    assert not driven.ended


def test_compressed(driven: Driven, maildir: Path) -> None:
    """What is told between commands leaves the compressor at once."""
    inflating, deflating = zlib.decompressobj(wbits=-15), zlib.compressobj(wbits=-15)
    set_(driven, f"(personal {MESSAGES})")
    driven.send(b"c COMPRESS DEFLATE\r\n")
    sent = deflating.compress(b"a NOOP\r\n") + deflating.flush(zlib.Z_SYNC_FLUSH)
    assert inflating.decompress(driven.send(sent)) == b"a OK NOOP completed\r\n"
    arrive(maildir, "INBOX", 1)

    assert inflating.decompress(driven.wake()).startswith(b'* STATUS "INBOX" (MESSAGES 1 ')


def test_many_mailboxes_are_slices(driven: Driven, maildir: Path) -> None:
    """Others get their turn; one change costs a look at one mailbox."""
    for number in range(120):
        make_folder(maildir, f"INBOX.{number}")
    set_(driven, f"(personal {MESSAGES})")
    assert driven.written.count(b"") >= 2
    looked: list[Callable[[], object]] = []
    driven.before = lambda step: (
        looked.append(step) if not isinstance(step, bytes | Receive) else None
    )  # type: ignore[func-returns-value, arg-type]
    arrive(maildir, "INBOX.7", 1)

    assert len(told(driven)) == 1
    assert len(looked) == 1
    assert notifier._SLICE >= 1
