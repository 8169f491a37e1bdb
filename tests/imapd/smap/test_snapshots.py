"""Snapshots on disk: Courier's files, read and written, damaged, and tidied up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Start
from tests.imapd.smap.conftest import Drive, Fill
from tests.support.servers import OURS_SMAP, REAL_SMAP, Implementation
from tests.support.smap import SmapClient

OPENED = ["* EXISTS 3", "+OK Folder opened"]


@pytest.fixture
def snapshots(maildir: Path) -> Path:
    return maildir / "courierimapsnapshots"


def taken(drive: Drive) -> str:
    """Open INBOX with snapshots, and have one taken."""
    session = drive()
    session.do('SOPEN "" INBOX')
    session.do("STORE 2 KEYWORDS=work,$Label1")
    (line, _) = session.ask("NOOP")
    return line.split('"')[1]


def test_file(drive: Drive, fill: Fill, snapshots: Path) -> None:
    """As Courier writes it."""
    names = fill(2, "FR") + fill(1)

    name = taken(drive)

    uidvalidity = (snapshots.parent / "courierimapuiddb").read_text().split()[1]
    assert (snapshots / name).read_text() == (
        f"1 3 {uidvalidity} 4\n1:2,FR\n2:2,FR\n3:2,\n$Label1\nwork\n\n{names[1]}:0 1\n"
    )
    assert snapshots.stat().st_mode & 0o777 == 0o755
    assert list((snapshots.parent / "tmp").iterdir()) == []


def test_without_keywords(drive: Drive, fill: Fill, snapshots: Path) -> None:
    """The file ends with the messages."""
    fill(3)
    session = drive(IMAP_KEYWORDS="0")
    session.do('SOPEN "" INBOX')
    name = session.ask("NOOP")[0].split('"')[1]

    assert (snapshots / name).read_text().endswith("\n3:2,\n")
    again = drive(IMAP_KEYWORDS="0")
    assert again.ask(f'SOPEN "{name}" INBOX')[1:] == ["+OK Folder updated"]


def test_use_makes_it_young(drive: Drive, fill: Fill, snapshots: Path) -> None:
    fill(3)
    name = taken(drive)
    os.utime(snapshots / name, (1_000_000_000, 1_000_000_000))

    drive().do(f'SOPEN "{name}" INBOX')

    assert (snapshots / name).stat().st_mtime > 1_700_000_000


def damaged(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(change(path.read_bytes())) and None


def _is_link(path: Path) -> None:
    target = path.rename(path.parent / ".elsewhere")
    path.symlink_to(target)


def _is_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _is_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "damage",
    [
        damaged(lambda text: text.replace(b"1 3 ", b"2 3 ", 1)),
        damaged(lambda text: text.replace(b"1 3 ", b"1 4 ", 1)[:60]),
        damaged(lambda text: text.replace(b"1 3 ", b"1 9999999999 ", 1)),
        damaged(lambda text: b"1 3 77" + text[text.index(b" ", 4) :]),
        damaged(lambda text: text[:30]),
        damaged(lambda text: b""),
        damaged(lambda text: b"\n"),
        damaged(lambda text: text.replace(b"\n2:", b"\n1:")),
        damaged(lambda text: text.replace(b"\n2:", b"\n0:")),
        damaged(lambda text: text.replace(b"\n3:", b"\n99999999999999999999:")),
        damaged(lambda text: text.replace(b"\n2:", b"\nx:")),
        damaged(lambda text: text.replace(b"\n2:2,FR\n", b"\n").replace(b"1 3 ", b"1 2 ")),
        _is_link,
        _is_directory,
        _is_fifo,
        lambda path: path.unlink(),
    ],
)
def test_what_does_not_fit(
    drive: Drive, fill: Fill, snapshots: Path, damage: Callable[[Path], None]
) -> None:
    """The folder is opened as if there were none."""
    fill(2, "FR")
    fill(1)
    name = taken(drive)
    damage(snapshots / name)

    assert drive().ask(f'SOPEN "{name}" INBOX') == OPENED


@pytest.mark.parametrize(
    "tail", [b"", b"\n", b"work", b"work\n\nno-such:0\n", b"work\n\nx", b"\xff\n\n:0 1 2 99\n"]
)
def test_damaged_keywords(drive: Drive, fill: Fill, snapshots: Path, tail: bytes) -> None:
    """Whatever they say: what the folder has is told."""
    fill(2, "FR")
    fill(1)
    name = taken(drive)
    text = (snapshots / name).read_bytes()
    (snapshots / name).write_bytes(text[: text.index(b"$Label1")] + tail)

    assert drive().ask(f'SOPEN "{name}" INBOX')[1:] == [
        '* FETCH 2 FLAGS=MARKED,REPLIED "KEYWORDS=$Label1,work"',
        "+OK Folder updated",
    ]


def test_disk_that_is_full(
    drive: Drive, fill: Fill, snapshots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client goes on without."""
    fill(1)
    session = drive()
    session.do('SOPEN "" INBOX')

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("courier.maildir.delivery.write_atomically", full)

    assert session.ask("NOOP") == ["+OK Folder updated"]


