"""ESEARCH over several mailboxes (MULTISEARCH, RFC 7377)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from courier.maildir.acl import Acl
from imapd.commands import esearch
from imapd.mailboxes import Mailbox, Mailboxes
from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.support.maildirs import deliver, folder_path, make_folder

pytestmark = pytest.mark.usefixtures("logged")

FOLDERS = ("a", "a.b", "a.b.c", "ab", "z")


@pytest.fixture
def mailboxes(maildir: Path, driven: Driven) -> Driven:
    """In each mailbox message 1 is unseen, 2 seen; in INBOX.z nothing is unseen."""
    fill(maildir)
    return driven


def fill(maildir: Path) -> None:
    for name in ("INBOX", *(f"INBOX.{name}" for name in FOLDERS)):
        folder = maildir if name == "INBOX" else make_folder(maildir, name)
        deliver(folder, b"Subject: one\n\nbody\n", number=1, flags="S" * (name == "INBOX.z"))
        deliver(folder, b"Subject: two\n\nbody\n", number=2, flags="S")


def found(driven: Driven, command: str) -> dict[str, dict[str, object]]:
    """What each mailbox's response tells; in a response by UID with all correlators."""
    responses = driven.ask(f"a ESEARCH {command}")
    assert responses[-1].name == "OK", responses
    results: dict[str, dict[str, object]] = {}
    for one in responses:
        if one.name == "ESEARCH":
            tag, name, uidvalidity, is_by_uid, told = one.values
            assert (tag, is_by_uid) == (b"a", True) and uidvalidity
            assert isinstance(name, bytes) and name.decode() not in results
            assert isinstance(told, dict)
            results[name.decode()] = told
    return results


def where(driven: Driven, sources: str) -> list[str]:
    return list(found(driven, f"IN ({sources}) UNSEEN"))


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ("mailboxes INBOX", ["INBOX"]),
        ("mailboxes inbox", ["INBOX"]),
        ("MAILBOXES (INBOX INBOX.a)", ["INBOX", "INBOX.a"]),
        ("mailboxes (INBOX.a INBOX.nosuch INBOX.z)", ["INBOX.a"]),
        ("subtree INBOX.a", ["INBOX.a", "INBOX.a.b", "INBOX.a.b.c"]),
        ("subtree-one INBOX.a", ["INBOX.a", "INBOX.a.b"]),
        ("subtree (INBOX.ab INBOX.z)", ["INBOX.ab"]),
        ("subtree INBOX.nosuch", []),
        ("personal", ["INBOX", "INBOX.a", "INBOX.a.b", "INBOX.a.b.c", "INBOX.ab"]),
        ("inboxes", ["INBOX", "INBOX.a", "INBOX.a.b", "INBOX.a.b.c", "INBOX.ab"]),
        ("subscribed", ["INBOX.ab"]),
        ("subscribed mailboxes INBOX.a", ["INBOX.a", "INBOX.ab"]),
        ("mailboxes INBOX.a mailboxes INBOX.a subtree-one INBOX.a", ["INBOX.a", "INBOX.a.b"]),
        ('mailboxes "INBOX.%"', []),
        ('subtree "INBOX.*"', []),
        ('subtree ""', []),
    ],
)
def test_sources(mailboxes: Driven, sources: str, expected: list[str]) -> None:
    """RFC 7377 2.2: each mailbox once, those without a match not at all; names are no patterns."""
    mailboxes.ask("s SUBSCRIBE INBOX.ab")
    mailboxes.ask("s SUBSCRIBE INBOX.gone")

    assert sorted(where(mailboxes, sources)) == expected


def test_results(mailboxes: Driven) -> None:
    """UIDs of each mailbox's own; options apply to each."""
    assert found(mailboxes, "IN (mailboxes (INBOX INBOX.z)) RETURN (MIN MAX COUNT ALL) SEEN") == {
        "INBOX": {"MIN": 2, "MAX": 2, "COUNT": 1, "ALL": b"2"},
        "INBOX.z": {"MIN": 1, "MAX": 2, "COUNT": 2, "ALL": b"1:2"},
    }
    assert found(mailboxes, "IN (mailboxes (INBOX.a INBOX.z)) RETURN (COUNT) UNSEEN") == {
        "INBOX.a": {"COUNT": 1}
    }
    assert found(mailboxes, "IN (mailboxes INBOX.z) RETURN (PARTIAL -1:-1) ALL") == {
        "INBOX.z": {"PARTIAL": (b"-1:-1", b"2")}
    }
    assert found(mailboxes, "IN (mailboxes INBOX) CHARSET UTF-8 SUBJECT one BODY body") == {
        "INBOX": {"ALL": b"1"}
    }
    assert found(mailboxes, "IN (mailboxes INBOX) 2:900") == {"INBOX": {"ALL": b"2"}}


