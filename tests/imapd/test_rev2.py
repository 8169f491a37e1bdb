"""IMAP4rev2 (RFC 9051): what a session does differently once its client has enabled it (appendices A, E)."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.imapd.responses import Response, read
from tests.support.maildirs import deliver, make_folder, make_maildir

COMPOSED = "INBOX.Caf\u00e9"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)
UTF7 = "INBOX.Caf&AOk-"


@pytest.fixture
def filled(maildir: Path) -> Path:
    """A maildir with three messages, of which nobody has heard."""
    for number, flags in enumerate(("S", "", "S"), 1):
        deliver(maildir, b"Subject: x\n\nbody\n", number=number, flags=flags)
    return maildir


@pytest.fixture
def second(filled: Path, drive: Drive) -> Driven:
    """A session that has enabled IMAP4rev2, on the filled maildir."""
    found = drive()
    found.ask("e ENABLE IMAP4rev2")
    return found


def lines(responses: list[Response]) -> list[str]:
    return [response.line for response in responses]


def named(responses: list[Response], name: str) -> list[Response]:
    return [response for response in responses if response.name == name]


def test_enable(driven: Driven) -> None:
    """It is told as enabled, in any case of its letters, and the capabilities stay (6.3.1)."""
    before = driven.ask("a CAPABILITY")[0]

    assert lines(driven.ask("b ENABLE imap4REV2")) == [
        "* ENABLED IMAP4rev2",
        "b OK Options enabled",
    ]
    assert driven.ask("c CAPABILITY")[0] == before


def test_enable_tells_what_it_was_asked(driven: Driven) -> None:
    """ENABLED names what was listed and is on (RFC 5161 3.2), not what earlier commands listed (6.3.1)."""
    driven.ask("a ENABLE IMAP4rev2")

    assert driven.ask("b ENABLE QRESYNC X-OTHER")[0].line == "* ENABLED QRESYNC"
    assert driven.ask("c ENABLE X-OTHER")[0].line == "* ENABLED"
    assert driven.ask("d ENABLE UTF8=ACCEPT")[0].line == "* ENABLED UTF8=ACCEPT"


@pytest.mark.parametrize(
    "environ", [{"IMAP_EXTENSIONS": "0"}, {"IMAP_CAPABILITY": "IMAP4rev1 UIDPLUS"}]
)
def test_enable_where_it_is_not_announced(drive: Drive, environ: dict[str, str]) -> None:
    """An argument that is not supported is passed over (6.3.1)."""
    driven = drive(**environ)

    assert b"IMAP4rev2" not in driven.ask("a CAPABILITY")[0].raw
    assert driven.ask("b ENABLE IMAP4rev2")[0].line == "* ENABLED"


@pytest.mark.parametrize("command", ["SELECT", "EXAMINE"])
def test_opening_a_mailbox(second: Driven, command: str) -> None:
    """LIST comes, with the mailbox's own name (8: and how it was called, if otherwise); RECENT,
    \\Recent and UNSEEN do not (6.3.2, E 10 to 12).
    """
    responses = second.ask(f"a {command} inbox")

    assert named(responses, "LIST")[0].line == (
        '* LIST (\\HasNoChildren) "." "INBOX" ("OLDNAME" ("inbox"))'
    )
    assert [response.number for response in named(responses, "EXISTS")] == [3]
    assert not named(responses, "RECENT")
    assert b"\\Recent" not in b"".join(response.raw for response in responses)
    codes = [response.code.split(" ")[0] for response in responses]
    assert "UNSEEN" not in codes
    assert {"PERMANENTFLAGS", "UIDNEXT", "UIDVALIDITY"} <= set(codes)


def test_attributes_of_the_opened_mailbox(second: Driven) -> None:
    second.ask("a CREATE INBOX.a.b")

    assert named(second.ask("b SELECT INBOX"), "LIST")[0].line == (
        '* LIST (\\HasChildren) "." "INBOX"'
    )
    assert named(second.ask("c SELECT INBOX.a.b"), "LIST")[0].line == (
        '* LIST (\\HasNoChildren) "." "INBOX.a.b"'
    )


def test_closed_comes_before_anything_of_the_next_mailbox(second: Driven) -> None:
    """Also if there is none (7.1, CLOSED)."""
    second.ask("a SELECT INBOX")

    assert second.ask("b SELECT INBOX")[0].code == "CLOSED"
    assert lines(second.ask("c SELECT INBOX.none"))[0] == "* OK [CLOSED] Ok"
    assert second.ask("d FETCH 1 FLAGS")[0].name == "BAD"
    assert not [r for r in second.ask("e SELECT INBOX") if r.code == "CLOSED"]


def test_nothing_is_recent(second: Driven, filled: Path) -> None:
    """Not in FETCH, not in what is told of new messages (E 12)."""
    second.ask("a SELECT INBOX")

    assert b"Recent" not in second.send(b"b FETCH 1:* FLAGS\r\n")
    deliver(filled, b"Subject: y\n\nbody\n", number=4)
    told = second.ask("c NOOP")
    assert [r.name for r in told] == ["EXISTS", "OK"]
    assert b"Recent" not in second.send(b"d FETCH 4 (FLAGS ENVELOPE)\r\n")


def test_what_is_recent_may_still_be_asked(second: Driven) -> None:
    """A client of both versions asks for it by name (appendix A)."""
    second.ask("a SELECT INBOX")

    assert second.ask("b SEARCH RETURN (COUNT) RECENT")[0].values[-1] == {"COUNT": 3}
    assert second.ask("c STATUS INBOX (RECENT)")[0].values[-1] == {"RECENT": 3}


def test_enabled_while_a_mailbox_is_selected(filled: Path, drive: Drive) -> None:
    """A server need not see to it that none is (6.3.1): from here on it is told as IMAP4rev2 has it."""
    driven = drive()
    driven.ask("a SELECT INBOX")
    assert b"\\Recent" in driven.send(b"b FETCH 1 FLAGS\r\n")

    driven.ask("c ENABLE IMAP4rev2")

    assert b"\\Recent" not in driven.send(b"d FETCH 1 FLAGS\r\n")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("SEARCH ALL", '* ESEARCH (TAG "t") ALL 1:3'),
        ("UID SEARCH SEEN", '* ESEARCH (TAG "t") UID ALL 1,3'),
        ("SEARCH DELETED", '* ESEARCH (TAG "t")'),
        ("SEARCH RETURN () SEEN", '* ESEARCH (TAG "t") ALL 1,3'),
        ("SEARCH RETURN (MIN COUNT) SEEN", '* ESEARCH (TAG "t") MIN 1 COUNT 2'),
        ("SEARCH CHARSET UTF-8 SUBJECT x", '* ESEARCH (TAG "t") ALL 1:3'),
        ("SEARCH CHARSET ISO-8859-1 SUBJECT y", '* ESEARCH (TAG "t")'),
    ],
)
def test_search(second: Driven, command: str, told: str) -> None:
    """SEARCH is answered by ESEARCH always (6.4.4, E 4); CHARSET may still be named."""
    second.ask("a SELECT INBOX")

    assert lines(second.ask(f"t {command}")) == [told, "t OK SEARCH done."]


def test_search_keeps_what_an_earlier_one_saved(second: Driven) -> None:
    """Without SAVE the search result variable stays (6.4.4.1)."""
    second.ask("a SELECT INBOX")
    second.ask("b SEARCH RETURN (SAVE) UNSEEN")

    second.ask("c SEARCH SEEN")

    assert [r.number for r in second.ask("d FETCH $ UID")[:-1]] == [2]


def test_charset_stays_refused_with_utf8_accept(second: Driven) -> None:
    """RFC 6855 3 holds for whoever has enabled that, too."""
    second.ask("a ENABLE UTF8=ACCEPT")
    second.ask("b SELECT INBOX")

    assert second.ask("c SEARCH CHARSET UTF-8 ALL")[0].name == "BAD"


def test_changes_of_others_come_with_the_uid(second: Driven, drive: Drive) -> None:
    """All unsolicited FETCH responses have it (7.5.2, E 21)."""
    other = drive()
    second.ask("a SELECT INBOX")
    other.ask("a SELECT INBOX")
    other.ask("b STORE 2 +FLAGS.SILENT (\\Flagged)")

    (told,) = named(second.ask("b NOOP"), "FETCH")

    assert told.values == ((b"UID", 2), (b"FLAGS", [b"\\Flagged"]))


def test_names_are_utf8(second: Driven, maildir: Path) -> None:
    """Names are neither read nor written as modified UTF-7 (5.1, E 16)."""
    second.ask(f'a CREATE "{COMPOSED}"')

    assert (maildir / ".Caf\u00e9").is_dir()
    assert f'* LIST (\\HasNoChildren) "." "{COMPOSED}"' in lines(second.ask('b LIST "" "INBOX.C*"'))
    assert second.ask(f"c SELECT {UTF7}")[-1].name == "NO"
    told = second.ask(f'd STATUS "{COMPOSED}" (MESSAGES)')[0]
    assert told.values[0] == COMPOSED.encode()


def test_names_stay_utf7_for_others(second: Driven, drive: Drive) -> None:
    """No UTF-8 for a client that did not ask for it (appendix A)."""
    second.ask(f'a CREATE "{COMPOSED}"')
    first = drive()

    assert f'* LIST (\\HasNoChildren) "." "{UTF7}"' in lines(first.ask('a LIST "" "INBOX.C*"'))
    assert not named(first.ask("b SELECT INBOX"), "LIST")


def test_quoted_strings_are_utf8(second: Driven, filled: Path) -> None:
    """ENVELOPE has header fields as they are (4.3.1)."""
    deliver(filled, "Subject: Gr\u00fc\u00dfe\n\nx\n".encode(), number=4)
    second.ask("a SELECT INBOX")

    assert '"Gr\u00fc\u00dfe"'.encode() in second.send(b"b FETCH 4 ENVELOPE\r\n")


def old_names(responses: list[Response]) -> list[str]:
    return [response.line for response in responses if b"OLDNAME" in response.raw]


def test_a_denormalized_name_is_created_normalized(second: Driven, maildir: Path) -> None:
    """The client is told which name it became (5.1, 6.3.4, 6.3.9.7)."""
    responses = second.ask(f'a CREATE "{DECOMPOSED}"')

    assert (maildir / ".Caf\u00e9").is_dir()
    assert old_names(responses) == [
        f'* LIST (\\HasNoChildren) "." "{COMPOSED}" ("OLDNAME" ("{DECOMPOSED}"))'
    ]


def test_a_denormalized_name_is_good_wherever_a_mailbox_is_named(second: Driven) -> None:
    """5.1: in all commands that have a mailbox name."""
    second.ask(f'a CREATE "{COMPOSED}"')
    told = f'* LIST (\\HasNoChildren) "." "{COMPOSED}" ("OLDNAME" ("{DECOMPOSED}"))'

    assert old_names(second.ask(f'b SELECT "{DECOMPOSED}"')) == [told]
    assert second.ask(f'c STATUS "{DECOMPOSED}" (MESSAGES)')[-1].name == "OK"
    assert old_names(second.ask(f'd APPEND "{DECOMPOSED}" {{1+}}\r\nx')) == [told]
    assert second.ask(f'e COPY 1 "{DECOMPOSED}"')[-1].name == "OK"
    assert second.ask(f'f SUBSCRIBE "{DECOMPOSED}"')[-1].name == "OK"
    assert COMPOSED.encode() in [r.values[-1] for r in second.ask('g LSUB "" "*"')[:-1]]
    assert second.ask(f'h UNSUBSCRIBE "{DECOMPOSED}"')[-1].name == "OK"
    second.ask("i UNSELECT")
    assert old_names(second.ask(f'j RENAME "{DECOMPOSED}" "{DECOMPOSED}2"')) == [
        f'* LIST (\\HasNoChildren) "." "{COMPOSED}2" ("OLDNAME" ("{DECOMPOSED}"))'
    ]
    assert old_names(second.ask(f'k DELETE "{DECOMPOSED}2"')) == [
        f'* LIST (\\NonExistent \\HasNoChildren) "." "{COMPOSED}2" ("OLDNAME" ("{DECOMPOSED}2"))'
    ]


def test_a_denormalized_name_that_is_on_disk(second: Driven, maildir: Path) -> None:
    """What another program made is found by exactly its name, whatever there is beside it."""
    make_folder(maildir, COMPOSED)
    folder = make_folder(maildir, DECOMPOSED)
    deliver(folder, b"x\n", number=9)

    responses = second.ask(f'a SELECT "{DECOMPOSED}"')

    assert [response.number for response in named(responses, "EXISTS")] == [1]
    assert named(responses, "LIST")[0].values[-1] == DECOMPOSED.encode()
    assert not old_names(responses)


def test_names_are_as_given_in_utf7(driven: Driven, maildir: Path) -> None:
    """Courier: whoever speaks modified UTF-7 gets the name he says."""
    driven.ask("a CREATE INBOX.Cafe&AwE-")

    assert (maildir / ("." + DECOMPOSED.removeprefix("INBOX."))).is_dir()


@pytest.mark.parametrize("name", ["INBOX.\u0007", "INBOX.\u0085", "INBOX.\u2028"])
def test_names_that_are_no_net_unicode(second: Driven, name: str) -> None:
    """5.1: not created."""
    assert second.ask(f'a CREATE "{name}"')[-1].name == "NO"


def test_names_that_are_no_utf8(second: Driven) -> None:
    assert read(second.send(b'a CREATE "INBOX.\xff"\r\n'))[-1].name in ("NO", "BAD")
    assert read(second.send(b"b CREATE {7+}\r\nINBOX.\xe9\r\n"))[-1].name in ("NO", "BAD")


def test_unicode_headers_raise_no_alarm(second: Driven, filled: Path) -> None:
    """Courier's ALERT is for clients that do not know UTF-8."""
    text = "Subject: \u00fc\r\n\r\nx\r\n".encode()
    responses = read(second.send(b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(text), text)))

    assert [response.name for response in responses] == ["OK"]
    second.ask("b SELECT INBOX")
    assert b"ALERT" not in second.send(b"c FETCH 4 BODY[]\r\n")


