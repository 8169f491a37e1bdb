"""RFC 5464: GETMETADATA and SETMETADATA; RFC 9590: METADATA in LIST."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from courier.maildir.annotations import NAME, OF_ACCOUNT, AnnotationFile
from imapd.commands import metadata
from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.imapd.failing import failing_call
from tests.imapd.responses import Response, read
from tests.support.maildirs import make_folder, make_maildir

pytestmark = pytest.mark.usefixtures("logged")


def ended(responses: list[Response]) -> tuple[str, str]:
    return responses[-1].name, responses[-1].code


def values(responses: list[Response]) -> dict[str, bytes | None]:
    """The values of all METADATA responses; the command must have succeeded."""
    assert responses[-1].name == "OK", responses[-1]
    found: dict[str, bytes | None] = {}
    for one in responses:
        if one.name == "METADATA":
            pairs: dict[bytes, bytes | None] = one.values[1]  # type: ignore[assignment]
            found |= {entry.decode(): value for entry, value in pairs.items()}
    return found


def test_set_and_get(maildir: Path, driven: Driven) -> None:
    """RFC 5464 4.2, 4.3: values come back as they were; NIL removes, and is what is not there."""
    driven.ask('s SETMETADATA INBOX (/private/comment "My own" /shared/comment "" /shared/x "1")')

    assert values(
        driven.ask("a GETMETADATA INBOX (/shared/comment /private/comment /shared/y)")
    ) == {
        "/shared/comment": b"",
        "/private/comment": b"My own",
        "/shared/y": None,
    }
    assert [one.name for one in driven.ask("b SETMETADATA INBOX (/private/comment NIL)")] == ["OK"]
    assert values(driven.ask("c GETMETADATA inbox /private/comment")) == {"/private/comment": None}
    assert driven.ask("d GETMETADATA inbox /shared/x")[0].values[0] == b"inbox"


def test_binary_values(driven: Driven) -> None:
    """RFC 5464 3.2 and 5: lines in a literal, any octets in a literal8."""
    lines, octets = b"My new comment across\r\ntwo lines.\r\n", b"\0\xff\r\n\0"
    sent = driven.send(
        b"a SETMETADATA INBOX (/private/comment {%d}\r\n" % len(lines),
        lines + b" /shared/vendor/x/y ~{%d+}\r\n" % len(octets) + octets + b")\r\n",
    )
    assert sent.endswith(b"a OK SETMETADATA completed.\r\n")

    told = driven.send(b"b GETMETADATA INBOX (/private/comment /shared/vendor/x/y)\r\n")

    assert b"/shared/vendor/x/y ~{5}\r\n" + octets in told
    assert values(read(told)) == {"/private/comment": lines, "/shared/vendor/x/y": octets}
    assert driven.send(b"c SETMETADATA INBOX (/shared/x {1+}\r\n\0)\r\n").startswith(b"c BAD")


def test_names_have_no_case(driven: Driven) -> None:
    """RFC 5464 3.2. They are told as they were asked for."""
    driven.ask('s SETMETADATA INBOX (/Private/COMMENT "x")')

    assert values(driven.ask("a GETMETADATA INBOX /private/Comment")) == {"/private/Comment": b"x"}
    driven.ask('b SETMETADATA INBOX (/PRIVATE/comment "y" /private/comment "z")')
    assert values(driven.ask("c GETMETADATA INBOX (/private/comment /PRIVATE/COMMENT)")) == {
        "/private/comment": b"z"
    }


@pytest.mark.parametrize(
    "entry",
    [
        *("comment", "/comment", "/other/comment", "/private//comment", "/private/comment/"),
        *("/shared", "/private", '"/private/a*"', '"/private/%"', '"/private/\x01"'),
        *('"/private/ä"', "/privates/a", "/shared/vendor", "/shared/vendor/x", '""'),
        "/private/" + "x" * 1000,
    ],
)
def test_malformed_names(driven: Driven, entry: str) -> None:
    """RFC 5464 3.2: BAD in any command."""
    assert ended(driven.ask(f'a SETMETADATA INBOX ({entry} "x")')) == ("BAD", "")
    if entry not in ("/shared", "/private", "/shared/vendor", "/shared/vendor/x"):
        assert ended(driven.ask(f"b GETMETADATA INBOX {entry}")) == ("BAD", "")


@pytest.mark.parametrize(
    "arguments",
    [
        *("", "INBOX", "INBOX ()", "(MAXSIZE 10) INBOX", "(DEPTH 2) INBOX /shared/x"),
        *("(FOO 1) INBOX /shared/x", "() INBOX /shared/x", "(MAXSIZE) INBOX /shared/x"),
        *(
            "(MAXSIZE -1) INBOX /shared/x",
            "INBOX (MAXSIZE 1)",
            "INBOX /shared/x (",
            "INBOX /shared/x /shared/y",
        ),
    ],
)
def test_malformed_get(driven: Driven, arguments: str) -> None:
    assert ended(driven.ask(f"a GETMETADATA {arguments}")) == ("BAD", "")


@pytest.mark.parametrize(
    "arguments",
    [
        *("", "INBOX", "INBOX ()", 'INBOX /shared/x "y"', "INBOX (/shared/x)"),
        *("INBOX (/shared/x y)", 'INBOX (/shared/x "y" /shared/z)', 'INBOX (/shared/x "y") z'),
    ],
)
def test_malformed_set(driven: Driven, arguments: str) -> None:
    assert ended(driven.ask(f"a SETMETADATA {arguments}")) == ("BAD", "")


@pytest.mark.parametrize(
    "line",
    [
        "GETMETADATA (MAXSIZE 4) INBOX (/private/a /private/b /private/c)",
        "GETMETADATA INBOX (MAXSIZE 4) (/private/a /private/b /private/c)",
        "GETMETADATA (maxsize 4 depth 0) INBOX (/private/a /private/b /private/c)",
    ],
)
def test_max_size(driven: Driven, line: str) -> None:
    """RFC 5464 4.2.1: what is larger is left out, and the largest of it told; in each order of arguments."""
    driven.ask('s SETMETADATA INBOX (/private/a "1234" /private/b "12345" /private/c "1234567")')

    responses = driven.ask(f"a {line}")

    assert values(responses) == {"/private/a": b"1234"}
    assert responses[-1].code == "METADATA LONGENTRIES 7"
    assert driven.ask("b GETMETADATA (MAXSIZE 7) INBOX /private/c")[-1].code == ""
    assert [one.name for one in driven.ask("c GETMETADATA (MAXSIZE 1) INBOX /private/a")] == ["OK"]


def test_depth(driven: Driven) -> None:
    """RFC 5464 4.2.2."""
    driven.ask(
        's SETMETADATA INBOX (/private/a "0" /private/a/b "1" /private/a/b/c "2" /private/ab "x"'
        ' /shared/a "y")'
    )

    def asked(depth: str, entries: str) -> list[str]:
        return list(values(driven.ask(f"a GETMETADATA (DEPTH {depth}) INBOX {entries}")))

    assert asked("0", "/private/a") == ["/private/a"]
    assert asked("1", "/private/a") == ["/private/a", "/private/a/b"]
    assert asked("INFINITY", "/private/a") == ["/private/a", "/private/a/b", "/private/a/b/c"]
    assert asked("1", "(/private/a/b /private/a)") == [
        *("/private/a/b", "/private/a/b/c", "/private/a")
    ]
    assert asked("infinity", "/shared") == ["/shared/a"]
    assert asked("1", "/private") == ["/private/a", "/private/ab"]
    assert values(driven.ask("b GETMETADATA (DEPTH 1) INBOX /shared/none")) == {
        "/shared/none": None
    }


def test_many_entries_below_many() -> None:
    """Each is looked for where it stands: what is asked for does not multiply with what there is."""
    looks = 0

    class Name(str):
        def startswith(self, *arguments: Any) -> bool:
            nonlocal looks
            looks += 1
            return super().startswith(*arguments)

    values = {Name(f"/private/{number}/x"): b"" for number in range(1000)}
    wanted = [f"/{word}/{number}" for number in range(1000) for word in ("private", "PRIVATE")]

    told = metadata._picked(values, wanted, 1)

    assert len(told) == 1000
    assert looks <= 2000


# -- limits --------------------------------------------------------------------------------


def test_too_large(maildir: Path, drive: Drive) -> None:
    """RFC 5464 4.3: NO with the limit, and nothing else of the command is done."""
    driven = drive(IMAP_METADATA_MAXSIZE="1024")

    assert ended(driven.ask(f'a SETMETADATA INBOX (/shared/a "{"x" * 1024}")')) == ("OK", "")
    refused = driven.ask(f'b SETMETADATA INBOX (/shared/b "" /shared/c "{"x" * 1025}")')

    assert ended(refused) == ("NO", "METADATA MAXSIZE 1024")
    assert values(driven.ask("c GETMETADATA INBOX /shared/b")) == {"/shared/b": None}


@pytest.mark.parametrize("plus", ["", "+"])
def test_larger_than_a_command(driven: Driven, plus: str) -> None:
    """Of a literal that no command can have the client is told the same, and the next command is read."""
    size = 200_000
    pieces = [b"a SETMETADATA INBOX (/shared/a {%d%b}\r\n" % (size, plus.encode())]
    if plus:
        pieces.append(b"x" * size + b")\r\n")

    told = driven.send(*pieces, b"b NOOP\r\n")

    assert told.startswith(b"a NO [METADATA MAXSIZE 16384] ")
    assert told.endswith(b"b OK NOOP completed\r\n")


def test_too_many(maildir: Path, drive: Drive) -> None:
    """RFC 5464 4.1, 4.3: ten at least, for each scope; what is there may be replaced and removed."""
    driven = drive(IMAP_METADATA_MAXENTRIES="10")
    for scope in ("private", "shared"):
        pairs = " ".join(f'/{scope}/{number} "x"' for number in range(10))
        assert ended(driven.ask(f"a SETMETADATA INBOX ({pairs})")) == ("OK", "")

        refused = driven.ask(f'b SETMETADATA INBOX (/{scope}/0 "y" /{scope}/more "x")')

        assert ended(refused) == ("NO", "METADATA TOOMANY")
        assert values(driven.ask(f"c GETMETADATA INBOX /{scope}/0")) == {f"/{scope}/0": b"x"}
        changed = driven.ask(f'd SETMETADATA INBOX (/{scope}/0 NIL /{scope}/more "x")')
        assert ended(changed) == ("OK", "")
    assert ended(driven.ask("e CREATE INBOX.a (USE (\\Sent))"))[0] == "OK"


def test_limits_that_were_lowered(maildir: Path, drive: Drive) -> None:
    """What is above them stays readable and can be removed."""
    before = drive()
    pairs = " ".join(f'/shared/{number} "x"' for number in range(20))
    before.ask(f"a SETMETADATA INBOX ({pairs})")
    driven = drive(IMAP_METADATA_MAXENTRIES="10")

    assert len(values(driven.ask("a GETMETADATA (DEPTH 1) INBOX /shared"))) == 20
    assert ended(driven.ask("b SETMETADATA INBOX (/shared/0 NIL)")) == ("OK", "")
    assert ended(driven.ask('c SETMETADATA INBOX (/shared/1 "y")')) == ("NO", "METADATA TOOMANY")


# -- the server ----------------------------------------------------------------------------


def test_server(maildir: Path, drive: Drive) -> None:
    """RFC 5464 3.2.1.1: what the settings say, read-only; what is one's own can be set."""
    driven = drive(
        IMAP_METADATA_COMMENT="Mail of Example", IMAP_METADATA_ADMIN="mailto:root@example.com"
    )
    assert values(driven.ask('a GETMETADATA "" (DEPTH 1) (/shared /private)')) == {
        "/shared/admin": b"mailto:root@example.com",
        "/shared/comment": b"Mail of Example",
    }
    assert ended(driven.ask('b SETMETADATA "" (/shared/admin "x")')) == ("NO", "NOPERM")
    assert ended(driven.ask('c SETMETADATA "" (/private/vendor/x/y "x")')) == ("OK", "")
    assert values(driven.ask('d GETMETADATA "" /private/vendor/x/y')) == {
        "/private/vendor/x/y": b"x"
    }
    assert values(drive().ask('e GETMETADATA "" /shared/comment')) == {"/shared/comment": None}
    assert values(driven.ask("f GETMETADATA INBOX /private/vendor/x/y")) == {
        "/private/vendor/x/y": None
    }


