"""RFC 6154: special uses in LIST, by settings, by CREATE and by METADATA."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from courier.maildir.annotations import NAME, AnnotationFile
from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.imapd.failing import failing_call
from tests.imapd.responses import Response
from tests.support.maildirs import make_folder

pytestmark = pytest.mark.usefixtures("logged")

USES = {
    *("\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Important", "\\Junk", "\\Sent", "\\Trash"),
}


def uses(driven: Driven) -> dict[str, str]:
    """Special uses by mailbox, as LIST tells them of all mailboxes."""
    responses = driven.ask('u LIST "" "*" RETURN (SPECIAL-USE)')
    found = {}
    for one in responses[:-1]:
        attributes = [word.decode() for word in one.values[0]]  # type: ignore[attr-defined]
        told = [word for word in attributes if word in USES]
        if told:
            found[one.values[2].decode().removeprefix("INBOX.")] = " ".join(told)  # type: ignore[attr-defined]
    return found


def ended(responses: list[Response]) -> tuple[str, str]:
    """How the command ended."""
    return responses[-1].name, responses[-1].code


def test_defaults(maildir: Path, driven: Driven) -> None:
    """Folders of the names that the settings have; others, and those that are not there, have none."""
    for name in ("Sent", "Drafts", "Trash", "Other", "x.Junk"):
        make_folder(maildir, f"INBOX.{name}")

    assert uses(driven) == {"Sent": "\\Sent", "Drafts": "\\Drafts", "Trash": "\\Trash"}


def test_settings(maildir: Path, drive: Drive) -> None:
    """Of several folders for one use the first that exists has it; the trash is the server's."""
    for name in ("Spam", "Junk", "Bin", "Trash", "All"):
        make_folder(maildir, f"INBOX.{name}")
    driven = drive(
        IMAP_SPECIALUSE="none:Junk,Spam:Junk,Junk:Junk,All:All", IMAP_TRASHFOLDERNAME="Bin"
    )

    assert uses(driven) == {"Spam": "\\Junk", "Bin": "\\Trash", "All": "\\All"}
    assert uses(drive(IMAP_SPECIALUSE="")) == {"Trash": "\\Trash"}


def test_plain_list(maildir: Path, drive: Drive) -> None:
    """It tells of them, too: Thunderbird, where it shows all folders, asks no other way."""
    make_folder(maildir, "INBOX.Sent.2025")
    make_folder(maildir, "INBOX.Trash")
    make_folder(maildir, "INBOX.Sent")
    driven = drive()
    driven.ask("s CREATE INBOX.x (USE (\\Junk))")

    lines = [one.line for one in driven.ask('a LIST "" "*"')[:-1]]

    assert lines[1:] == [
        '* LIST (\\HasChildren \\Sent) "." "INBOX.Sent"',
        '* LIST (\\HasNoChildren) "." "INBOX.Sent.2025"',
        '* LIST (\\HasNoChildren \\Trash) "." "INBOX.Trash"',
        '* LIST (\\HasNoChildren \\Junk) "." "INBOX.x"',
    ]
    assert driven.ask('b LIST "" "INBOX.Trash"')[0].line == lines[3]


@pytest.mark.parametrize("wanted", ["INBOX.S%", "INBOX.Sent", "%.Sent"])
def test_plain_list_of_some(maildir: Path, drive: Drive, wanted: str) -> None:
    """Whether a folder has the use that goes with its name depends on one that is not told of."""
    make_folder(maildir, "INBOX.Sent")
    make_folder(maildir, "INBOX.x")
    driven = drive()
    told = [driven.ask(f'a LIST "" "{wanted}"')[0].line]
    assert ended(drive().ask('m SETMETADATA INBOX.x (/private/specialuse "\\\\Sent")'))[0] == "OK"

    told.append(driven.ask(f'a LIST "" "{wanted}"')[0].line)
    (of_x, _) = driven.ask('a LIST "" "INBOX.x"')

    assert told == [
        '* LIST (\\HasNoChildren \\Sent) "." "INBOX.Sent"',
        '* LIST (\\HasNoChildren) "." "INBOX.Sent"',
    ]
    assert of_x.line == '* LIST (\\HasNoChildren \\Sent) "." "INBOX.x"'


@pytest.mark.parametrize(
    "command",
    ['LIST "" "*" RETURN ()', 'LIST "" "*" RETURN (CHILDREN)', 'LIST (MYRIGHTS) "" "*"'],
)
def test_list_that_asks_for_something_else(command: str, maildir: Path, driven: Driven) -> None:
    """It is told of what it asks for."""
    make_folder(maildir, "INBOX.Sent")

    assert not [one.line for one in driven.ask(f"a {command}") if "\\Sent" in one.line]