@pytest.mark.parametrize("keyword", ["$MDNSent", "$Forwarded", "$Junk", "$NotJunk", "$Phishing"])
def test_keywords(second: Driven, keyword: str) -> None:
    """They can be searched for, and stay in APPEND, COPY and MOVE (2.3.2)."""
    second.ask("a CREATE INBOX.to")
    second.ask(f"b APPEND INBOX ({keyword}) {{1+}}\r\nx")
    second.ask("c SELECT INBOX")

    assert second.ask(f"d SEARCH KEYWORD {keyword}")[0].values[-1] == {"ALL": b"4"}
    second.ask("e COPY 4 INBOX.to")
    second.ask("f MOVE 4 INBOX.to")
    second.ask("g SELECT INBOX.to")
    assert second.ask(f"h SEARCH KEYWORD {keyword}")[0].values[-1] == {"ALL": b"1:2"}
    assert second.ask(f"i SEARCH UNKEYWORD {keyword.lower()}")[0].values[-1] == {}


def test_with_qresync(second: Driven, drive: Drive) -> None:
    """Removed messages are told by UID, changed ones with UID and MODSEQ, and nothing is recent."""
    other = drive()
    second.ask("a ENABLE QRESYNC")
    second.ask("b SELECT INBOX")
    other.ask("a SELECT INBOX")
    other.ask("b STORE 1 +FLAGS (\\Deleted)")
    other.ask("c EXPUNGE")
    other.ask("d STORE 1 +FLAGS (\\Flagged)")

    told = second.ask("c NOOP")

    assert [response.name for response in told] == ["VANISHED", "EXISTS", "FETCH", "OK"]
    assert [name for name, _ in told[2].values] == [b"UID", b"FLAGS", b"MODSEQ"]  # type: ignore[misc]


