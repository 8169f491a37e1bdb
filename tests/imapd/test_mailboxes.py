from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from courier.maildir import acl
from courier.process.request import Wake
from imapd.mailboxes import Space
from tests.imapd.conftest import Log
from tests.imapd.driver import Driven
from tests.support.clock import wait_for_tick
from tests.support.maildirs import make_folder, make_maildir

OWNERS = "owner aceilrstwx\nadministrators aceilrstwx\n"
LogIn = Callable[..., Driven]


@pytest.fixture
def accounts(tmp_path: Path) -> dict[str, Path]:
    """alice, bob and carol; everybody may read bob's INBOX, and staff everything but that of carol's."""
    made = {name: make_maildir(tmp_path / name / "Maildir") for name in ("alice", "bob", "carol")}
    make_folder(made["bob"], "INBOX.secret")
    make_folder(made["carol"], "INBOX.plans")
    (made["bob"] / "courierimapacl").write_text(OWNERS + "anyone lr\n")
    (made["bob"] / ".secret" / "courierimapacl").write_text(OWNERS)
    (made["carol"] / ".plans" / "courierimapacl").write_text(OWNERS + "group=staff lrs\n")
    return made


@pytest.fixture
def index(tmp_path: Path, accounts: dict[str, Path]) -> Path:
    lines = [f"{name}\t1\t1\t{path.parent}\n" for name, path in accounts.items()]
    (tmp_path / "index").write_text("".join(lines))
    return tmp_path / "index"


@pytest.fixture
def log_in(index: Path, accounts: dict[str, Path], logged: Log) -> LogIn:
    def start(user: str = "alice", options: str | None = None, **settings: str) -> Driven:
        environ = {"IMAP_SHAREDINDEXFILE": str(index), "IMAP_ACL": "1", **settings}
        return Driven(accounts[user], environ, user=user, options=options)

    return start


def listed(driven: Driven, wanted: str = "#shared.*") -> set[str]:
    responses = driven.ask(f'a LIST "" "{wanted}"')
    return {r.values[2].decode() for r in responses[:-1] if isinstance(r.values[2], bytes)}


@pytest.mark.parametrize(
    ("name", "space", "is_level", "exists"),
    [
        ("inbox", Space.PERSONAL, False, True),
        ("Inbox.none", Space.PERSONAL, False, False),
        ("#shared", Space.VIRTUAL, True, False),
        ("#shared.bob", Space.VIRTUAL, False, True),
        ("#shared.bob.secret", Space.VIRTUAL, False, True),
        ("#shared.bob.none", Space.VIRTUAL, False, False),
        ("#shared.bob..x", Space.VIRTUAL, True, False),
        ("#shared.bob./etc", Space.VIRTUAL, True, False),
        ("#shared..", Space.VIRTUAL, True, False),
        ("#shared.nobody", Space.VIRTUAL, True, False),
        ("#shared.alice", Space.VIRTUAL, True, False),
        ("#shared.bob.\0", Space.VIRTUAL, True, False),
        ("shared", Space.SHARED, True, False),
        ("shared.x.y", Space.SHARED, True, False),
    ],
)
def test_find(log_in: LogIn, name: str, space: Space, is_level: bool, exists: bool) -> None:
    """Every name leads to one place, or to none."""
    found = log_in().session.mailboxes.find(name)

    assert found is not None
    assert (found.space, found.is_level, found.exists) == (space, is_level, exists)
    assert not (is_level and found.rights)


@pytest.mark.parametrize("name", ["", "foo", "#sharedx", "#SHARED.bob", "sharedx.y", "INBOXx"])
def test_no_name(log_in: LogIn, name: str) -> None:
    assert log_in().session.mailboxes.find(name) is None


def test_rights(log_in: LogIn) -> None:
    """One's own, those of others, and those of groups."""
    alice, staff = log_in().session.mailboxes, log_in(options="group=staff").session.mailboxes

    assert [m.rights for name in ("INBOX", "#shared.bob") if (m := alice.find(name))] == [
        acl.ALL,
        "lr",
    ]
    assert [m.rights for m in (alice.find("#shared.carol.plans"),) if m] == [""]
    assert [m.rights for m in (staff.find("#shared.carol.plans"),) if m] == ["lrs"]


def test_list_shows_what_may_be_seen(log_in: LogIn) -> None:
    """And levels above it; nothing else of others."""
    assert listed(log_in()) == {"#shared.bob"}
    assert listed(log_in(options="x=y,group=staff")) == {
        "#shared.bob",
        "#shared.carol",
        "#shared.carol.plans",
    }
    assert listed(log_in(options="group=administrators")) == {
        "#shared.bob",
        "#shared.bob.secret",
        "#shared.carol",
        "#shared.carol.plans",
    }
    assert listed(log_in(options="group=staff"), "*") == {"INBOX"}


