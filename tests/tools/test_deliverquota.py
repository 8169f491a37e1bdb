"""deliverquota where the disk fails; `test_maildir_tools` holds it against Debian's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.imapd.failing import failing_call
from tests.support.maildirs import make_maildir
from tools import deliverquota

MESSAGE = b"Subject: x\n\nbody\n"


@contextmanager
def standard_input(path: Path) -> Iterator[None]:
    before, given = os.dup(0), os.open(path, os.O_RDONLY)
    os.dup2(given, 0)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(given)


def used(maildir: Path) -> list[int]:
    lines = (maildir / "maildirsize").read_bytes().splitlines()[1:]
    return [sum(int(line.split()[column]) for line in lines) for column in (0, 1)]


def test_each_call_failing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 0 and the message, or another and nothing; what was not stored is not counted."""
    message = tmp_path / "message"
    message.write_bytes(MESSAGE)
    for number in range(100):
        maildir = make_maildir(tmp_path / f"M{number}")
        (maildir / "maildirsize").write_bytes(b"1000S\n           0            0\n")
        with standard_input(message), failing_call(number) as calls:
            status = deliverquota.main([str(maildir)])

        there = os.listdir(maildir / "new")
        assert len(there) == (status == 0), (number, calls.failed)
        assert os.listdir(maildir / "tmp") == []
        if calls.failed not in ("open", "write"):  # a quota that can't be read or written is none
            assert used(maildir) in ([17 * len(there), len(there)], [0, 0])
        if calls.failed is None:
            break
    assert number > 5 and status == 0
    assert used(maildir) == [17, 1]
    assert "No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize("trash", ["0", "1"])
def test_trash_counts_as_a_setting_says(
    tmp_path: Path, trash: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment's, else the one in imapd's file."""
    message = tmp_path / "message"
    message.write_bytes(MESSAGE)
    maildir = make_maildir(tmp_path / "M")
    (maildir / "cur" / "1.a,S=500:2,T").touch()
    monkeypatch.setattr("courier.paths.SYSCONFDIR", tmp_path)
    (tmp_path / "imapd").write_text(f"MAILDIR_TRASHQUOTA={trash}\n")

    with standard_input(message):
        assert deliverquota.main([str(maildir), "1000S"]) == 0

    assert used(maildir) == ([517, 2] if trash == "1" else [17, 1])
    monkeypatch.setenv("MAILDIR_TRASHQUOTA", "0")
    with standard_input(message):
        assert deliverquota.main([str(maildir), "2000S"]) == 0
    assert used(maildir) == [34, 2]
