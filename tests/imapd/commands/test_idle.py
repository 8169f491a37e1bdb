from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from courier.process.request import Receive, Wake
from imapd.commands import idle
from tests.imapd.conftest import Drive, Log
from tests.imapd.driver import Driven
from tests.imapd.responses import read
from tests.support.maildirs import deliver
from tests.support.open_files import open_before, open_now

pytestmark = pytest.mark.usefixtures("logged")

PROMPT = b"+ entering idle mode\r\n"
DONE_OK = b"a OK IDLE completed\r\n"
BAD = b"a BAD Error in IMAP command received by server.\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        [b"DONE\r\n"],
        [b"done\n"],
        [b"D", b"O", b"NE", b"\r", b"\n"],
        [b"DONE \r\n"],
        [b"Done and more\r\n"],
        [b"DONE {5}\r\n"],
        [b"DONE {5+}\r\nab", b"cde x\r\n"],
    ],
)
def test_done(driven: Driven, pieces: list[bytes]) -> None:
    """However it comes in, and whatever follows it on its line (Courier)."""
    assert driven.send(b"a IDLE\r\n") == PROMPT
    assert driven.send(*pieces) == DONE_OK
    assert driven.send(b"b NOOP\r\n") == b"b OK NOOP completed\r\n"


def test_all_in_one_packet(driven: Driven) -> None:
    """DONE, and the commands behind it, need not wait for the prompt."""
    sent = driven.send(b"a IDLE\r\nDONE\r\nb IDLE\r\nDONE\r\nc NOOP\r\n")

    assert sent == PROMPT + DONE_OK + PROMPT + b"b OK IDLE completed\r\nc OK NOOP completed\r\n"


@pytest.mark.parametrize(
    "line",
    [
        b"b NOOP\r\n",
        b"\r\n",
        b"DONEX\r\n",
        b"\x00\xff\r\n",
        b"b LOGOUT {3}\r\n",
        b"b X {8+}\r\nLOGOUT\r\n\r\n",
        b"x" * 200_000 + b"\r\n",
    ],
)
def test_anything_else(driven: Driven, line: bytes) -> None:
    """It ends IDLE with BAD and is not executed; the next command is."""
    driven.send(b"a IDLE\r\n")

    assert driven.send(line + b"c NOOP\r\n") == BAD + b"c OK NOOP completed\r\n"


def test_with_an_argument(driven: Driven) -> None:
    """Then it does not begin, and DONE is no command."""
    responses = driven.ask("a IDLE x\r\nDONE\r\nb NOOP")

    assert [(r.tag, r.name) for r in responses] == [
        (b"a", "BAD"),
        (b"DONE", "BAD"),
        (b"b", "OK"),
    ]