def test_plain_list_without_extensions(maildir: Path, drive: Drive) -> None:
    """It is as Courier's."""
    make_folder(maildir, "INBOX.Sent")

    (line, _) = drive(IMAP_EXTENSIONS="0").ask('a LIST "" "INBOX.Sent"')

    assert line.line == '* LIST (\\HasNoChildren) "." "INBOX.Sent"'


def test_selection(maildir: Path, driven: Driven) -> None:
    """Only mailboxes with a special use, which is told with them; no levels."""
    make_folder(maildir, "INBOX.Sent")
    driven.ask("s SUBSCRIBE INBOX.Sent")
    driven.ask("s SUBSCRIBE INBOX")
    driven.ask("s CREATE INBOX.x.y (USE (\\Junk))")

    (sent, junk, _) = driven.ask('a LIST (SPECIAL-USE) "" "*"')
    both = driven.ask('b LIST (SPECIAL-USE SUBSCRIBED) "" "*"')

    assert sent.line == '* LIST (\\HasNoChildren \\Sent) "." "INBOX.Sent"'
    assert junk.line == '* LIST (\\HasNoChildren \\Junk) "." "INBOX.x.y"'
    assert [one.line for one in both[:-1]] == [
        '* LIST (\\HasNoChildren \\Subscribed \\Sent) "." "INBOX.Sent"'
    ]
    assert ended(driven.ask('c LIST (SPECIAL-USE RECURSIVEMATCH) "" "*"')) == ("BAD", "")
    info = driven.ask('d LIST (SPECIAL-USE SUBSCRIBED RECURSIVEMATCH) "" "INBOX"')
    assert info[0].line.endswith('"INBOX" ("CHILDINFO" ("SUBSCRIBED"))')


def test_create(maildir: Path, driven: Driven) -> None:
    """RFC 6154 5.3. What is assigned takes the place of the default."""
    make_folder(maildir, "INBOX.Sent")

    assert ended(driven.ask("a CREATE INBOX.Mine (USE (\\Drafts \\sent \\SENT))"))[0] == "OK"
    assert uses(driven) == {"Mine": "\\Drafts \\Sent"}
    # Another one gets it: RFC 6154 3, 5.4.
    assert ended(driven.ask("b CREATE INBOX.Other (USE (\\Sent))"))[0] == "OK"
    assert uses(driven) == {"Mine": "\\Drafts", "Other": "\\Sent"}
    assert ended(driven.ask("c CREATE INBOX.Plain (USE ())"))[0] == "OK"
    assert not (maildir / ".Plain" / NAME).exists()


def test_important(maildir: Path, driven: Driven) -> None:
    """RFC 8457 3.2: a use like others, and a keyword like others."""
    assert ended(driven.ask("a CREATE INBOX.Mine (USE (\\important))"))[0] == "OK"
    assert uses(driven) == {"Mine": "\\Important"}

    driven.ask("b APPEND INBOX.Mine ($Important) {1+}\r\nx")
    driven.ask("c SELECT INBOX.Mine")
    assert driven.ask("d SEARCH KEYWORD $important")[0].values == (1,)


@pytest.mark.parametrize(
    "arguments",
    [
        *("INBOX.new (USE (\\All))", "INBOX.new (USE (\\Sent \\Flagged))", "INBOX.new (USE (\\X))"),
        *("INBOX.new (USE (\\Trash))", "INBOX.new. (USE (\\All))"),
        *("INBOX.Trash (USE (\\Sent))",),
    ],
)
def test_create_refused(maildir: Path, driven: Driven, arguments: str) -> None:
    """RFC 6154 3: nothing is created."""
    assert ended(driven.ask(f"a CREATE {arguments}")) == ("NO", "USEATTR")
    assert not list(maildir.glob(".*"))


@pytest.mark.parametrize(
    "arguments",
    [
        *("INBOX.new (USE)", "INBOX.new (USE Sent)", "INBOX.new (USE (Sent))", "INBOX.new ()"),
        *("INBOX.new (FOO (x))", "INBOX.new (USE (\\Sent)) x", "INBOX.new USE (\\Sent)"),
    ],
)
def test_create_malformed(maildir: Path, driven: Driven, arguments: str) -> None:
    assert ended(driven.ask(f"a CREATE {arguments}")) == ("BAD", "")
    assert not list(maildir.glob(".*"))


def test_create_trash(maildir: Path, driven: Driven) -> None:
    """The server's trash folder may be made by that name, and needs nothing stored."""
    assert ended(driven.ask("a CREATE INBOX.Trash (USE (\\Trash))"))[0] == "OK"
    assert uses(driven) == {"Trash": "\\Trash"}
    assert not (maildir / ".Trash" / NAME).exists()