def test_tidying_up(drive: Drive, fill: Fill, snapshots: Path) -> None:
    """What is none goes; ten stay whatever their age, more as long as they are young; fifty at most."""
    fill(1)
    snapshots.mkdir()
    (snapshots / "rubbish").write_text("rubbish")
    (snapshots / ".hidden").write_text("somebody's")
    (snapshots / "newer").write_text("2 0 1 1\n")
    now = time.time()
    for number in range(60):
        path = snapshots / f"{number:02}"
        path.write_text("1 0 1 1\n")
        # 35 are a month and older, the others of today.
        age = 86_400 * (30 + 60 - number) if number < 35 else 3600
        os.utime(path, (now - age, now - age))

    drive().do("OPEN INBOX")

    left = sorted(path.name for path in snapshots.iterdir())
    assert ".hidden" in left
    assert not {"rubbish", "newer"} & set(left)
    numbers = [int(name) for name in left if name.isdigit()]
    # Of 36 the oldest would have to be older than 7 + 2 × 26 = 59 days, of 28 older than 43.
    assert numbers[-25:] == list(range(35, 60))
    assert len(numbers) <= 50
    ages = [90 - number for number in numbers if number < 35]
    assert all(age <= 7 + 2 * (len(numbers) - 10) for age in ages)


def test_directory_that_is_a_link(
    drive: Drive, fill: Fill, snapshots: Path, tmp_path: Path
) -> None:
    """Who owns a folder can't have those who open it remove files of theirs: none are used, or taken."""
    fill(1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "letter").write_text("dear")
    (elsewhere / "1").write_text("1 0 1 1:letter\n")
    snapshots.symlink_to(elsewhere)

    assert drive().ask("OPEN INBOX")[-1] == "+OK Folder opened"
    session = drive()
    assert session.ask('SOPEN "1" INBOX')[-1] == "+OK Folder opened"
    assert session.ask("NOOP") == ["+OK Folder updated"]
    assert sorted(path.name for path in elsewhere.iterdir()) == ["1", "letter"]


@pytest.mark.slow
@pytest.mark.courier
@pytest.mark.parametrize("ours_first", [True, False])
def test_exchange_with_courier(
    maildir: Path, start: Start, courier: Implementation, fill: Fill, ours_first: bool
) -> None:
    """What one of the two has written the other goes on from, there and back."""
    fill(3, "S")
    fill(2, "FR")
    servers = [OURS_SMAP, REAL_SMAP] if ours_first else [REAL_SMAP, OURS_SMAP]

    def connected(server: Implementation) -> SmapClient:
        connection = start(server).client.connection
        assert connection.line() == b"+OK SMAP1 LOGIN Ok.\n"
        return SmapClient(connection)

    known = connected(servers[0])
    known.command('SOPEN "" INBOX')
    known.learn()
    known.command("STORE 2 KEYWORDS=work,$Label1")
    known.command("NOOP")
    for server in (servers[1], servers[0]):
        changing = connected(server)
        changing.command("OPEN INBOX")
        changing.command("STORE 2 +FLAGS=DRAFT +KEYWORDS=more")
        changing.command("EXPUNGE 1")
        changing.command("LOGOUT")
        fill(1, None)
        client = connected(server)
        lines = known.come_back(client)

        assert lines[:3] == [
            f'* SNAPSHOTEXISTS "{known.snapshot}"',
            "* EXPUNGE 1",
            "* EXISTS 5",
        ]
        client.learn()
        fresh = connected(servers[0])
        fresh.command("OPEN INBOX")
        fresh.learn()
        assert client.messages == fresh.messages
        client.command("NOOP")
        known = client
