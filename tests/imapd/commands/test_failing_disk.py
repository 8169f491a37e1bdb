"""Commands that change something, with a disk that fails at some moment: once, or from then on.

What a client was told holds: after OK all is as the command leaves it. After anything else each message is
as it was, or as the command leaves it, with its UID, flags and keywords; so are subscriptions, annotations and
rights. Nothing half-made is seen, and all works again once the disk does. Of each command a few moments are tried,
all of them with EVERY_STEP=1 in the environment.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from courier.maildir.memory import without_collector
from tests.courier.maildir.test_delivery import CALLS, calls_of, fresh_maildirs
from tests.imapd.driver import Driven
from tests.imapd.responses import Response
from tests.support.calls import replace_calls
from tests.support.maildirs import deliver, folder_path, make_folder
from tests.support.servers import Implementation, Server

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("logged")]

SETTINGS = {
    "IMAP_CAPABILITY": "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE IDLE QUOTA ACL",
    "IMAP_TRASHFOLDERNAME": "Bin",
    "IMAP_FSYNC": "1",
}
TO_TRASH = {**SETTINGS, "IMAP_MOVE_EXPUNGE_TO_TRASH": "1"}
#: What a full disk refuses: it lets files be removed, and names be changed.
_NEED_ROOM = ("open", "write", "pwrite", "link", "mkdir", "fsync", "fdatasync")

_UIDVALIDITY = 1000
#: In new/: it gets its UID before the messages that a command adds to INBOX, or after them.
_WAITING = b"Subject: 3\n\nBody.\n"
_ADDED = b"Subject: new\r\n\r\nBody.\r\n"
_PLACES = {_WAITING.replace(b"\n", b"\r\n"): 0, _ADDED: -1}
#: A message's body, flags and keywords.
Message = tuple[bytes, tuple[bytes, ...]]


@dataclass(frozen=True)
class Picture:
    """All that a client can see of an account; real files behind it may have any name."""

    messages: dict[str, dict[int, Message]]  # by mailbox and UID, or its place in `_PLACES`
    uidvalidities: dict[str, bool]  # by mailbox: it is the old one
    subscribed: frozenset[bytes]
    others: tuple[bytes, ...]  # annotations and rights
    uids: Mapping[str, set[int]] = field(compare=False)  # those that there are


def ready(maildir: Path, settings: dict[str, str] = SETTINGS) -> Driven:
    """Four messages, one of them deleted and one in new/; folders; a quota; what else can be kept."""
    for number in range(3):
        deliver(
            maildir, b"Subject: %d\n\nBody.\n" % number, number=number, flags=("", "T", "S")[number]
        )
    for name in ("INBOX.a", "INBOX.a.b", "INBOX.Bin"):
        make_folder(maildir, name)
    deliver(maildir / ".a", b"Subject: a\n\nBody.\n", number=9, flags="F")
    for name in ("INBOX", "INBOX.a", "INBOX.a.b", "INBOX.Bin"):
        path = folder_path(maildir, name) / "courierimapuiddb"
        path.write_bytes(b"1 %d 1\n" % _UIDVALIDITY)
    (maildir / "maildirsize").write_bytes(b"100000S,1000C\n%12d %12d\n" % (60, 3))
    driven = Driven(maildir, settings)
    for line in (
        "SUBSCRIBE INBOX.a",
        'SETMETADATA INBOX.a (/private/comment "old")',
        "SETACL INBOX.a carl lr",
        "SELECT INBOX.Bin",
        "SELECT INBOX.a.b",
        "SELECT INBOX.a",
        "STORE 1 +FLAGS (old)",
        "SELECT INBOX",
        "STORE 3 +FLAGS (old)",
    ):
        assert driven.ask(f"r {line}")[-1].name == "OK", line
    deliver(maildir, _WAITING, number=3)
    return driven


def picture(maildir: Path) -> Picture:
    """Look at it all in a new session; each command must succeed."""
    session = Driven(maildir, SETTINGS)

    def ask(line: str) -> list[Response]:
        responses = session.ask(f"p {line}")
        assert responses[-1].name == "OK", responses
        return responses

    listed = session.send(b'p LIST "" *\r\n')
    names = re.findall(rb'\* LIST \((?![^)]*Noselect)[^"]*"\." "([^"]*)"', listed)
    messages, uidvalidities, uids = {}, {}, {}
    for name in map(bytes.decode, names):
        opened = b"".join(one.raw for one in ask(f"SELECT {name}"))
        found = re.search(rb"UIDVALIDITY ([0-9]+)", opened)
        assert found
        uidvalidities[name] = int(found[1]) == _UIDVALIDITY
        there = dict(_messages(session))
        uids[name] = set(there)
        places = _PLACES if name == "INBOX" else {}
        messages[name] = {places.get(one[0], uid): one for uid, one in there.items()}
    lines = session.send(b'p LSUB "" *\r\n')
    others = tuple(
        session.send(f"p {line}\r\n".encode())
        for line in ("GETMETADATA INBOX.a /private/comment", "GETACL INBOX.a")
    )
    return Picture(messages, uidvalidities, frozenset(lines.splitlines()[:-1]), others, uids)


def _messages(session: Driven) -> Iterator[tuple[int, Message]]:
    text = session.send(b"p UID FETCH 1:* (FLAGS BODY.PEEK[])\r\n")
    pattern = (
        rb"\* [0-9]+ FETCH \((?=[^{]*UID ([0-9]+))(?=[^{]*FLAGS \(([^)]*)\))[^{]*\{([0-9]+)\}\r\n"
    )
    for found in re.finditer(pattern, text):
        body = text[found.end() : found.end() + int(found[3])]
        flags = sorted(flag for flag in found[2].split() if flag != b"\\Recent")
        yield int(found[1]), (body, tuple(flags))


@contextmanager
def failing(at: int, error: int, *, lasting: bool) -> Iterator[list[str]]:
    """Let the system call number ``at`` fail, and if it is to last all that come after it."""
    made: list[str] = []
    broken: list[str] = []

    def wrapped(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            made.append(name)
            due = len(made) - 1 == at or (lasting and len(made) > at)
            if not due or (error == errno.ENOSPC and not _needs_room(name, arguments)):
                return call(*arguments, **options)
            if name == "close":
                call(*arguments, **options)
            broken.append(name)
            raise OSError(error, os.strerror(error))

        return counted

    with without_collector(), pytest.MonkeyPatch.context() as patch:
        replace_calls(patch, CALLS, wrapped)
        yield broken


def _needs_room(name: str, arguments: tuple[Any, ...]) -> bool:
    return name in _NEED_ROOM and (name != "open" or bool(arguments[1] & os.O_CREAT))


def seen_by(courier: Implementation, maildir: Path, mailbox: str) -> list[int]:
    """Have real Courier read each message of a mailbox; return their UIDs."""
    server = Server(courier, maildir)
    try:
        server.client.response()
        server.client.command(f"SELECT {mailbox}")
        fetched = server.client.fetch("1:*", "(UID FLAGS BODY.PEEK[])")
        return sorted(int(str(one["UID"])) for one in fetched.values())
    finally:
        server.stop()


_BODY = _ADDED.decode()
_LITERAL = f"{{{len(_BODY)}+}}\r\n{_BODY}"
COMMANDS = {
    "SELECT INBOX": SETTINGS,
    "EXAMINE INBOX": SETTINGS,
    "NOOP": SETTINGS,
    f"APPEND INBOX (kw) {_LITERAL}": SETTINGS,
    f"APPEND INBOX.a (\\Seen kw) {_LITERAL} (\\Flagged) {_LITERAL}": SETTINGS,
    f"APPEND INBOX.a ~{_LITERAL}": SETTINGS,
    f'APPEND INBOX.a CATENATE (URL "/INBOX/;UID=1" TEXT {_LITERAL})': SETTINGS,
    f"REPLACE 3 INBOX {_LITERAL}": SETTINGS,
    "COPY 1:3 INBOX.a": SETTINGS,
    "MOVE 1,3 INBOX.a": SETTINGS,
    "STORE 1:3 FLAGS (\\Flagged)": SETTINGS,
    "STORE 1:3 +FLAGS (new)": SETTINGS,
    "STORE 1:3 FLAGS (\\Flagged new)": SETTINGS,
    "EXPUNGE": SETTINGS,
    "CLOSE": TO_TRASH,
    "UID EXPUNGE 1:3": TO_TRASH,
    "CREATE INBOX.new": SETTINGS,
    "RENAME INBOX.a INBOX.c": SETTINGS,
    "RENAME INBOX INBOX.old": SETTINGS,
    "DELETE INBOX.a.b": SETTINGS,
    "DELETE INBOX.a": SETTINGS,
    "SUBSCRIBE INBOX": SETTINGS,
    "UNSUBSCRIBE INBOX.a": SETTINGS,
    'SETMETADATA INBOX.a (/private/comment "new")': SETTINGS,
    "SETACL INBOX.a carl lrs": SETTINGS,
}
#: A refusal may leave a part of what they do on several messages or folders; no other's may.
_STEPWISE = ("STORE", "MOVE", "REPLACE", "EXPUNGE", "CLOSE", "UID EXPUNGE", "RENAME", "DELETE")


#: What can't be taken at the moment stays in INBOX, as what comes meanwhile.
_LEAVES_NEW = "RENAME INBOX INBOX.old"


def check(
    before: Picture,
    after: Picture,
    found: Picture,
    *,
    stepwise: bool,
    leftovers: bool,
    command: str,
) -> None:
    """See that what is found is one of both, or with ``stepwise`` something on the way.

    With ``leftovers`` messages may be left that could not be removed: whole ones, and with UIDs of their own.
    """
    if not stepwise or command.startswith("CREATE"):
        assert found in (before, after)
        return
    assert found.subscribed in (before.subscribed, after.subscribed)
    if command.startswith(("RENAME", "DELETE")):  # numbers change with the name
        contents = sorted(one for folder in found.messages.values() for one in folder.values())
        kept = [one for folder in after.messages.values() for one in folder.values()]
        assert all(contents.count(one) >= kept.count(one) for one in kept)
        return
    assert found.uidvalidities == before.uidvalidities == after.uidvalidities
    for name, messages in found.messages.items():
        old, new = before.messages[name], after.messages[name]
        for uid, message in messages.items():
            possible = [old.get(uid), new.get(uid), *_between(old.get(uid), new.get(uid))]
            is_left = (
                leftovers and uid not in old and message[0] in {one[0] for one in new.values()}
            )
            assert is_left or message in possible, (name, uid)
        assert old.keys() & new.keys() <= messages.keys(), name
    bodies = {message[0] for folder in found.messages.values() for message in folder.values()}
    for (
        folder
    ) in after.messages.values():  # what is in a mailbox before and after is in one of both
        for message in folder.values():
            was = any(message[0] == one[0] for f in before.messages.values() for one in f.values())
            assert message[0] in bodies or not was


def _between(old: Message | None, new: Message | None) -> Iterator[Message]:
    """A message's flags are one change, its keywords another."""
    if old is None or new is None:
        return
    for flags in (old[1], new[1]):
        for words in (old[1], new[1]):
            yield (
                old[0],
                tuple(
                    sorted(
                        [flag for flag in flags if flag.startswith(b"\\")]
                        + [word for word in words if not word.startswith(b"\\")]
                    )
                ),
            )


