from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path

import pytest

from imapd import transfer
from tests.imapd.driver import Driven
from tests.imapd.failing import failing_call
from tests.imapd.responses import read
from tests.support.maildirs import deliver, make_folder

pytestmark = pytest.mark.usefixtures("logged")


def filled(maildir: Path, count: int) -> Driven:
    """A session with this many messages in its INBOX, selected, and an empty INBOX.x."""
    make_folder(maildir, "INBOX.x")
    for number in range(count):
        deliver(maildir, b"Subject: %d\n\nx\n" % number, number=number, flags="S")
    driven = Driven(maildir)
    driven.send(b"s STATUS INBOX.x (UIDNEXT)\r\ns SELECT INBOX\r\n")
    return driven


def contents(folder: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in (folder / "cur").iterdir())


def test_more_than_one_slice(maildir: Path) -> None:
    """All are copied, in order, and told in one COPYUID; others had their turn in between."""
    count = 2 * transfer._SLICE + 5
    driven = filled(maildir, count)
    before = len(driven.requests)

    (completion,) = driven.ask("a COPY 1:* INBOX.x")

    assert completion.code.split(" ")[2:] == [f"1:{count}"] * 2
    assert len(driven.requests) - before >= 4
    assert contents(maildir / ".x") == contents(maildir)


def test_copy_is_another_link(maildir: Path) -> None:
    """No content is written again; date and size stay, the name is another one."""
    driven = filled(maildir, 1)
    (original,) = (maildir / "cur").iterdir()

    driven.ask("a COPY 1 INBOX.x")

    (copied,) = (maildir / ".x" / "cur").iterdir()
    assert copied.samefile(original)
    assert copied.name != original.name
    assert os.listdir(maildir / ".x" / "tmp") == []


@pytest.mark.parametrize("cause", ["readers", "no links", "owner"])
def test_copy_that_can_be_no_link(
    maildir: Path, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who can read the folder has to read the copy; the file has to be the account's; links must work."""
    driven = filled(maildir, 1)
    (original,) = (maildir / "cur").iterdir()
    if cause == "readers":
        original.chmod(0o600)
        (maildir / ".x" / "cur").chmod(0o755)
    elif cause == "owner":
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    else:
        link = os.link

        def refuse(source: str | bytes, *rest: str, **options: bool) -> None:
            if os.fsdecode(source).endswith(original.name):
                raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))
            link(source, *rest, **options)

        monkeypatch.setattr(os, "link", refuse)

    (completion,) = driven.ask("a COPY 1 INBOX.x")

    (copied,) = (maildir / ".x" / "cur").iterdir()
    assert completion.code.split(" ")[2:] == ["1", "1"]
    assert not copied.samefile(original)
    assert copied.read_bytes() == original.read_bytes()
    assert copied.stat().st_mtime == original.stat().st_mtime


def test_message_named_twice(maildir: Path) -> None:
    """It is copied once."""
    driven = filled(maildir, 3)

    (completion,) = driven.ask("a COPY 3,1,1:2,3 INBOX.x")

    assert completion.code.split(" ")[2:] == ["1:3", "1:3"]
    assert len(contents(maildir / ".x")) == 3


def test_vanished_message(maildir: Path) -> None:
    """The others are copied; of those that are gone nothing is said."""
    driven = filled(maildir, 3)
    next(path for path in (maildir / "cur").iterdir() if b"1\n" in path.read_bytes()).unlink()

    completion = driven.ask("a UID COPY 1:3 INBOX.x")[-1]

    assert completion.code.split(" ")[2:] == ["1,3", "1:2"]


@pytest.mark.parametrize("command", ["COPY", "MOVE"])
def test_vanished_message_by_number(maildir: Path, command: str) -> None:
    """All or none (RFC 9051 6.4.7, RFC 5530 3); the client learns which is gone, and asks again."""
    driven = filled(maildir, 3)
    next(path for path in (maildir / "cur").iterdir() if b"1\n" in path.read_bytes()).unlink()

    told = driven.ask(f"a {command} 1:3 INBOX.x")

    assert [(one.name, one.code) for one in told if one.tag == b"a"] == [("NO", "EXPUNGEISSUED")]
    assert [one.number for one in told if one.name == "EXPUNGE"] == [2]
    assert contents(maildir / ".x") == []
    assert len(contents(maildir)) == 2
    assert driven.ask(f"b {command} 1:2 INBOX.x")[-1].name == "OK"