def test_selected_is_the_default(mailboxes: Driven) -> None:
    mailboxes.ask("s SELECT INBOX.a")

    assert found(mailboxes, "UNSEEN") == {"INBOX.a": {"ALL": b"1"}}
    assert found(mailboxes, "IN (selected) RETURN (COUNT) ALL") == {"INBOX.a": {"COUNT": 2}}
    assert where(mailboxes, "selected mailboxes (INBOX INBOX.a)") == ["INBOX.a", "INBOX"]


def test_selection_stays(maildir: Path, mailboxes: Driven) -> None:
    """And what is new in other mailboxes stays \\Recent for whoever selects them."""
    mailboxes.ask("s SELECT INBOX.a")
    os.unlink(next((folder_path(maildir, "INBOX.a") / "cur").iterdir()))
    deliver(folder_path(maildir, "INBOX.ab"), b"Subject: new\n\n", number=3)

    assert "INBOX.ab" in where(mailboxes, "personal")

    assert mailboxes.ask("b FETCH 1:* FLAGS")[-1].name == "OK"
    responses = mailboxes.ask("c SELECT INBOX.ab")
    assert [one.number for one in responses if one.name == "RECENT"] == [3]


@pytest.mark.parametrize(
    "command",
    [
        "ALL",
        "IN (selected) ALL",
        "IN (selected personal) ALL",
        "RETURN (COUNT) ALL",
        "IN (personal) RETURN (SAVE) ALL",
        "IN (personal) RETURN (UPDATE) ALL",
        "IN () ALL",
        "IN personal ALL",
        "IN (selected-delayed) ALL",
        "IN (mailboxes) ALL",
        "IN (mailboxes ()) ALL",
        "IN (nosuch) ALL",
        "IN (personal (x y)) ALL",
        "IN (personal)",
        "IN (personal) RETURN (COUNT)",
        "IN (personal) RETURN (FOO) ALL",
        "RETURN (COUNT) IN (personal) ALL",
        "",
    ],
)
def test_refused_without_a_mailbox(mailboxes: Driven, command: str) -> None:
    assert [one.name for one in mailboxes.ask(f"a ESEARCH {command}")] == ["BAD"]


def test_refused(mailboxes: Driven) -> None:
    (completion,) = mailboxes.ask("a ESEARCH IN (personal) CHARSET NOSUCH ALL")

    assert (completion.name, completion.code) == ("NO", "BADCHARSET")
    assert mailboxes.ask("a UID ESEARCH IN (personal) ALL")[-1].name == "BAD"