# -- mailboxes -----------------------------------------------------------------------------


def test_mailbox_that_is_not_there(maildir: Path, driven: Driven) -> None:
    """RFC 5464 3.3: NO."""
    make_folder(maildir, "INBOX.p.q")
    for name in ("INBOX.none", "INBOX.p", "Elsewhere", "#shared.x", "shared.x.y"):
        assert ended(driven.ask(f"a GETMETADATA {name} /shared/x"))[0] == "NO"
        assert ended(driven.ask(f'b SETMETADATA {name} (/shared/x "y")'))[0] == "NO"


def test_rename_and_delete(maildir: Path, driven: Driven) -> None:
    """RFC 5464 4.1: they follow a mailbox to its new name, and end with it."""
    for name in ("INBOX.a", "INBOX.a.b"):
        driven.ask(f"s CREATE {name}")
        driven.ask(f's SETMETADATA {name} (/shared/x "{name}")')

    driven.ask("a RENAME INBOX.a INBOX.z")
    assert values(driven.ask("b GETMETADATA INBOX.z /shared/x")) == {"/shared/x": b"INBOX.a"}
    assert values(driven.ask("b GETMETADATA INBOX.z.b /shared/x")) == {"/shared/x": b"INBOX.a.b"}
    driven.ask("c CREATE INBOX.a")
    assert values(driven.ask("d GETMETADATA INBOX.a /shared/x")) == {"/shared/x": None}
    driven.ask("e DELETE INBOX.z")
    driven.ask("f CREATE INBOX.z")
    assert values(driven.ask("g GETMETADATA INBOX.z /shared/x")) == {"/shared/x": None}