@pytest.mark.usefixtures("seconds_later")
def test_list_after_others_changed_rights(log_in: LogIn, accounts: dict[str, Path]) -> None:
    """Whoever was given a right sees the mailbox at once, and whoever lost it does not any more."""
    alice, bob, secret = log_in(), log_in("bob"), accounts["bob"] / ".secret" / "courierimapacl"
    wait_for_tick()
    told = [listed(alice)]
    bob.ask("a SETACL INBOX.secret alice lr")
    told.append(listed(alice))
    wait_for_tick()
    secret.write_text(OWNERS)  # by another program, into the file
    told.append(listed(alice))
    wait_for_tick()
    bob.ask("a SETACL INBOX anyone r")
    told.append(listed(alice))

    both = {"#shared.bob", "#shared.bob.secret"}
    assert told == [{"#shared.bob"}, both, {"#shared.bob"}, set()]


@pytest.mark.usefixtures("seconds_later")
def test_numbers_of_others(log_in: LogIn, accounts: dict[str, Path]) -> None:
    """Whoever lost the right to read is told no number, though one is known."""
    alice, bob = log_in(), log_in("bob")
    command = 'a LIST "" "#shared.*" RETURN (STATUS (MESSAGES))'
    names = [one.name for one in alice.ask(command)]
    alice.ask(command)
    bob.ask("a SETACL INBOX anyone l")

    assert names == ["LIST", "STATUS", "OK"]
    assert [one.name for one in alice.ask(command)] == ["LIST", "OK"]


@pytest.mark.parametrize(
    "command",
    [
        "SELECT {}",
        "EXAMINE {}",
        "STATUS {} (UNSEEN)",
        "DELETE {}",
        "GETACL {}",
        "SETACL {} alice lr",
        "DELETEACL {} alice",
        "LISTRIGHTS {} alice",
        "MYRIGHTS {}",
        "APPEND {} {{1+}}\r\nx",
        "COPY 1 {}",
        "MOVE 1 {}",
        "RENAME {} INBOX.x",
        "SUBSCRIBE {}",
        "UNSUBSCRIBE {}",
        'LIST "" {}',
        'LSUB "" {}',
        "ACL STORE {} user=alice lr",
        "ACL DELETE {} user=alice",
    ],
)
def test_what_may_not_be_seen_does_not_exist(log_in: LogIn, command: str) -> None:
    """The answer is the same as for a mailbox that is not there, but for its name."""
    answers = []
    for name in ("#shared.bob.secret", "#shared.bob.nothin"):
        alice = log_in(MAILDIRQUOTA="")
        alice.send(b"s APPEND INBOX {1+}\r\nx\r\ns SELECT INBOX\r\n")
        told = alice.send(f"a {command.format(name)}\r\n".encode())
        answers.append(told.replace(name.encode(), b"NAME"))

    assert answers[0] == answers[1]


def test_account_in_a_group_belongs_to_nobody_else(
    log_in: LogIn, index: Path, tmp_path: Path
) -> None:
    """Courier takes who is called like the group for the owner of all that is in it."""
    index.rename(tmp_path / "indexalice")
    index.write_text("alice\t*\tindexalice\n")

    found = log_in("alice").session.mailboxes.find("#shared.alice.bob")

    assert found is not None
    assert found.rights == "lr"


def test_names_beyond_ascii(log_in: LogIn, index: Path, accounts: dict[str, Path]) -> None:
    """They are told as they are; as Courier told them they are understood, too."""
    index.write_text(f"Jürgen é\t1\t1\t{accounts['bob'].parent}\n")
    alice = log_in()

    assert listed(alice) == {"#shared.J&APw-rgen &AOk-"}
    for name in ('"#shared.J&APw-rgen &AOk-"', '"#shared.J&-APw-rgen &-AOk-"'):
        assert alice.ask(f"a STATUS {name} (MESSAGES)")[-1].name == "OK"
    assert alice.ask('a STATUS "#shared.Jurgen e" (MESSAGES)')[-1].name == "NO"


def test_circle(log_in: LogIn, index: Path) -> None:
    """An index that names itself is listed, and not for ever."""
    index.write_text(index.read_text() + "more\t*\tindex\n")

    found = listed(log_in())

    assert {"#shared.bob", "#shared.more", "#shared.more.bob"} <= found
    assert len(found) < 10