def test_half_an_hour_is_the_end_whatever_is_sent(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rubbish without a line end puts it off no more than changes do."""
    now = 1000.0
    monkeypatch.setattr(idle.time, "monotonic", lambda: now)
    driven.send(b"a SELECT INBOX\r\na IDLE\r\n")
    for _ in range(17):
        now += 100
        assert driven.send(b"x") == b""
        assert driven.send(Wake.CHANGED) == b""
        assert isinstance(driven.requests[-1], Receive)
        assert driven.requests[-1].timeout_s <= 2800 - now
    now = 2800.0

    assert driven.send(Wake.TIMEOUT) == b"* BYE Disconnected for inactivity.\r\n"
    assert driven.ended


def test_changes(driven: Driven, maildir: Path) -> None:
    """Told when the watch wakes it up: EXPUNGE too, and each once."""
    driven.send(b"a SELECT INBOX\r\na IDLE\r\n")
    base = deliver(maildir, b"x\n", number=1, flags="")

    assert driven.send(Wake.CHANGED) == b"* 1 EXISTS\r\n* 1 RECENT\r\n"
    (maildir / "cur" / f"{base}:2,").unlink()
    assert driven.send(Wake.CHANGED) == b"* 1 EXPUNGE\r\n* 0 EXISTS\r\n* 0 RECENT\r\n"
    assert driven.send(b"DONE\r\n") == DONE_OK


def test_change_before_done(driven: Driven, maildir: Path) -> None:
    """What changed last is told before the completion."""
    driven.send(b"a SELECT INBOX\r\na IDLE\r\n")
    deliver(maildir, b"x\n", number=1, flags="")

    assert driven.send(b"DONE\r\n") == b"* 1 EXISTS\r\n* 1 RECENT\r\n" + DONE_OK


def test_no_watch_to_be_had(
    drive: Drive, maildir: Path, logged: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prompt comes, but not as of one that is; the folder is looked at every IMAP_IDLE_TIMEOUT."""

    def refuse(path: str) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    driven = drive(IMAP_IDLE_TIMEOUT="7", IMAP_ENHANCEDIDLE="1")
    monkeypatch.setattr(driven.session.store.watcher, "watch", refuse)
    driven.send(b"a SELECT INBOX\r\n")

    assert driven.send(b"a IDLE\r\n") == PROMPT
    assert isinstance(driven.requests[-1], Receive)
    assert driven.requests[-1].timeout_s == 7
    assert driven.requests[-1].watch is None
    assert "cannot watch folder, polling instead" in logged.lines[-1]
    deliver(maildir, b"x\n", number=1, flags="")
    assert driven.send(Wake.TIMEOUT) == b"* 1 EXISTS\r\n* 1 RECENT\r\n"
    assert driven.send(b"DONE\r\n") == DONE_OK


def test_mail_that_a_full_disk_hides(
    drive: Drive, maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told when there is room, which is looked for every IMAP_IDLE_TIMEOUT: no watch shows that."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    driven = drive(IMAP_IDLE_TIMEOUT="7")
    driven.send(b"a SELECT INBOX\r\na IDLE\r\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refuse)
        deliver(maildir, b"x\n", number=1)
        assert driven.send(Wake.CHANGED) == b""
        assert isinstance(driven.requests[-1], Receive)
        assert driven.requests[-1].timeout_s == 7

    assert driven.send(Wake.TIMEOUT) == b"* 1 EXISTS\r\n* 1 RECENT\r\n"
    assert isinstance(driven.requests[-1], Receive)
    assert driven.requests[-1].timeout_s > 7


@pytest.mark.parametrize(
    "setting, prompt", [("1", b"+ entering ENHANCED idle mode\r\n"), ("0", PROMPT), (None, PROMPT)]
)
def test_both_modes(drive: Drive, maildir: Path, setting: str | None, prompt: bytes) -> None:
    """What differs is the prompt alone: changes are told as they happen."""
    driven = drive(IMAP_ENHANCEDIDLE=setting)
    driven.send(b"a SELECT INBOX\r\n")
    assert driven.send(b"a IDLE\r\n") == prompt
    deliver(maildir, b"x\n", number=1, flags="")

    assert driven.wake() == b"* 1 EXISTS\r\n* 1 RECENT\r\n"


def test_the_fallback_is_a_minute(
    drive: Drive, maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where IMAP_IDLE_TIMEOUT says nothing."""
    driven = drive()
    driven.send(b"a SELECT INBOX\r\n")
    monkeypatch.setattr(
        driven.session.store.watcher,
        "watch",
        lambda path: (_ for _ in ()).throw(OSError(28, "full")),
    )
    driven.send(b"a IDLE\r\n")

    assert isinstance(driven.requests[-1], Receive)
    assert driven.requests[-1].timeout_s == 60


@pytest.mark.parametrize("end", ["done", "close", "stop", "lose"])
def test_watch_is_closed(driven: Driven, end: str) -> None:
    """However IDLE ends, no descriptor stays open."""
    driven.send(b"a SELECT INBOX\r\n")
    before = open_before()
    driven.send(b"a IDLE\r\n")
    assert len(open_now()) == len(before) + 1

    if end == "done":
        driven.send(b"DONE\r\n")
    else:
        getattr(driven, end)()

    assert open_now() == before


def test_without_a_mailbox(driven: Driven) -> None:
    """Nothing is watched, and DONE ends it."""
    assert read(driven.send(b"a IDLE\r\nDONE\r\n"))[-1].name == "OK"


def test_change_noted_while_the_session_does_not_wait(driven: Driven, maildir: Path) -> None:
    """Another session of the process has the events collected: this one looks before it waits."""
    driven.send(b"a SELECT INBOX\r\n")
    watcher = driven.session.store.watcher

    def arrive(step: object) -> None:
        if step == b"" and not list((maildir / "cur").iterdir()):  # told, and about to wait
            deliver(maildir, b"x\n", number=1, flags="")
            watcher.collect()

    driven.before = arrive

    assert driven.send(b"a IDLE\r\n") == PROMPT + b"* 1 EXISTS\r\n* 1 RECENT\r\n"