def test_rename_of_inbox(maildir: Path, driven: Driven) -> None:
    """RFC 5464 4.1: the new mailbox has a copy of INBOX's, which stay."""
    driven.ask('s SETMETADATA INBOX (/shared/x "1" /private/y "2")')

    assert ended(driven.ask("a RENAME INBOX INBOX.old"))[0] == "OK"

    for name in ("INBOX", "INBOX.old"):
        assert values(driven.ask(f"b GETMETADATA {name} (/shared/x /private/y)")) == {
            "/shared/x": b"1",
            "/private/y": b"2",
        }


def test_read_only(maildir: Path, driven: Driven) -> None:
    """A mailbox that is selected, and by EXAMINE, has annotations like others."""
    driven.ask("s EXAMINE INBOX")

    assert ended(driven.ask('a SETMETADATA INBOX (/private/x "y")')) == ("OK", "")


def test_damaged_file(maildir: Path, driven: Driven) -> None:
    """What can't be read is an error for who asks, and nothing is overwritten."""
    (maildir / NAME).mkdir()

    assert ended(driven.ask("a GETMETADATA INBOX /shared/x"))[0] == "NO"
    assert ended(driven.ask('b SETMETADATA INBOX (/shared/x "y")'))[0] == "NO"
    assert ended(driven.ask("c NOOP"))[0] == "OK"