def test_too_many(mailboxes: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7377 2.4."""
    monkeypatch.setattr(esearch, "_MOST", 3)

    (completion,) = mailboxes.ask("a ESEARCH IN (personal) ALL")

    assert (completion.name, completion.code) == ("NO", "LIMIT")


def test_too_many_trees(mailboxes: Driven) -> None:
    """Each costs a look at all mailboxes; what is said twice counts once."""
    for kind in ("subtree", "subtree-one"):
        names = " ".join(f"INBOX.x{number}" for number in range(101))
        (completion,) = mailboxes.ask(f"a ESEARCH IN ({kind} ({names})) ALL")
        assert (completion.name, completion.code) == ("NO", "LIMIT")
    assert where(mailboxes, " ".join(["subtree INBOX.ab"] * 500)) == ["INBOX.ab"]
    assert where(mailboxes, f"mailboxes (INBOX.ab {names})") == ["INBOX.ab"]


def test_save(mailboxes: Driven) -> None:
    """RFC 7377 2.2: of the selected mailbox alone; $ means nothing in others."""
    mailboxes.ask("s SELECT INBOX.z")

    assert found(mailboxes, "RETURN (SAVE COUNT) SUBJECT two") == {"INBOX.z": {"COUNT": 1}}
    assert found(mailboxes, "IN (mailboxes (INBOX.z INBOX)) $") == {"INBOX.z": {"ALL": b"2"}}
    for sources in ("personal", "selected mailboxes INBOX", "mailboxes INBOX.z"):
        assert mailboxes.ask(f"a ESEARCH IN ({sources}) RETURN (SAVE) ALL")[-1].name == "BAD"
    assert mailboxes.ask("a ESEARCH RETURN (SAVE) CHARSET NOSUCH ALL")[-1].name == "NO"
    assert found(mailboxes, "$") == {}


def test_updates(maildir: Path, mailboxes: Driven) -> None:
    """RFC 7377 2.2, RFC 5267: of the selected mailbox, known by all correlators."""
    mailboxes.ask("s SELECT INBOX.a")
    responses = mailboxes.ask("u ESEARCH IN (selected mailboxes INBOX) RETURN (UPDATE ALL) UNSEEN")
    assert [one.values[1] for one in responses[:-1]] == [b"INBOX.a", b"INBOX"]
    assert mailboxes.ask("u ESEARCH RETURN (UPDATE) ALL")[-1].name == "BAD"

    responses = mailboxes.ask("b STORE 1 +FLAGS (\\Seen)")

    assert responses[-2].values[:2] == (b"u", b"INBOX.a")
    assert responses[-2].values[4] == {"REMOVEFROM": [(0, b"1")]}
    assert mailboxes.ask('c CANCELUPDATE "u"')[-1].name == "OK"


def test_modseq(mailboxes: Driven) -> None:
    results = found(mailboxes, "IN (mailboxes (INBOX INBOX.a)) MODSEQ 1")

    assert all(isinstance(one["MODSEQ"], int) for one in results.values())
    assert len(results) == 2


def test_modseq_where_there_are_none(maildir: Path, drive: Drive) -> None:
    fill(maildir)

    assert found(drive(IMAP_USELOCKS="0"), "IN (personal) MODSEQ 1") == {}


def test_rights(maildir: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7377 2.2: without r, and if it is not named without l, a mailbox is not searched."""
    fill(maildir)
    driven = drive(IMAP_ACL="1")
    for identifier in ("owner", "anyone"):
        driven.ask(f"b SETACL INBOX.a {identifier} lacdw")
    others = ["INBOX", "INBOX.a.b", "INBOX.a.b.c", "INBOX.ab"]

    assert where(driven, "mailboxes (INBOX.a INBOX.ab)") == ["INBOX.ab"]
    assert sorted(where(driven, "personal")) == others
    assert sorted(where(driven, "subtree INBOX")) == others

    # An owner may always know of his folders; others need not be allowed to.
    find = Mailboxes.find

    def without_l(
        self: Mailboxes, name: str, known: dict[str, Acl] | None = None
    ) -> Mailbox | None:
        one = find(self, name, known)
        is_hidden = one is not None and one.name == "INBOX.ab"
        return one._replace(rights="r") if one is not None and is_hidden else one

    monkeypatch.setattr(Mailboxes, "find", without_l)
    driven.ask("s SUBSCRIBE INBOX.ab")
    driven.ask("s SUBSCRIBE INBOX")
    assert where(driven, "mailboxes INBOX.ab") == ["INBOX.ab"]
    assert where(driven, "subscribed") == ["INBOX"]


def test_uidonly(mailboxes: Driven) -> None:
    mailboxes.ask("e ENABLE UIDONLY")

    (completion,) = mailboxes.ask("a ESEARCH IN (personal) 1:2")
    assert completion.code == "UIDREQUIRED"
    assert found(mailboxes, "IN (mailboxes INBOX) UID 1:2") == {"INBOX": {"ALL": b"1:2"}}


def test_mailbox_that_can_not_be_opened(maildir: Path, mailboxes: Driven) -> None:
    """It is passed over, and the administrator hears of it."""
    directory = folder_path(maildir, "INBOX.a") / "cur"
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    directory.write_bytes(b"")

    assert "INBOX.ab" in where(mailboxes, "personal")


def test_names_beyond_ascii(maildir: Path, mailboxes: Driven) -> None:
    mailboxes.ask("c CREATE INBOX.Gr&APw-n")
    deliver(folder_path(maildir, "INBOX.Gr\u00fcn"), b"Subject: x\n\n", number=1, flags="")

    assert where(mailboxes, "mailboxes INBOX.Gr&APw-n") == ["INBOX.Gr&APw-n"]