def test_mailbox_without_modseqs(filled: Path, drive: Drive) -> None:
    """Changes come with the UID there, too."""
    driven, other = drive(IMAP_USELOCKS="0"), drive(IMAP_USELOCKS="0")
    driven.ask("a ENABLE IMAP4rev2 QRESYNC")
    driven.ask("b SELECT INBOX")
    other.ask("a SELECT INBOX")
    other.ask("b STORE 2 +FLAGS (\\Flagged)")

    (told,) = named(driven.ask("c NOOP"), "FETCH")

    assert told.values == ((b"UID", 2), (b"FLAGS", [b"\\Flagged"]))


def test_idle(second: Driven, filled: Path, drive: Drive) -> None:
    other = drive()
    second.ask("a SELECT INBOX")
    other.ask("a SELECT INBOX")
    assert second.send(b"b IDLE\r\n") == b"+ entering idle mode\r\n"
    other.ask("b STORE 3 +FLAGS (\\Flagged)")
    deliver(filled, b"Subject: new\n\nx\n", number=5)

    told = read(second.send(b"DONE\r\n"))

    assert [response.name for response in told] == ["EXISTS", "FETCH", "OK"]
    assert told[1].values[0] == (b"UID", 3)


def test_messages_that_nobody_has_claimed(second: Driven) -> None:
    """EXAMINE leaves them to whoever selects the mailbox; to this client they are not recent."""
    second.ask("a EXAMINE INBOX")

    assert b"Recent" not in second.send(b"b FETCH 1:* FLAGS\r\n")


