"""maildirsize: what is read, what is counted, when it is counted, and what failures leave."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from courier.maildir import counting, quota
from courier.maildir.filename import Flag
from courier.maildir.quota import Limits, OverQuota, Quota, Usage
from tests.courier.maildir.test_delivery import calls_of, fresh_maildirs, killed
from tests.imapd.failing import failing_call
from tests.support.maildirs import make_folder, make_maildir

LIMITS = Limits(1000, 10)


def lines(*pairs: tuple[int, int], limits: str = "1000S,10C") -> bytes:
    return f"{limits}\n".encode() + b"".join(b"%12d %12d\n" % pair for pair in pairs)


def put(folder: Path, name: str, octets: int = 1, directory: str = "cur") -> None:
    (folder / directory / name).write_bytes(b"x" * octets)


def write(maildir: Path, text: bytes, age_s: float = 0) -> Path:
    path = maildir / "maildirsize"
    path.write_bytes(text)
    then = time.time() - age_s
    os.utime(path, (then, then))
    return path


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("1000S,10C", Limits(1000, 10)),
        ("10C,1000S", Limits(1000, 10)),
        ("  10C", Limits(0, 10)),
        ("5000Sx7C", Limits(5000, 7)),
        ("5S,7S", Limits(7, 0)),
        ("5000", Limits()),
        ("5000S,x", Limits(5000, 0)),
        ("0S", Limits()),
        ("", Limits()),
        ("-5S", Limits(5, 0)),
        ("9" * 10_000 + "S", Limits(10**18 - 1, 0)),
    ],
)
def test_limits_are_read_as_courier_reads_them(text: str, limits: Limits) -> None:
    """Anything that is no number with S or C behind it is passed over."""
    assert Limits.parse(text) == limits
    assert bool(limits) == bool(str(limits))


@pytest.mark.parametrize(
    ("text", "used"),
    [
        (lines(), Usage(0, 0)),
        (lines((30, 1), (-10, -1), (5, 1)), Usage(25, 1)),
        (b"1000S\n30 1\n  5   1 rubbish\nrubbish\n\n", Usage(35, 2)),
        (b"1000S\n30 1", Usage(30, 1)),
    ],
)
def test_lines_are_summed_up(maildir: Path, text: bytes, used: Usage) -> None:
    """Blanks don't matter, lines that mean nothing neither, nor a missing end."""
    write(maildir, text)

    found = Quota(str(maildir)).read()

    assert found is not None and found[1] == used


def test_without_quota(maildir: Path) -> None:
    """No file: nothing is limited, and nothing is written."""
    account = Quota(str(maildir))

    account.add(Usage(10**9, 1))
    account.note(Usage(-5, -1))
    account.recount()

    assert account.read() is None
    assert not (maildir / "maildirsize").exists()


