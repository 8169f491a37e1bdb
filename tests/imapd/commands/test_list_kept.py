"""LIST, LSUB and STATUS again: what a session knows from before is what is there now.

Sessions of another process, other programs and real Courier change the account between two commands. Each time
the session that has asked before is told what one is told that has never asked.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from courier.maildir import acl_files, roster
from imapd import status_items
from tests.imapd.conftest import Drive
from tests.imapd.driver import Driven
from tests.support.clock import wait_for_tick
from tests.support.maildirs import deliver, make_folder, make_maildir

OWNERS = "owner aceilrstwx\nadministrators aceilrstwx\n"
MESSAGE = b"Subject: x\n\nbody\n"
NUMBERS = "MESSAGES UIDNEXT UIDVALIDITY UNSEEN DELETED DELETED-STORAGE SIZE HIGHESTMODSEQ"
QUESTIONS = (
    'LIST "" "*"',
    'LIST "" "%"',
    'LIST "" "INBOX.%"',
    'LIST "" "INBOX.c*"',
    'LIST "" ("INBOX.a*" "%.d") RETURN (CHILDREN)',
    f'LIST "" "*" RETURN (CHILDREN SUBSCRIBED SPECIAL-USE MYRIGHTS STATUS ({NUMBERS} MAILBOXID))',
    'LIST "" "*" RETURN (STATUS (MESSAGES UNSEEN UIDNEXT))',
    'LIST (SUBSCRIBED RECURSIVEMATCH) "" "%"',
    'LIST (SPECIAL-USE) "" "*"',
    'LSUB "" "*"',
    "STATUS INBOX.a (MESSAGES UNSEEN SIZE)",
)

#: What others do: another session by its commands, or another program in the maildir.
Doing = str | Callable[[Path], object]


@pytest.fixture
def account(maildir: Path) -> Path:
    """INBOX and four folders with messages; all has been looked at before, a while ago."""
    for name in ("INBOX", "INBOX.a", "INBOX.a.b", "INBOX.c", "INBOX.d.e"):
        folder = maildir if name == "INBOX" else make_folder(maildir, name)
        deliver(folder, MESSAGE, number=1, flags="S")
        deliver(folder, MESSAGE, number=2, flags="")
        deliver(folder, MESSAGE, number=3)
        (folder / "courierimapacl").write_text(OWNERS)
    other = Driven(maildir)
    for question in ("SUBSCRIBE INBOX.a.b", "SELECT INBOX.c", *QUESTIONS):
        other.ask(f"a {question}")
    other.close()
    wait_for_tick()
    return maildir


def answers(driven: Driven) -> list[object]:
    return [driven.ask(f"a {question}") for question in QUESTIONS]


def _overwrite(path: Path, text: str) -> None:
    path.write_text(text)


def _made_anew(path: Path) -> None:
    shutil.rmtree(path)
    deliver(make_maildir(path), MESSAGE, number=9, flags="S")


DOINGS: dict[str, Doing] = {
    "CREATE": "CREATE INBOX.n",
    "CREATE below": "CREATE INBOX.c.n",
    "CREATE with a use": "CREATE INBOX.n (USE (\\Archive))",
    "use assigned": 'SETMETADATA INBOX.c (/private/specialuse "\\\\Junk")',
    "DELETE": "DELETE INBOX.a.b",
    "RENAME": "RENAME INBOX.a INBOX.z",
    "SUBSCRIBE": "SUBSCRIBE INBOX.c",
    "UNSUBSCRIBE": "UNSUBSCRIBE INBOX.a.b",
    "rights taken": "SETACL INBOX.a owner al",
    "rights given": "SETACL INBOX.c -owner w",
    "COPY": "COPY 1:2 INBOX.a",
    "MOVE": "MOVE 1 INBOX.a",
    "flag": "STORE 1 +FLAGS (\\Flagged)",
    "seen": "STORE 1:* +FLAGS (\\Seen)",
    "deleted": "STORE 1 +FLAGS (\\Deleted)",
    "keyword": "STORE 1 +FLAGS ($Work)",
    "delivery": lambda at: deliver(at / ".a", MESSAGE, number=7),
    "delivery to INBOX": lambda at: deliver(at, MESSAGE, number=7),
    "removal": lambda at: next((at / ".a" / "cur").iterdir()).unlink(),
    "folder": lambda at: make_folder(at, "INBOX.n"),
    "folder gone": lambda at: shutil.rmtree(at / ".c"),
    "folder made anew": lambda at: _made_anew(at / ".c"),
    "list overwritten": lambda at: _overwrite(at / ".a/courierimapacl", "owner aiiiiiiiii\n" * 2),
    "UIDs overwritten": lambda at: _overwrite(at / ".c" / "courierimapuiddb", "1 77 5\n"),
    "list removed": lambda at: (
        _overwrite(at / "courierimapacl", "owner alr\nadministrators aceilrstwx\n"),
        (at / ".c" / "courierimapacl").unlink(),
    ),
    "subscriptions of real Courier": lambda at: _overwrite(
        at / "courierimapsubscribed", "INBOX.c\nINBOX.none\n"
    ),
}
#: And what makes no difference for clients, but may mislead us.
QUIET: dict[str, Doing] = {
    "UIDs gone": lambda at: (at / ".c" / "courierimapuiddb").unlink(),
    "list of INBOX": "SETACL INBOX anyone lr",
}


@pytest.mark.usefixtures("seconds_later")
@pytest.mark.parametrize("doing", [*DOINGS.values(), *QUIET.values()], ids=[*DOINGS, *QUIET])
def test_what_others_did(account: Path, drive: Drive, doing: Doing) -> None:
    driven, other = drive(), drive()
    before = answers(driven)
    assert answers(driven) == before
    wait_for_tick()

    if isinstance(doing, str):
        other.ask("a SELECT INBOX.c")
        assert other.ask(f"a {doing}")[-1].name == "OK"
        other.ask("a UNSELECT")
    else:
        doing(account)

    after = answers(driven)
    assert (after == before) == (doing in QUIET.values())
    assert after == answers(drive())


def lose_index(account: Path) -> None:
    """MODSEQs are others then, for who has not known the folder."""
    for file in (account / ".c").glob("pycourier-*"):
        file.unlink()


@pytest.mark.usefixtures("seconds_later")
@pytest.mark.parametrize(
    "doing", [*DOINGS.values(), *QUIET.values(), lose_index], ids=[*DOINGS, *QUIET, "index gone"]
)
def test_what_others_did_before_the_next_process(
    account: Path, drive: Drive, doing: Doing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one process has stored of the folders misleads no other."""
    monkeypatch.setattr(roster, "_LEAST_STORED", 1)
    answers(drive())
    assert (account / "pycourier-folders").exists()
    wait_for_tick()

    if isinstance(doing, str):
        other = drive()
        other.ask("a SELECT INBOX.c")
        other.ask(f"a {doing}")
        other.ask("a UNSELECT")
    else:
        doing(account)
    after = answers(drive())

    (account / "pycourier-folders").unlink()
    assert after == answers(drive())