def test_create_failing(maildir: Path, driven: Driven) -> None:
    """There is no folder, or one that has the use, and no half of one."""
    driven.ask("s CREATE INBOX.old (USE (\\Sent))")
    for number in range(200):
        with failing_call(number) as calls:
            name, _ = ended(driven.ask("a CREATE INBOX.new (USE (\\Sent))"))
        if (maildir / ".new").exists():
            stored = AnnotationFile(str(maildir / ".new")).read()
            assert stored == {"/private/specialuse": b"\\Sent"}
            shutil.rmtree(maildir / ".new")
            driven.ask('b SETMETADATA INBOX.old (/private/specialuse "\\\\Sent")')
        if calls.failed is None:
            break
    assert name == "OK"


def test_rename_and_delete(maildir: Path, driven: Driven) -> None:
    """The use goes with the folder, whoever renames it."""
    driven.ask("s CREATE INBOX.a (USE (\\Sent))")
    driven.ask("s CREATE INBOX.a.b (USE (\\Junk))")

    driven.ask("a RENAME INBOX.a INBOX.z")
    assert uses(driven) == {"z": "\\Sent", "z.b": "\\Junk"}
    (maildir / ".z").rename(maildir / ".y")
    assert uses(driven) == {"y": "\\Sent", "z.b": "\\Junk"}
    driven.ask("b DELETE INBOX.y")
    driven.ask("c CREATE INBOX.y")
    assert uses(driven) == {"z.b": "\\Junk"}


# -- RFC 6154 4 ----------------------------------------------------------------------------


def value(driven: Driven, name: str) -> object:
    (one, _) = driven.ask(f"v GETMETADATA {name} /private/specialuse")
    return one.values[1][b"/private/specialuse"]  # type: ignore[index]


def test_metadata(maildir: Path, driven: Driven) -> None:
    """RFC 6154 5.4: what LIST tells is what the entry says, and it can be changed."""
    for name in ("Sent", "MyDrafts", "SavedDrafts", "Trash"):
        make_folder(maildir, f"INBOX.{name}")
    driven.ask('s SETMETADATA INBOX.MyDrafts (/private/specialuse "\\\\Drafts")')
    assert value(driven, "INBOX.Sent") == b"\\Sent"
    assert value(driven, "INBOX.MyDrafts") == b"\\Drafts"
    assert value(driven, "INBOX") is None

    changed = driven.ask('a SETMETADATA INBOX.SavedDrafts (/private/specialuse "\\\\Drafts")')
    removed = driven.ask("b SETMETADATA INBOX.Sent (/private/specialuse NIL)")

    assert [one.name for one in (*changed, *removed)] == ["OK", "OK"]
    assert value(driven, "INBOX.MyDrafts") is None
    assert value(driven, "INBOX.Sent") is None
    assert uses(driven) == {"SavedDrafts": "\\Drafts", "Trash": "\\Trash"}
    assert not (maildir / ".MyDrafts" / NAME).exists()
    # What is given up falls to the default again, but for the folder that was told to have none.
    make_folder(maildir, "INBOX.Drafts")
    driven.ask("c SETMETADATA INBOX.SavedDrafts (/private/specialuse NIL)")
    assert uses(driven) == {"Drafts": "\\Drafts", "Trash": "\\Trash"}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        *(
            ("INBOX.a", "\\\\All"),
            ("INBOX.a", "Sent"),
            ("INBOX.a", "\\\\Trash"),
            ("INBOX", "\\\\Sent"),
        ),
        *(("INBOX.a", "\\\\Sent x"), ("INBOX.Trash", "\\\\Sent"), ("INBOX.Trash", "")),
    ],
)
def test_metadata_refused(maildir: Path, driven: Driven, name: str, wanted: str) -> None:
    """RFC 6154 4: checked as CREATE does it; nothing else of the command is changed either."""
    make_folder(maildir, "INBOX.a")
    make_folder(maildir, "INBOX.Trash")

    refused = driven.ask(f'a SETMETADATA {name} (/shared/x "y" /private/specialuse "{wanted}")')

    assert ended(refused) == ("NO", "USEATTR")
    assert uses(driven) == {"Trash": "\\Trash"}
    assert b"y" not in driven.ask(f"b GETMETADATA {name} /shared/x")[0].values[1].values()  # type: ignore[attr-defined]


def test_damaged_file(maildir: Path, driven: Driven) -> None:
    """What it says of special uses is read as far as it is something."""
    make_folder(maildir, "INBOX.a")
    AnnotationFile(str(maildir / ".a")).change(
        {"/private/specialuse": b"\\Sent \xff \\Bogus x)\r\n* BYE"}
    )
    make_folder(maildir, "INBOX.b")
    (maildir / ".b" / NAME).mkdir()

    assert uses(driven) == {"a": "\\Sent"}