def test_sharedgroup(log_in: LogIn, index: Path, tmp_path: Path) -> None:
    """The option is the end of the file's name, and leads out of no directory."""
    (tmp_path / "indexnone").write_text("")
    index.rename(tmp_path / "indexx")

    assert listed(log_in(options="sharedgroup=x")) == {"#shared.bob"}
    assert listed(log_in(options="sharedgroup=none")) == set()
    assert listed(log_in()) == set()
    index.write_text("")
    (tmp_path / "index.d").mkdir()
    (tmp_path / "indexx").rename(tmp_path / "evil")
    assert listed(log_in(options="sharedgroup=.d/../evil")) == set()


def test_disableshared(log_in: LogIn, accounts: dict[str, Path]) -> None:
    """No lists, no #shared; the owner may do everything but administer."""
    (accounts["alice"] / "courierimapacl").write_text("owner al\n")
    alice = log_in(options="disableshared=1")

    assert listed(alice) == set()
    assert alice.ask("a MYRIGHTS INBOX")[0].values == (b"INBOX", b"cdeiklrstwx")
    assert alice.ask("a GETACL INBOX")[-1].line.startswith("a NO [NOPERM]")
    assert alice.ask("a CREATE INBOX.x")[-1].name == "OK"
    assert not (accounts["alice"] / ".x" / "courierimapacl").exists()


def test_rights_that_are_taken_away(log_in: LogIn, accounts: dict[str, Path]) -> None:
    """They end with the next command, in a mailbox that is selected; CLOSE is always there."""
    alice = log_in()
    alice.ask("a SELECT #shared.bob")
    (accounts["bob"] / "courierimapacl").write_text(OWNERS)

    assert alice.ask("b FETCH 1:* FLAGS")[-1].line.startswith("b NO")
    assert alice.ask("c NOOP")[-1].line.startswith("c NO")
    assert alice.ask("d CLOSE")[-1].name == "OK"


def test_rights_that_are_taken_away_from_who_idles(
    log_in: LogIn, accounts: dict[str, Path]
) -> None:
    """IDLE ends when there is something that he may not hear of; his DONE does no harm."""
    alice = log_in()
    alice.ask("a SELECT #shared.bob")
    assert alice.send(b"b IDLE\r\n").startswith(b"+ ")
    (accounts["bob"] / "courierimapacl").write_text(OWNERS)

    assert alice.send(Wake.CHANGED).startswith(b"b NO ")
    assert alice.send(b"DONE\r\nc CLOSE\r\n").endswith(b"c OK mailbox closed.\r\n")


def test_expunged_elsewhere_goes_to_ones_own_trash(
    log_in: LogIn, accounts: dict[str, Path]
) -> None:
    """IMAP_MOVE_EXPUNGE_TO_TRASH, in another's folder."""
    (accounts["bob"] / "courierimapacl").write_text(OWNERS + "anyone lrsweit\n")
    alice = log_in(IMAP_MOVE_EXPUNGE_TO_TRASH="1")
    alice.send(b"a APPEND #shared.bob (\\Deleted) {1+}\r\nx\r\nb SELECT #shared.bob\r\n")

    responses = alice.ask("c EXPUNGE")

    assert responses[0].name == "EXPUNGE"
    assert len(list((accounts["alice"] / ".Trash" / "cur").iterdir())) == 1
    assert not (accounts["bob"] / ".Trash").exists()


def test_flags_need_their_rights(log_in: LogIn, accounts: dict[str, Path]) -> None:
    """What COPY and APPEND bring along, and what FETCH sets."""
    (accounts["bob"] / "courierimapacl").write_text(OWNERS + "anyone lrisw\n")
    alice = log_in()
    alice.send(b"a APPEND INBOX (\\Seen \\Deleted \\Flagged word) {1+}\r\nx\r\nb SELECT INBOX\r\n")
    assert alice.ask("c COPY 1 #shared.bob")[-1].name == "OK"
    (accounts["bob"] / "courierimapacl").write_text(OWNERS + "anyone lri\n")
    alice.ask("d COPY 1 #shared.bob")
    alice.send(b"e APPEND #shared.bob (\\Seen word) {1+}\r\ny\r\n")

    alice.ask("f SELECT #shared.bob")
    told = [r.line for r in alice.ask("g FETCH 1:* (FLAGS BODY[])") if "BODY" in r.line]
    after = [r.line for r in alice.ask("h FETCH 1:* FLAGS")][:-1]

    assert len(told) == 3
    assert after == [
        "* 1 FETCH (FLAGS (\\Flagged \\Seen \\Recent word))",
        "* 2 FETCH (FLAGS (\\Recent))",
        "* 3 FETCH (FLAGS (\\Recent))",
    ]