def test_mailbox_of_another_account(tmp_path: Path, maildir: Path, drive: Drive) -> None:
    """LIST has the name by which it was selected, and the levels that this user may know of."""
    home = tmp_path / "bob"
    shared = make_maildir(home / "Maildir")
    make_folder(shared, "INBOX.x")
    (shared / "courierimapacl").write_text("user=user lr\nowner aceilrstwx\n")
    (shared / ".x" / "courierimapacl").write_text("owner aceilrstwx\n")
    index = tmp_path / "index"
    index.write_text(f"bob\t{os.geteuid() or 1000}\t1000\t{home}\n")
    driven = drive(IMAP_SHAREDINDEXFILE=str(index))
    driven.ask("a ENABLE IMAP4rev2")

    responses = driven.ask("b SELECT #shared.bob")

    assert responses[-1].code == "READ-ONLY"
    assert named(responses, "LIST")[0].line == '* LIST (\\HasNoChildren) "." "#shared.bob"'


def test_thousands_of_mailboxes(maildir: Path, drive: Drive) -> None:
    """To say whether INBOX has others below it they are not looked into."""
    for number in range(300):
        make_folder(maildir, f"INBOX.{number}")
    driven = drive()
    driven.ask("a ENABLE IMAP4rev2")
    driven.ask("b SELECT INBOX")
    opened: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        before = os.open
        patch.setattr(os, "open", lambda *a, **k: opened.append(a) or before(*a, **k))  # type: ignore[func-returns-value]
        responses = driven.ask("c SELECT INBOX")

    assert named(responses, "LIST")[0].line == '* LIST (\\HasChildren) "." "INBOX"'
    assert len(opened) < 50
