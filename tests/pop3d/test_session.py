"""POP3 sessions beside others, on full disks, and with what clients do wrong."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from courier.log import Peer
from courier.maildir.folder import Options
from courier.maildir.store import Store
from courier.process.request import Receive, ShuttingDown, Wake, Work
from pop3d import session, sizelist
from pop3d.maildrop import Maildrop
from pop3d.session import Client, Session
from pop3d.settings import Settings
from tests.courier.maildir.test_folder import listings
from tests.support.maildirs import deliver, make_maildir

__all__ = ["listings"]  # a fixture

MESSAGE = b"Subject: x\n\nbody\n"


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    made = make_maildir(tmp_path / "Maildir")
    for number in range(1, 4):
        deliver(made, MESSAGE, number=number, flags="")
    return made


class Pop:
    """A session that is driven by hand; what it wants done in threads is done at once."""

    def __init__(self, maildir: Path, store: Store | None = None, **settings: Any) -> None:
        folder = (store or Store(Options(fsync=False))).open(str(maildir))
        client = Client("a@example.com", Peer("192.0.2.1", 1))
        self._session = Session(Settings(**settings), Maildrop(folder, client.user), client)
        self._steps = self._session.run()
        self.is_over = False
        self.greeting = self._go_on(None)

    def send(self, data: bytes | Wake) -> bytes:
        return self._go_on(data)

    def command(self, text: str) -> str:
        return self.send(text.encode() + b"\r\n").decode()

    def stop(self) -> bytes:
        return self._go_on(ShuttingDown())

    def _go_on(self, answer: Any) -> bytes:
        said = b""
        while True:
            try:
                if isinstance(answer, BaseException):
                    step = self._steps.throw(answer)
                else:
                    step = self._steps.send(answer)
            except (StopIteration, ShuttingDown):
                self.is_over = True
                return said
            answer = None
            if isinstance(step, bytes):
                said += step
            elif isinstance(step, Work):
                try:
                    answer = step.call()
                except Exception as error:
                    answer = error
            else:
                assert isinstance(step, Receive)
                self.timeout_s = step.timeout_s
                return said


def names(maildir: Path) -> list[str]:
    return sorted(os.listdir(maildir / "cur"))


def test_pipelined_commands(maildir: Path) -> None:
    """RFC 2449 6.6: answered in order; what stands behind QUIT is nobody's."""
    pop = Pop(maildir)

    said = pop.send(b"STAT\r\nNOOP\nDELE 1\r\nQUIT\r\nSTAT\r\n")

    assert [line[:3] for line in said.split(b"\r\n")[:-1]] == [b"+OK"] * 4
    assert pop.is_over
    assert len(names(maildir)) == 2


def test_command_in_pieces_and_overlong(maildir: Path) -> None:
    """Memory does not grow with a line, whose beginning counts."""
    pop = Pop(maildir)

    assert pop.send(b"ST") == b""
    assert pop.send(b"AT\r").startswith(b"") and pop.send(b"\n").startswith(b"+OK 3 ")
    for _ in range(100):
        assert pop.send(b"NOOP " + b"x" * 100_000) == b""
    assert len(pop._session._reader.unread()) <= 8191
    assert pop.send(b"\r\nNOOP\r\n") == b"+OK Yup.\r\n+OK Yup.\r\n"
    assert pop.send(b"NO\0OP\r\n") == b"-ERR Invalid command.\r\n"


def test_nothing_is_removed_without_quit(maildir: Path) -> None:
    for end in (b"", Wake.TIMEOUT, ShuttingDown()):
        pop = Pop(maildir)
        pop.command("DELE 1")

        assert pop._go_on(end) == b"" and pop.is_over
        assert len(names(maildir)) == 3


def test_messages_are_seen_when_they_were_fetched(maildir: Path) -> None:
    """At the next pause, at any other command, or at the end; TOP does not count."""
    pop = Pop(maildir, timeout_s=300)
    assert pop.timeout_s > 1

    pop.command("RETR 2")
    assert pop.timeout_s < 1
    pop.send(Wake.TIMEOUT)
    assert [name.endswith("S") for name in names(maildir)] == [False, True, False]
    pop.command("TOP 1 1")
    pop.command("RETR 3")
    pop.command("NOOP")
    assert [name.endswith("S") for name in names(maildir)] == [False, True, True]
    pop.command("RETR 1")
    pop.send(b"")
    assert [name.endswith("S") for name in names(maildir)] == [True, True, True]