def test_what_counts(maildir: Path) -> None:
    """Sizes as the names state them, else the files'; not Trash, not what is marked, no links."""
    put(maildir, "1.a,S=40:2,S")
    put(maildir, "2.b:2,", 7)
    put(maildir, "3.c,S=50:2,ST")
    put(maildir, ".hidden,S=9")
    put(maildir, "4.d,S=100", directory="new")
    put(make_folder(maildir, "INBOX.Trash"), "5.e,S=500:2,")
    put(make_folder(maildir, "INBOX.Trash.old"), "6.f,S=1:2,")
    put(make_folder(maildir, "INBOX.trash"), "7.g,S=2:2,")
    other = make_maildir(maildir.parent / "other")
    put(other, "8.h,S=300:2,")
    (maildir / ".linked").symlink_to(other)

    Quota(str(maildir)).set_limits(LIMITS)

    assert (maildir / "maildirsize").read_bytes() == lines((150, 5))
    with_trash = Quota(str(maildir), counts_trash=True)
    with_trash.set_limits(LIMITS)
    assert (maildir / "maildirsize").read_bytes() == lines((700, 7))
    assert with_trash.counts("Trash", 0) and with_trash.counts("", Flag.DELETED)
    assert list((maildir / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "age_s", "is_refused", "left"),
    [
        (lines((900, 1)), 0, False, lines((900, 1), (100, 1))),  # just fits
        (lines((901, 1)), 0, True, lines((901, 1))),  # one line, young: believed
        (lines((901, 1)), 899, True, lines((901, 1))),
        (lines((901, 1)), 901, False, lines((40, 1), (100, 1))),  # too old: counted
        (lines((901, 1)), -60, False, lines((40, 1), (100, 1))),  # from the future: the same
        (lines((900, 1), (1, 0)), 0, False, lines((40, 1), (100, 1))),  # two lines: the same
        (lines((-1, 1)), 0, False, lines((40, 1), (100, 1))),  # can't be
        (lines((0, -1)), 0, False, lines((40, 1), (100, 1))),
        (lines((0, 10)), 0, True, lines((0, 10))),  # the other limit
        (b"nothing\n", 0, False, b"nothing\n         100            1\n"),
        (b"", 0, False, b"         100            1\n"),
    ],
)
def test_when_all_is_counted(
    maildir: Path, text: bytes, age_s: float, is_refused: bool, left: bytes
) -> None:
    """Nothing is refused but on the strength of a single line less than 15 minutes old."""
    put(maildir, "1.a,S=40:2,")
    path = write(maildir, text, age_s)
    account = Quota(str(maildir))

    if is_refused:
        with pytest.raises(OverQuota):
            account.add(Usage(100, 1))
    else:
        account.add(Usage(100, 1))

    assert path.read_bytes() == left


def test_too_many_lines(maildir: Path) -> None:
    """5120 octets: all is counted, and one line is left."""
    put(maildir, "1.a,S=40:2,")
    account = Quota(str(maildir))
    write(maildir, lines(*[(0, 0)] * 196))
    assert (maildir / "maildirsize").stat().st_size < quota.LONGEST
    account.add(Usage(1, 1))

    account.add(Usage(1, 1))

    assert (maildir / "maildirsize").read_bytes() == lines((40, 1), (1, 1))


def test_unfinished_line_takes_no_other_with_it(maildir: Path) -> None:
    """A line without its end, from a program that was killed, stays a line."""
    path = write(maildir, lines((5, 1))[:-1])

    Quota(str(maildir)).note(Usage(7, 1))

    assert path.read_bytes() == lines((5, 1), (7, 1))


def test_symbolic_link_is_no_quota(maildir: Path, tmp_path: Path) -> None:
    """It is neither followed nor replaced."""
    target = tmp_path / "elsewhere"
    target.write_bytes(lines((5, 1)))
    (maildir / "maildirsize").symlink_to(target)
    account = Quota(str(maildir), account=Limits(1, 1))

    account.add(Usage(10**6, 1))
    account.note(Usage(1, 1))
    account.recount()

    assert account.read() is None
    assert target.read_bytes() == lines((5, 1))
    assert (maildir / "maildirsize").is_symlink()


def test_limits_of_the_account(maildir: Path) -> None:
    """They make the file, and replace other ones; then all is counted."""
    put(maildir, "1.a,S=40:2,")
    account = Quota(str(maildir), account=Limits(1000, 10))
    account.add(Usage(5, 1))
    assert (maildir / "maildirsize").read_bytes() == lines((40, 1), (5, 1))

    with pytest.raises(OverQuota):
        Quota(str(maildir), account=Limits(42)).add(Usage(5, 1))

    assert (maildir / "maildirsize").read_bytes() == lines((40, 1), limits="42S")


def test_what_is_freed_makes_room(maildir: Path) -> None:
    """A message that moves needs no room for its copy."""
    path = write(maildir, lines((1000, 10)))

    Quota(str(maildir)).add(Usage(100, 1), freed=Usage(100, 1))

    assert path.read_bytes() == lines((1000, 10), (100, 1))


def test_failure_takes_the_line_back(maildir: Path) -> None:
    """What could not be stored does not count."""
    path = write(maildir, lines((0, 0)))

    with pytest.raises(ZeroDivisionError), Quota(str(maildir)).charged(Usage(5, 1)):
        assert path.read_bytes() == lines((0, 0), (5, 1))
        raise ZeroDivisionError

    assert path.read_bytes() == lines((0, 0), (5, 1), (-5, -1))