def test_vanished_message_of_a_saved_result(maildir: Path) -> None:
    """``$`` follows what is expunged (RFC 5182 2.1): the others are copied."""
    driven = filled(maildir, 3)
    driven.ask("s SEARCH RETURN (SAVE) ALL")
    next(path for path in (maildir / "cur").iterdir() if b"1\n" in path.read_bytes()).unlink()

    completion = driven.ask("a COPY $ INBOX.x")[-1]

    assert completion.code.split(" ")[2:] == ["1,3", "1:2"]


def test_nothing_to_copy(maildir: Path) -> None:
    """No COPYUID, for an empty set can't be written."""
    driven = filled(maildir, 1)

    assert [r.line for r in driven.ask("a UID COPY 99 INBOX.x")] == ["a OK COPY completed."]
    assert [r.line for r in driven.ask("b UID MOVE 99 INBOX.x")] == ["b OK MOVE completed."]


def test_move_tells_where_before_what_is_gone(maildir: Path) -> None:
    """COPYUID, EXPUNGE, completion (RFC 6851 4.3)."""
    driven = filled(maildir, 3)

    responses = driven.ask("a MOVE 2:3 INBOX.x")

    assert [r.name for r in responses] == ["OK", "EXPUNGE", "EXPUNGE", "EXISTS", "RECENT", "OK"]
    assert responses[0].code.startswith("COPYUID ")
    assert [r.number for r in responses[1:3]] == [2, 2]


@pytest.mark.slow
@pytest.mark.parametrize("command", [b"COPY", b"MOVE"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_every_system_call_failing(tmp_path: Path, command: bytes, code: int) -> None:
    """All copies or none, nothing in any tmp/, and no message is lost, whatever fails."""
    failed = done = 0
    for number in itertools.count():
        maildir = tmp_path / f"M{number}"
        for name in ("tmp", "new", "cur"):
            (maildir / name).mkdir(parents=True)
        driven = filled(maildir, 3)
        originals = contents(maildir)

        with failing_call(number, code) as calls:
            sent = driven.send(b"a " + command + b" 1:3 INBOX.x\r\n")
        if calls.failed is None:
            break

        where = (calls.failed, number, sent)
        completion = read(sent)[-1]
        copies = contents(maildir / ".x")
        assert completion.tag == b"a", where
        assert os.listdir(maildir / "tmp") == os.listdir(maildir / ".x" / "tmp") == [], where
        assert set(contents(maildir)) | set(copies) == set(originals), where
        if completion.name == "OK":
            assert copies == originals, where
        if command == b"COPY" and completion.name == "NO":
            assert copies == [], where
            assert contents(maildir) == originals, where
        failed += completion.name == "NO"
        done += completion.name == "OK"
    assert failed > 8
    assert number > 20


@pytest.mark.parametrize("refused", [0, 1, 2])
def test_move_that_cannot_remove(
    maildir: Path, monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    """The copies are told of, NO says the rest, and every message is in one place at least."""
    driven = filled(maildir, 3)
    originals = contents(maildir)
    unlink = os.unlink
    removals = itertools.count()

    def refuse(path: bytes, **named: int | None) -> None:
        if b"/cur/" in os.fsencode(path) and next(removals) == refused:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        unlink(path, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "unlink", refuse)
    responses = driven.ask("a MOVE 1:3 INBOX.x")
    monkeypatch.undo()

    assert responses[0].code.startswith("COPYUID ")
    assert responses[-1].name == "NO"
    assert contents(maildir / ".x") == originals
    assert len(contents(maildir)) == 3 - refused
    told = driven.ask("b NOOP")
    assert sum(r.name == "EXPUNGE" for r in [*responses, *told]) == refused
