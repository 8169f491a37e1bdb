from __future__ import annotations

from pathlib import Path

import pytest

from imapd.commands import store
from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.support.maildirs import deliver, message_files

pytestmark = pytest.mark.usefixtures("logged")


@pytest.fixture
def selected(maildir: Path, driven: Driven) -> Driven:
    """A session with three messages."""
    for number in range(3):
        deliver(maildir, b"x\n", number=number, flags="")
    driven.send(b"s SELECT INBOX\r\n")
    return driven


@pytest.mark.parametrize(
    "arguments",
    [
        "1 FLAGS",
        "1 FLAGS (",
        "1 FLAGS (\\Recent)",
        "1 FLAGS (\\)",
        "1 FLAGS (\\*)",
        "1 FLAGS (a{b)",
        "1 FLAGS (a]b)",
        '1 FLAGS ("a")',
        "1 FLAGS (a\x00)",
        "1 FLAGS (é)",
        "1 FLAGS (a) b",
        "1 ++FLAGS (a)",
        "1 FLAGS.LOUD (a)",
        "1 +FLAGS.SILENT.X (a)",
        "1 (UNCHANGEDSINCE) FLAGS (a)",
        "1 (UNCHANGEDSINCE x) FLAGS (a)",
        "1 (UNCHANGEDSINCE 9223372036854775808) FLAGS (a)",
        "1 (UNCHANGEDSINCE 1 UNCHANGEDSINCE 1) FLAGS (a)",
        "1 (CHANGEDSINCE 5) FLAGS (a)",
        "1 () FLAGS (a)",
        "0 FLAGS (a)",
        "4 FLAGS (a)",
        "1,4294967295 FLAGS (a)",
        "1 FLAGS (" + "a " * 6000 + "a)",
        "1 FLAGS " + "a " * 6000 + "a",
    ],
)
def test_nothing_is_changed_by_what_is_malformed(
    selected: Driven, maildir: Path, arguments: str
) -> None:
    """All arguments are read before the first message is touched."""
    before = message_files(maildir)

    (completion,) = selected.ask(f"a STORE {arguments}")

    assert completion.name == "BAD"
    assert message_files(maildir) == before
    assert not (maildir / "courierimapkeywords").exists()


@pytest.mark.parametrize("keyword", ["../../x", "a/b", "..", ":list", ".1.x", "-", "}", "'", "|"])
def test_keyword_that_looks_like_a_path(selected: Driven, maildir: Path, keyword: str) -> None:
    """It is a line of a file, never a name of one."""
    responses = selected.ask(f"a STORE 1 +FLAGS ({keyword})")

    assert responses[-1].name == "OK"
    assert responses[-2].values == ((b"FLAGS", [b"\\Recent", keyword.encode()]),)
    assert {path.name for path in maildir.parent.iterdir()} == {"Maildir", "log"}
    names = [path.name for path in (maildir / "courierimapkeywords").iterdir()]
    assert all(".test,S=" in name or name == ":list" for name in names)


def test_keyword_in_another_case(selected: Driven) -> None:
    """It is the same one, in the case of its first use."""
    selected.ask("a STORE 1 +FLAGS ($Label)")

    responses = selected.ask("b STORE 1 +FLAGS ($LABEL $label)")

    assert [r.line for r in responses[:-1]] == ["* 1 FETCH (FLAGS (\\Recent $Label))"]


def test_more_than_one_slice(maildir: Path, driven: Driven) -> None:
    """All are changed and told, in order; others had their turn in between."""
    count = 2 * store._SLICE + 5
    for number in range(count):
        deliver(maildir, b"x\n", number=number, flags="")
    driven.send(b"s SELECT INBOX\r\n")
    before = len(driven.requests)

    responses = driven.ask("a STORE 1:* +FLAGS (\\Seen)")

    assert [r.number for r in responses[:-1]] == list(range(1, count + 1))
    assert len(driven.requests) - before >= 3
    assert set(message_files(maildir).values()) == {"S"}


def test_silent_tells_what_others_did(selected: Driven, maildir: Path) -> None:
    """What was asked for is not told; another program's flag on the same message is."""
    path = sorted((maildir / "cur").iterdir())[0]
    path.rename(path.with_name(path.name + "F"))

    responses = selected.ask("a STORE 1:3 +FLAGS.SILENT (\\Seen)")

    told = [r for r in [*responses, *selected.ask("b NOOP")] if r.name == "FETCH"]
    assert [(r.number, r.values) for r in told] == [
        (1, ((b"FLAGS", [b"\\Flagged", b"\\Seen", b"\\Recent"]),))
    ]


def test_keywords_switched_off(drive: Drive, maildir: Path) -> None:
    """None is stored, in parentheses or not; other flags are (RFC 9051 7.1, PERMANENTFLAGS)."""
    deliver(maildir, b"x\n", number=1, flags="")
    driven = drive(IMAP_KEYWORDS="0")
    driven.send(b"s SELECT INBOX\r\n")

    for flags in ("(kw)", "kw", "(\\Seen kw)"):
        for sign in ("+", ""):
            assert driven.ask(f"a STORE 1 {sign}FLAGS {flags}")[-1].name == "OK"
    assert driven.ask("b STORE 1 -FLAGS (kw)")[-1].name == "OK"
    assert set(message_files(maildir).values()) == {"S"}
    assert not (maildir / "courierimapkeywords").exists()


def test_flags_that_are_not_known(selected: Driven) -> None:
    """They are passed over, the others are set (RFC 9051 7.1, PERMANENTFLAGS)."""
    told, completion = selected.ask("a STORE 1 FLAGS (\\Other \\Seen \\X-a)")

    assert completion.name == "OK"
    assert dict([told.values[0]])[b"FLAGS"] == [b"\\Seen", b"\\Recent"]  # type: ignore[misc,list-item]
