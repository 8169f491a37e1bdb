"""The memo of what LIST and UIDL say: when it is believed, and that it says what the list says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pop3d import listing, sizelist
from pop3d.sizelist import Entry
from tests.pop3d.test_session import MESSAGE, Pop
from tests.support.maildirs import deliver, make_maildir

COMMANDS = ("STAT", "LIST", "UIDL", "LIST 2", "UIDL 3", "RETR 2", "DELE 1", "LIST", "UIDL", "STAT")


@pytest.fixture
def maildir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three messages, and a memo of them."""
    monkeypatch.setattr(listing, "_MANY", 1)
    made = make_maildir(tmp_path / "Maildir")
    for number in range(1, 4):
        deliver(made, MESSAGE + b"x" * number, number=number, flags="")
    for _ in range(2):  # the first session makes the list, the second finds it good
        Pop(made).command("QUIT")
    assert memo(made).exists()
    return made


def memo(maildir: Path) -> Path:
    return next(maildir.glob("**/pycourier-pop3"), maildir / "none")


def said(maildir: Path) -> list[str]:
    pop = Pop(maildir)
    return [pop.command(command) for command in COMMANDS]


def test_memo_says_what_the_list_says(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when flags have changed since: nothing is read of the list then, nor written."""
    pop = Pop(maildir)
    pop.command("RETR 3")
    pop.command("QUIT")
    before = (maildir / sizelist.NAME).stat()

    with monkeypatch.context() as patched:
        patched.setattr(sizelist, "parse", None)
        found = said(maildir)
    after = (maildir / sizelist.NAME).stat()
    memo(maildir).unlink()

    assert found == said(maildir)
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def _other_unique_ids(maildir: Path) -> None:
    path = maildir / sizelist.NAME
    path.write_bytes(path.read_bytes().replace(b" 2:", b" 9:"))


def _new_message(maildir: Path) -> None:
    deliver(maildir, MESSAGE, number=9)


def _one_less(maildir: Path) -> None:
    sorted((maildir / "cur").iterdir())[1].unlink()


def _damage(maildir: Path) -> None:
    path = memo(maildir)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def _cut(maildir: Path) -> None:
    path = memo(maildir)
    path.write_bytes(path.read_bytes()[:40])


def _no_list(maildir: Path) -> None:
    (maildir / sizelist.NAME).unlink()


@pytest.mark.parametrize(
    "change", [_other_unique_ids, _new_message, _one_less, _damage, _cut, _no_list]
)
def test_memo_of_something_else_is_not_believed(
    maildir: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    change(maildir)
    made = []

    def parse(text: bytes, now: int) -> sizelist.SizeList:
        made.append(text)
        return parsed(text, now)

    parsed = sizelist.parse
    monkeypatch.setattr(sizelist, "parse", parse)
    found = said(maildir)

    assert made
    for _ in range(2):
        Pop(maildir).command("QUIT")  # there is a good one again
    made.clear()
    assert said(maildir) == found
    assert not made


def test_unique_ids_of_all_kinds() -> None:
    entries = [
        Entry(b"1.a:2,", 24, 7, 1_700_000_000, False),
        Entry(b"2.b'c:2,S", 5, 0, 0, True),
        Entry(b"3.d:2,", 6, 4, 0, False),
    ]

    made = listing.made(entries, [1, 2, 3])

    assert made.uidl_lines.text == b"1 UID7-1700000000\r\n2 2.b+27c\r\n3 UID4\r\n"
    assert made.size_lines.of([0, 2]) == b"1 24\r\n3 6\r\n"
    assert made.utf8 == b"\0\1\0"
    assert listing.made(entries[:1], [1], b"ENOMEM-1").uidl_lines.text == b"1 ENOMEM-1\r\n"