def test_with_each_call_failing(maildir: Path, driven: Driven) -> None:
    """All is set or nothing, and NO says which."""
    for number in range(100):
        driven.ask("s SETMETADATA INBOX (/private/a NIL /shared/b NIL)")
        with failing_call(number) as calls:
            name, _ = ended(driven.ask('a SETMETADATA INBOX (/private/a "1" /shared/b "2")'))
        there = AnnotationFile(str(maildir)).read()
        assert len(there) in (0, 2)
        assert name != "OK" or there
        if calls.failed is None:
            break
    assert name == "OK"


# -- other accounts ------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path: Path, maildir: Path, drive: Drive) -> tuple[Driven, Driven]:
    """Sessions of bob, and of alice who may see INBOX.a (read), INBOX.b (write), INBOX.l (look up)."""
    others = tmp_path / "alice" / "Maildir"
    make_maildir(others)
    index = tmp_path / "index"
    index.write_text(f"bob\t1000\t1000\t{maildir}\t.\nalice\t1000\t1000\t{others}\t.\n")
    settings = {"IMAP_SHAREDINDEXFILE": str(index), "IMAP_ACL": "1"}
    bob = Driven(maildir, settings, user="bob")
    for name, rights in (("a", "lr"), ("b", "lrsw"), ("l", "l"), ("none", "rsw")):
        bob.ask(f"s CREATE INBOX.{name}")
        assert ended(bob.ask(f"s SETACL INBOX.{name} alice {rights}"))[0] == "OK"
        bob.ask(f's SETMETADATA INBOX.{name} (/private/x "bob" /shared/x "all")')
    return bob, Driven(others, settings, user="alice")