#: A full disk mostly stays full; a call that fails once leaves more to be done wrong.
_KINDS = [(errno.ENOSPC, True), (errno.EIO, False)]
if "EVERY_STEP" in os.environ:
    _KINDS += [(errno.ENOSPC, False), (errno.EIO, True)]


@pytest.mark.parametrize(("error", "lasting"), _KINDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_failing_disk(tmp_path: Path, command: str, error: int, lasting: bool) -> None:
    """After OK all is done; after NO it is as before, or on the way; and everything works again."""
    settings = COMMANDS[command]
    maildirs = fresh_maildirs(tmp_path)
    untouched = next(maildirs)
    ready(untouched, settings)
    before = picture(untouched)
    done = next(maildirs)
    driven = ready(done, settings)
    calls = calls_of(lambda: driven.send(f"a {command}\r\n".encode()))
    after = picture(done)
    for at in _moments(len(calls)):
        maildir = next(maildirs)
        driven = ready(maildir, settings)
        with failing(at, error, lasting=lasting) as broken:
            said = driven.send(f"a {command}\r\n".encode())
        where = (at, calls[at], broken, said)
        found = picture(maildir)
        try:
            if re.search(rb"^a OK\b", said, re.MULTILINE) and command != _LEAVES_NEW:
                assert found == after
                told = re.search(rb"APPENDUID 1000 ([0-9]+)", said)
                assert told is None or int(told[1]) in set().union(*found.uids.values())
            else:
                assert re.search(rb"^a (NO|OK)\b", said, re.MULTILINE)
                stepwise = command.startswith(_STEPWISE) or error == errno.EIO
                check(
                    before,
                    after,
                    found,
                    stepwise=stepwise,
                    leftovers=lasting and error == errno.EIO,  # nothing can be removed, either
                    command=command,
                )
        except AssertionError as failure:
            raise AssertionError(where) from failure
        again = Driven(maildir, settings).ask("b APPEND INBOX {1+}\r\nx")[-1]
        assert again.name == "OK", where


def _moments(calls: int) -> range:
    step = 1 if "EVERY_STEP" in os.environ else max(calls // 5, 1)
    return range(calls % step, calls, step)


@pytest.mark.courier
@pytest.mark.parametrize(
    "command", ["MOVE 1,3 INBOX.a", "STORE 1:3 +FLAGS (new)", f"APPEND INBOX.a (kw) {_LITERAL}"]
)
def test_courier_afterwards(tmp_path: Path, courier: Implementation, command: str) -> None:
    """Real Courier reads every message that a full disk has left, with the UID that it had here."""
    maildirs = fresh_maildirs(tmp_path)
    driven = ready(next(maildirs))
    calls = calls_of(lambda: driven.send(f"a {command}\r\n".encode()))
    for at in _moments(len(calls)):
        maildir = next(maildirs)
        driven = ready(maildir)
        with failing(at, errno.ENOSPC, lasting=True):
            driven.send(f"a {command}\r\n".encode())

        theirs = {name: seen_by(courier, maildir, name) for name in ("INBOX", "INBOX.a")}

        ours = picture(maildir).uids
        assert theirs == {name: sorted(ours[name]) for name in theirs}, (at, calls[at])