@pytest.mark.parametrize("interference", ["message", "line"])
def test_others_while_all_is_counted(
    maildir: Path, interference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that comes, or one that was just paid for, makes us count again."""
    put(maildir, "1.a,S=40:2,")
    path = write(maildir, lines((5000, 1), (0, 0)))
    once: list[Callable[[], None]] = [
        lambda: (
            put(maildir, "2.b,S=60:2,")
            if interference == "message"
            else Quota(str(maildir)).note(Usage(60, 1))
        )
    ]
    real = counting.octets_of
    counted = []

    def interfering(message: bytes) -> int | None:
        counted.append(message)
        if once:
            once.pop()()
        return real(message)

    monkeypatch.setattr(counting, "octets_of", interfering)
    Quota(str(maildir)).add(Usage(1, 1))

    assert len(counted) > 1
    expected = lines((100, 2), (1, 1)) if interference == "message" else lines((40, 1), (1, 1))
    assert path.read_bytes() == expected


def test_system_call_fails(maildir: Path) -> None:
    """Whichever it is: the file is the old one or the new one, and nothing is left in tmp/."""
    put(maildir, "1.a,S=40:2,")
    old, new = lines((5000, 1), (0, 0)), lines((40, 1))
    for number in range(100):
        path = write(maildir, old)
        with failing_call(number) as calls:
            try:
                Quota(str(maildir)).add(Usage(1, 1))
            except OverQuota:
                assert path.read_bytes() in (old, new)
            else:  # a file that can't be read limits nothing
                assert path.read_bytes() in (old, new, new + lines((1, 1))[10:])
        assert list((maildir / "tmp").iterdir()) == []
        if calls.failed is None:
            break
    assert number > 4


def test_who_pays_for_a_folder(maildir: Path, tmp_path: Path) -> None:
    """The maildir above it; that of the target, where it is a symbolic link."""
    folder = make_folder(maildir, "INBOX.a.b")
    other = make_maildir(tmp_path / "other")
    (other / ".linked").symlink_to(folder)

    assert counting.holder(str(folder)) == (str(maildir), "a.b")
    assert counting.holder(str(maildir)) == (str(maildir), "")
    assert counting.holder(str(other / ".linked")) == (str(maildir), "a.b")


def test_percentage() -> None:
    """The limit that is nearer counts, rounded down; none is no part."""
    assert Limits(1000, 10).percentage(Usage(555, 5)) == 55
    assert Limits(1000, 10).percentage(Usage(10, 9)) == 90
    assert Limits(0, 10).percentage(Usage(10**9, 1)) == 10
    assert Limits().percentage(Usage(1, 1)) == 0
    assert Limits(3).percentage(Usage(-5, 0)) == 0


@pytest.mark.slow
def test_killed_before_each_call(tmp_path: Path) -> None:
    """The file is the old one or the new one, with its line or without; the next to come goes on."""
    folders = fresh_maildirs(tmp_path)
    old, new = lines((5000, 1), (0, 0)), lines((40, 1))

    def ready() -> Path:
        path = next(folders)
        put(path, "1.a,S=40:2,")
        write(path, old)
        return path

    calls = calls_of(partial(Quota(str(ready())).add, Usage(1, 1)))
    assert "rename" in calls
    for at in range(len(calls)):
        path = ready()
        killed(partial(Quota(str(path)).add, Usage(1, 1)), at)

        left = (path / "maildirsize").read_bytes()
        assert left in (old, new, new + lines((1, 1))[10:]), at
        Quota(str(path)).add(Usage(2, 1))
        assert (path / "maildirsize").read_bytes().endswith(lines((2, 1))[10:])


def test_many_at_once(maildir: Path) -> None:
    """Each process appends whole lines: none is lost."""
    put(maildir, "1.a,S=40:2,")
    account = Quota(str(maildir))
    account.set_limits(Limits(10**9, 10**6))
    children = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            for _ in range(45):
                account.note(Usage(3, 1))
            os._exit(0)
        children.append(pid)

    assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)

    found = account.read()
    assert found is not None and found[1] == Usage(40 + 4 * 45 * 3, 1 + 4 * 45)
