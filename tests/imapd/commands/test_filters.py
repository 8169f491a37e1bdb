"""FILTERS (RFC 5466): searches that are kept under a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from imapd import annotation
from imapd.mailboxes import Mailbox
from imapd.session import Session
from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.imapd.responses import read
from tests.support.maildirs import deliver, make_folder

pytestmark = pytest.mark.usefixtures("logged")


@pytest.fixture
def selected(maildir: Path, driven: Driven) -> Driven:
    """Messages 1 to 4; 2 and 4 are seen; 3 and 4 are of Grün."""
    for number in range(1, 5):
        name = "Gr\u00fcn" if number > 2 else "Blau"
        text = f"From: {name} <x@example.org>\nSubject: {number}\n\n".encode()
        deliver(maildir, text, number=number, flags="S" * (number % 2 == 0))
    driven.ask("s SELECT INBOX")
    return driven


def keep(driven: Driven, name: str, value: str | None) -> None:
    octets = b"NIL"
    if value is not None:
        octets = b"{%d+}\r\n%b" % (len(value.encode()), value.encode())
    entry = f"/private/filters/values/{name}".encode()
    answer = driven.send(b'k SETMETADATA "" (%b %b)\r\n' % (entry, octets))
    assert answer.endswith(b"k OK SETMETADATA completed.\r\n")


def found(driven: Driven, keys: str) -> list[object]:
    responses = driven.ask(f"a UID SEARCH {keys}")
    assert responses[-1].name == "OK", responses
    return list(responses[0].values)


def refusal(driven: Driven, command: str) -> tuple[str, str]:
    (completion,) = driven.ask(f"a {command}")
    return completion.name, completion.code


def test_announced(driven: Driven) -> None:
    assert b" FILTERS" in driven.send(b"a CAPABILITY\r\n")


@pytest.mark.parametrize(
    ("value", "keys", "expected"),
    [
        ("SEEN", "FILTER f", [2, 4]),
        ("SEEN", "filter F", [2, 4]),
        ("SEEN", "NOT FILTER f", [1, 3]),
        ("SEEN", "UID 1:2 FILTER f", [2]),
        ("SEEN SUBJECT 4", "FILTER f", [4]),
        ("SEEN SUBJECT 4", "NOT FILTER f", [1, 2, 3]),
        ("OR SUBJECT 1 SEEN", "FILTER f UNSEEN", [1]),
        ("SUBJECT 1", "OR FILTER f FILTER f", [1]),
        ("(SEEN)", "(FILTER f)", [2, 4]),
        ('FROM "gr\u00fcn"', "FILTER f", [3, 4]),
        ("FROM {5}\r\ngr\u00fcn", "FILTER f", [3, 4]),
        ("FROM {4+}\r\nblau SEEN", "FILTER f", [2]),
        ("1:2", "FILTER f", [1, 2]),
        ("SEEN", "CHARSET UTF-8 FILTER f", [2, 4]),
        ("SEEN", "CHARSET US-ASCII FILTER f", [2, 4]),
    ],
)
def test_filter(selected: Driven, value: str, keys: str, expected: list[int]) -> None:
    """RFC 5466 3.1: the value is read in the key's place, all of it together."""
    keep(selected, "f", value)

    assert found(selected, keys) == expected