def test_mail_that_comes_later(maildir: Path) -> None:
    """It is in the next session, under the next number."""
    pop = Pop(maildir)
    deliver(maildir, MESSAGE, number=9)

    assert pop.command("STAT").startswith("+OK 3 ")
    assert Pop(maildir).command("UIDL 4").startswith("+OK 4 UID4-")


def test_messages_that_others_removed(maildir: Path) -> None:
    """They keep their numbers; to delete them is no failure."""
    pop, other = Pop(maildir), Pop(maildir)
    other.command("DELE 1")
    other.command("QUIT")

    assert pop.command("RETR 1") == "-ERR Can't open the message file - it's gone!\r\n"
    assert pop.command("LIST 2").startswith("+OK 2 ")
    pop.command("DELE 1")
    pop.command("DELE 3")
    assert pop.command("QUIT") == "+OK Bye-bye.\r\n"
    assert len(names(maildir)) == 1


def test_message_that_can_not_be_removed(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 1939 6: who leaves learns of it."""
    pop = Pop(maildir)
    pop.command("DELE 1")

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "x")

    monkeypatch.setattr(os, "unlink", refuse)
    assert pop.command("QUIT") == "-ERR some deleted messages not removed\r\n"


def _refuse(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x")


def test_full_disk_with_a_list(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New messages stay out of it: their numbers could not be kept."""
    Pop(maildir)
    before = (maildir / sizelist.NAME).read_bytes()
    deliver(maildir, MESSAGE, number=9, flags="")
    monkeypatch.setattr(sizelist, "write", _refuse)

    assert Pop(maildir).command("STAT").startswith("+OK 3 ")
    assert (maildir / sizelist.NAME).read_bytes() == before


def test_full_disk_without_a_list(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One message can be seen, so that its client can make room."""
    monkeypatch.setattr(sizelist, "write", _refuse)
    pop = Pop(maildir)

    assert pop.command("STAT").startswith("+OK 1 ")
    uidl = pop.command("UIDL 1")
    assert uidl.startswith("+OK 1 ENOMEM-") and len(uidl.split()[2].split("-")) == 4
    pop.command("DELE 1")
    assert pop.command("QUIT") == "+OK Bye-bye.\r\n"
    assert len(names(maildir)) == 2


def test_shutdown(maildir: Path) -> None:
    """No text: a client that waits for an answer must not take it for one."""
    pop = Pop(maildir)

    assert pop.stop() == b"" and pop.is_over


def test_folder_is_shared_with_other_sessions(maildir: Path) -> None:
    """POP3's renames are the folder's own: an IMAP session reads no directory for them."""
    store = Store(Options(fsync=False))
    folder = store.open(str(maildir))
    pop = Pop(maildir, store)
    before: Sequence[int] = list(folder.columns.flags)

    pop.command("RETR 1")
    pop.command("NOOP")

    assert list(folder.columns.flags) != before


@pytest.mark.parametrize("end", [b"QUIT\r\n", b"", Wake.TIMEOUT])
def test_next_session_lists_nothing(maildir: Path, listings: list[str], end: bytes | Wake) -> None:
    """However a session ends: it has left the index as one of IMAP would."""
    pop = Pop(maildir)
    pop.command("RETR 1")
    pop.command("DELE 2")
    pop.send(end)
    if end is Wake.TIMEOUT:  # which is the time for \\Seen
        pop.send(end)
    assert pop.is_over
    listings.clear()

    assert Pop(maildir).command("STAT").startswith("+OK ")
    assert "cur" not in listings


def test_listings_in_slices_of_what_is_left(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LIST and UIDL say the same of all as of one, also of unique-ids of earlier versions."""
    path = maildir / sizelist.NAME
    Pop(maildir).command("QUIT")
    first, *lines = path.read_bytes().splitlines(keepends=True)
    for number in range(4, 9):
        deliver(maildir, MESSAGE, number=number, flags="")
    for written in (lines, [lines[0].replace(b" 1:", b" 0:"), *lines[1:]]):
        path.write_bytes(first + b"".join(written))
        monkeypatch.setattr(session, "_SLICE", 3)
        pop = Pop(maildir)
        pop.command("DELE 2")
        for command in ("LIST", "UIDL"):
            listed = pop.command(command).splitlines()[1:-1]
            assert [line.split()[0] for line in listed] == ["1", *map(str, range(3, 9))]
            assert [f"+OK {line}\r\n" for line in listed] == [
                pop.command(f"{command} {line.split()[0]}") for line in listed
            ]
