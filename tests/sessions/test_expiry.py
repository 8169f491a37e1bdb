"""Days later: IMAP_EMPTYTRASH and the check of the clock, of our server and of real Courier.

A file's time of status change can't be set, so the servers' clock is: by libfaketime, which leaves the
times of files alone. For the same reason each session ends by the check of the clock, which comes last.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.support.maildirs import make_folder
from tests.support.servers import COURIER, Implementation

pytestmark = pytest.mark.slow

FAKETIME = COURIER / f"usr/lib/{os.uname().machine}-linux-gnu/faketime/libfaketime.so.1"
ALL = {"Trash": ["1.a:2,", "3.c:2,"], "Sent": ["2.b:2,S"], "Trash.old": ["4.d:2,"]}


@pytest.mark.parametrize(
    ("setting", "left"),
    [
        ("7", {**ALL, "Trash": []}),
        ("9", ALL),
        ("Trash:7", {**ALL, "Trash": []}),
        ("Trash:9,Sent:7", {**ALL, "Sent": []}),
        ("Sent:0,None:3", {**ALL, "Sent": []}),
        ("0", {**ALL, "Trash": []}),
        ("nothing,Trash.old:1", {**ALL, "Trash.old": []}),
    ],
)
def test_eight_days_later(
    maildir: Path, implementation: Implementation, setting: str, left: dict[str, list[str]]
) -> None:
    """What lay there that long is gone from the folders named, and from no other."""
    if not FAKETIME.exists():
        missing("libfaketime, see `make tools`")
    for name in ALL:
        make_folder(maildir, f"INBOX.{name}")
    (maildir / ".Trash/cur/1.a:2,").touch()
    (maildir / ".Trash/new/3.c").touch()
    (maildir / ".Sent/cur/2.b:2,S").touch()
    (maildir / ".Trash.old/cur/4.d:2,").touch()

    session = subprocess.run(
        implementation.command_line(maildir),
        input=b"",
        capture_output=True,
        timeout=60,
        cwd=maildir.parent,
        env={
            **implementation.variables({"IMAP_EMPTYTRASH": setting}),
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME": "+8d",
            "NO_FAKE_STAT": "1",
        },
        check=False,
    )

    lines = session.stdout.splitlines()
    assert lines[-1] == b"* BYE Clock skew detected. Check the clock on the file server"
    found = {
        name: sorted(
            file.name if directory == "cur" else f"{file.name}:2,"
            for directory in ("new", "cur")
            for file in (maildir / f".{name}" / directory).iterdir()
        )
        for name in ALL
    }
    assert found == left