def test_other_accounts(tmp_path: Path, pair: tuple[Driven, Driven]) -> None:
    """RFC 5464 3.2: /private is one's own, /shared is everybody's who may read."""
    bob, alice = pair
    asked = "GETMETADATA #shared.bob.b (/private/x /shared/x)"

    assert values(alice.ask(f"a {asked}")) == {"/private/x": None, "/shared/x": b"all"}
    changed = alice.ask('b SETMETADATA #shared.bob.b (/private/x "alice" /shared/x "new")')
    assert ended(changed) == ("OK", "")
    assert values(alice.ask(f"c {asked}")) == {"/private/x": b"alice", "/shared/x": b"new"}
    assert values(bob.ask("d GETMETADATA INBOX.b (/private/x /shared/x)")) == {
        "/private/x": b"bob",
        "/shared/x": b"new",
    }


def test_rights(pair: tuple[Driven, Driven]) -> None:
    """RFC 5464 3.3: "l" and one of r, s, w, i, p; what others see takes "w"."""
    _, alice = pair

    assert ended(alice.ask('a SETMETADATA #shared.bob.a (/private/x "y")')) == ("OK", "")
    refused = alice.ask('b SETMETADATA #shared.bob.a (/private/x "z" /shared/x "y")')
    assert ended(refused) == ("NO", "NOPERM")
    assert values(alice.ask("c GETMETADATA #shared.bob.a (/private/x /shared/x)")) == {
        "/private/x": b"y",
        "/shared/x": b"all",
    }
    assert ended(alice.ask("d GETMETADATA #shared.bob.l /shared/x")) == ("NO", "NOPERM")
    assert ended(alice.ask("e GETMETADATA #shared.bob.none /shared/x"))[0] == "NO"
    special = alice.ask('f SETMETADATA #shared.bob.b (/private/specialuse "\\\\Junk")')
    assert ended(special) == ("NO", "USEATTR")
    assert ended(alice.ask("g CREATE #shared.bob.new (USE (\\Junk))"))[0] == "NO"


def test_one_of_two_files_failing(tmp_path: Path, pair: tuple[Driven, Driven]) -> None:
    """RFC 5464 4.3: if the second of both can't be written, the first is as it was."""
    bob, alice = pair
    (tmp_path / "alice" / "Maildir" / OF_ACCOUNT).mkdir()

    refused = alice.ask('a SETMETADATA #shared.bob.b (/private/x "1" /shared/x "2" /shared/y "3")')

    assert ended(refused)[0] == "NO"
    assert values(bob.ask("b GETMETADATA INBOX.b (DEPTH 1) /shared")) == {"/shared/x": b"all"}


def test_renaming_and_deleting_others(pair: tuple[Driven, Driven]) -> None:
    """What one has noted on another's mailbox follows it if one renames it, and ends if one deletes it."""
    bob, alice = pair
    bob.ask("s SETACL INBOX alice lrc")
    bob.ask("s SETACL INBOX.b alice lrswcx")
    alice.ask('s SETMETADATA #shared.bob.b (/private/x "1")')
    alice.ask('s SETMETADATA #shared.bob.a (/private/x "2")')

    assert ended(alice.ask("a RENAME #shared.bob.b #shared.bob.c")) == ("OK", "")

    assert values(alice.ask("b GETMETADATA #shared.bob.c /private/x")) == {"/private/x": b"1"}
    assert values(alice.ask("b GETMETADATA #shared.bob.a /private/x")) == {"/private/x": b"2"}
    assert ended(alice.ask("c DELETE #shared.bob.c")) == ("OK", "")
    assert ended(alice.ask("d CREATE #shared.bob.c"))[0] == "OK"
    assert values(alice.ask("e GETMETADATA #shared.bob.c /private/x")) == {"/private/x": None}


# -- RFC 9590 ------------------------------------------------------------------------------