def test_private_before_shared(selected: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 5466 1: a user's own one counts; here no user can set those of all."""
    (completion,) = selected.ask('k SETMETADATA "" (/shared/filters/values/f "SEEN")')
    assert completion.code == "NOPERM"
    of_account = annotation.read

    def with_shared(session: Session, found: Mailbox | None) -> dict[str, bytes]:
        return {"/shared/filters/values/f": b"SEEN", **of_account(session, found)}

    monkeypatch.setattr(annotation, "read", with_shared)
    assert found(selected, "FILTER f") == [2, 4]
    keep(selected, "f", "SUBJECT 1")
    assert found(selected, "FILTER f") == [1]
    keep(selected, "f", None)
    assert found(selected, "FILTER f") == [2, 4]


def test_filters_in_filters(selected: Driven) -> None:
    """RFC 5466 3.1: three at least; one that names itself does not exist."""
    keep(selected, "f0", "SEEN")
    for number in range(1, 10):
        keep(selected, f"f{number}", f"FILTER f{number - 1}")
    assert found(selected, "FILTER f9") == [2, 4]
    keep(selected, "f0", "OR SEEN FILTER f1")

    assert refusal(selected, "SEARCH FILTER f1")[1].startswith("UNDEFINED-FILTER f")


@pytest.mark.parametrize(
    "value", ["OR SMALLER 5000", "", "SEEN)", "(SEEN", "FOO", "SEEN  FOO", "NOT", "ALL " * 2000]
)
def test_value_that_is_no_search(selected: Driven, value: str) -> None:
    """RFC 5466 3.1: the search fails, and the rest of the command does not complete the value."""
    keep(selected, "f", value)

    name, _ = refusal(selected, "SEARCH FILTER f 100 SEEN")
    assert name == "NO"


@pytest.mark.parametrize("command", ["FILTER", "FILTER ", 'FILTER "f"', "FILTER (f)", "FILTER f)"])
def test_malformed(selected: Driven, command: str) -> None:
    keep(selected, "f", "SEEN")

    assert refusal(selected, f"SEARCH {command}")[0] == "BAD"


@pytest.mark.parametrize("name", ["nosuch", "a/b", "f"])
def test_undefined(selected: Driven, name: str) -> None:
    keep(selected, "a/b", "SEEN")

    for command in ("SEARCH", "UID SEARCH RETURN (COUNT)", "SORT (DATE) UTF-8"):
        assert refusal(selected, f"{command} FILTER {name}") == ("NO", f"UNDEFINED-FILTER {name}")


def test_other_character_sets(selected: Driven) -> None:
    """RFC 5466 3.1: BAD."""
    keep(selected, "f", "SEEN")

    for command in ("SEARCH CHARSET ISO-8859-1", "SORT (DATE) ISO-8859-1"):
        assert refusal(selected, f"{command} FILTER f") == ("BAD", "BADCHARSET")


def test_outer_character_set_goes_on_behind(selected: Driven) -> None:
    """A filter's own is that of the filter alone."""
    keep(selected, "f", "SEEN")

    octets = "gr\u00fcn".encode()
    responses = read(
        selected.send(b"a SEARCH FILTER f FROM {%d+}\r\n%b\r\n" % (len(octets), octets))
    )

    assert responses[0].values == (4,)


def test_in_all_commands(maildir: Path, selected: Driven) -> None:
    keep(selected, "f", "SEEN")
    make_folder(maildir, "INBOX.a")

    assert selected.ask("a SORT (REVERSE SUBJECT) UTF-8 FILTER f")[0].values == (4, 2)
    assert selected.ask("a THREAD REFERENCES UTF-8 FILTER f")[0].line == "* THREAD (2)(4)"
    assert selected.ask("a ESEARCH IN (personal) FILTER f")[0].values[4] == {"ALL": b"2,4"}


def test_kept_up_to_date(selected: Driven) -> None:
    """The results of the filter as it was; $ is emptied by a filter that there is not."""
    keep(selected, "f", "SEEN 1:2")
    selected.ask("u UID SEARCH RETURN (UPDATE SAVE) FILTER f")
    keep(selected, "f", "UNSEEN")

    responses = selected.ask("b STORE 1 +FLAGS (\\Seen)")
    assert responses[1].line == '* ESEARCH (TAG "u") UID ADDTO (0 1)'
    assert found(selected, "$") == [2]
    assert refusal(selected, "SEARCH RETURN (SAVE) FILTER nosuch")[0] == "NO"
    assert found(selected, "$") == []


def test_uidonly(selected: Driven) -> None:
    keep(selected, "f", "1:2")
    selected.ask("e ENABLE UIDONLY")

    assert refusal(selected, "UID SEARCH FILTER f") == ("BAD", "UIDREQUIRED")


def test_word_elsewhere(selected: Driven) -> None:
    """Where it is no key, nothing is looked up."""
    assert found(selected, 'SUBJECT "filter"') == []
    assert found(selected, "KEYWORD FILTER") == []


def test_another_session(maildir: Path, selected: Driven, drive: Drive) -> None:
    keep(selected, "f", "SEEN")
    other = drive()
    other.ask("s SELECT INBOX")

    assert found(other, "FILTER f") == [2, 4]