@pytest.mark.usefixtures("seconds_later")
def test_nothing_is_opened_again(
    account: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what has not changed no list is read and no folder opened."""
    driven = drive()
    before = answers(driven)
    opened: list[str] = []
    monkeypatch.setattr(driven.session.store, "open", opened.append)
    monkeypatch.setattr(acl_files, "read_file", opened.append)

    assert [driven.ask(f"a {one}") for one in QUESTIONS[:7]] == before[:7]
    assert opened == []


@pytest.mark.usefixtures("seconds_later")
def test_others_are_not_looked_at(
    account: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a level no more than its folders, one below each, and what they have their rights from; unless one
    has the name of a special use, which others may have."""
    make_folder(account, "INBOX.a.c")
    driven = drive()
    answers(driven)
    looked: set[object] = set()
    real = os.stat

    def stat(path: object, **options: Any) -> os.stat_result:
        if "dir_fd" in options:
            looked.add(path)
        return real(path, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(roster.os, "stat", stat)
    for wanted, names in (
        ('"%"', {".", ".a"}),
        ('"INBOX.%" RETURN (CHILDREN)', {".", ".a", ".a.b", ".c", ".d.e"}),
        ('"INBOX.a.%"', {".", ".a", ".a.b", ".a.c"}),
        ('"INBOX.none"', set()),
    ):
        driven.ask(f'a LIST "" {wanted}')
        assert {str(path).partition("/")[0] for path in looked} == names
        looked.clear()


def test_one_below_that_is_hidden(account: Path, drive: Drive) -> None:
    """It is no child, but another may be."""
    (account / ".a.b" / "courierimapacl").write_text(OWNERS + "-owner l\n")
    (account / ".d.e" / "courierimapacl").write_text(OWNERS + "-owner l\n")
    make_folder(account, "INBOX.a.c")
    found = {one.values[2]: one.values[0] for one in drive().ask('a LIST "" "INBOX.%"')[:-1]}

    assert found == {b"INBOX.a": [b"\\HasChildren"], b"INBOX.c": [b"\\HasNoChildren"]}


@pytest.mark.usefixtures("seconds_later")
def test_recent_of_this_process_alone(account: Path, drive: Drive) -> None:
    """That a message is recent for nobody yet may be known in memory only, and end without a trace on disk."""
    driven = drive()
    for command in ("SELECT INBOX.a", "SELECT INBOX.c", "COPY 1 INBOX.a", "UNSELECT"):
        driven.ask(f"a {command}")
    wait_for_tick()
    before = [recent(driven), recent(driven)]

    driven.ask("a SELECT INBOX.a")
    driven.ask("a UNSELECT")
    wait_for_tick()

    assert before == [1, 1]
    assert [recent(driven), recent(driven)] == [0, 0]


def recent(driven: Driven) -> object:
    (one, _) = driven.ask("a STATUS INBOX.a (RECENT)")
    numbers = one.values[1]
    assert isinstance(numbers, dict)
    return numbers["RECENT"]


@pytest.mark.usefixtures("seconds_later")
def test_client_that_never_lists(
    account: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STATUS alone keeps and finds what was counted, in this process and the next."""
    monkeypatch.setattr(roster, "_LEAST_STORED", 1)
    question = "a STATUS INBOX.a (MESSAGES UNSEEN)"
    driven = drive()
    before = driven.ask(question)
    wait_for_tick()

    for one in (driven, drive()):
        with monkeypatch.context() as patch:
            opened: list[str] = []
            patch.setattr(one.session.store, "open", opened.append)
            assert one.ask(question) == before
            assert opened == []


@pytest.mark.usefixtures("seconds_later")
def test_status_of_what_is_known_needs_no_thread(
    account: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many clients ask for one mailbox after the other: handing each over would cost more than all the rest."""
    question = "a STATUS INBOX.a (MESSAGES UNSEEN)"
    driven = drive()
    before = driven.ask(question)
    with monkeypatch.context() as patch:
        patch.setattr(status_items, "Work", lambda _: pytest.fail("a thread"))
        assert driven.ask(question) == before

    deliver(account / ".a", MESSAGE, number=8)

    assert driven.ask(question) == drive().ask(question) != before