def test_list(maildir: Path, driven: Driven) -> None:
    """A METADATA behind each LIST of a mailbox that is there, NIL for what it has not."""
    make_folder(maildir, "INBOX.p.Sent")
    make_folder(maildir, "INBOX.Sent")
    driven.ask('s SETMETADATA INBOX.p.Sent (/shared/vendor/x/color "blue")')

    responses = driven.ask(
        'a LIST "" "INBOX.*" RETURN (METADATA (/shared/vendor/x/color /private/specialuse))'
    )

    told = [(one.name, *one.values[-2:]) for one in responses if one.name == "METADATA"]
    assert told == [
        (
            *("METADATA", b"INBOX.Sent"),
            {b"/shared/vendor/x/color": None, b"/private/specialuse": b"\\Sent"},
        ),
        (
            *("METADATA", b"INBOX.p.Sent"),
            {b"/shared/vendor/x/color": b"blue", b"/private/specialuse": None},
        ),
    ]
    assert [one.name for one in responses] == ["LIST", "METADATA", "LIST", "METADATA", "LIST", "OK"]


def test_large_list_comes_in_pieces(maildir: Path, drive: Drive) -> None:
    """However many mailboxes there are, only some's annotations are held, and others get their turn."""
    driven = drive(IMAP_METADATA_MAXSIZE="65536")
    data = b"x" * 40_000
    for number in range(12):
        make_folder(maildir, f"INBOX.{number}")
        name = b"INBOX.%d" % number
        driven.send(b"a SETMETADATA %b (/shared/a {%d+}\r\n%b)\r\n" % (name, len(data), data))
    driven.written.clear()

    responses = driven.ask('a LIST "" "INBOX.*" RETURN (METADATA (/shared/a))')

    assert sum(one.name == "METADATA" for one in responses) == 12
    assert sum(map(len, driven.written)) > 12 * len(data)
    assert max(map(len, driven.written)) < 3 * len(data)


def test_list_with_status(maildir: Path, driven: Driven) -> None:
    """RFC 9590: what a mailbox has follows its LIST; one entry needs no parentheses; none of what can't be selected."""
    make_folder(maildir, "INBOX.p.Sent")
    driven.ask('s SETMETADATA INBOX.p.Sent (/shared/x "1")')

    told = driven.ask('a LIST "" "INBOX.*" RETURN (STATUS (MESSAGES) METADATA /shared/x)')

    assert [one.line for one in told] == [
        '* LIST (\\HasNoChildren) "." "INBOX.p.Sent"',
        '* STATUS "INBOX.p.Sent" (MESSAGES 0)',
        '* METADATA "INBOX.p.Sent" (/shared/x "1")',
        '* LIST (\\NonExistent \\HasChildren) "." "INBOX.p"',
        "a OK LIST completed",
    ]


@pytest.mark.parametrize("option", ["METADATA", "METADATA ()", "METADATA (x)"])
def test_malformed_list(driven: Driven, option: str) -> None:
    assert ended(driven.ask(f'a LIST "" * RETURN ({option})'))[0] == "BAD"


def test_list_of_others(pair: tuple[Driven, Driven]) -> None:
    """Only of mailboxes whose annotations may be read; a file that can't be read is left out."""
    _, alice = pair

    responses = alice.ask('a LIST "" "#shared.bob.%" RETURN (METADATA (/shared/x /private/x))')

    told = [one.values[0] for one in responses if one.name == "METADATA"]
    assert told == [b"#shared.bob.a", b"#shared.bob.b"]


def test_list_with_a_damaged_file(maildir: Path, driven: Driven) -> None:
    make_folder(maildir, "INBOX.a")
    make_folder(maildir, "INBOX.b")
    (maildir / ".a" / NAME).mkdir()

    responses = driven.ask('a LIST "" "INBOX.%" RETURN (METADATA (/shared/x))')

    assert [one.name for one in responses] == ["LIST", "LIST", "METADATA", "OK"]


def test_large_answers_come_in_pieces(maildir: Path, drive: Drive) -> None:
    driven = drive(IMAP_METADATA_MAXSIZE="65536")
    for number in range(5):
        data = b"x" * 40_000
        driven.send(b"a SETMETADATA INBOX (/shared/%d {%d+}\r\n%b)\r\n" % (number, len(data), data))

    responses = driven.ask("a GETMETADATA (DEPTH 1) INBOX /shared")

    assert [one.name for one in responses] == ["METADATA", "METADATA", "METADATA", "OK"]
    assert len(values(responses)) == 5
