"""A process killed between two steps of what commands do on disk: nothing is lost, the next session goes on,
and so does real Courier.

A few steps of each command are tried, other ones for each; all of them with EVERY_STEP=1 in the environment.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from courier.maildir.annotations import AnnotationFile
from courier.maildir.quota import Quota
from tests.courier.maildir.test_delivery import calls_of, faults, fresh_maildirs
from tests.imapd.driver import Driven
from tests.support.maildirs import deliver, make_folder, message_files
from tests.support.servers import Implementation, Server

pytestmark = [pytest.mark.slow, pytest.mark.courier, pytest.mark.usefixtures("logged")]

SETTINGS = {"IMAP_MOVE_EXPUNGE_TO_TRASH": "1", "IMAP_TRASHFOLDERNAME": "Bin", "IMAP_FSYNC": "1"}
BODIES = [b"Subject: %d\n\nBody.\n" % number for number in range(3)]


def ready(maildir: Path) -> Driven:
    """Three messages, the last marked as deleted, two folders, a quota; the mailbox is selected."""
    for number, body in enumerate(BODIES):
        deliver(maildir, body, number=number, flags="T" if number == 2 else "S")
    for name in ("INBOX.a", "INBOX.Bin"):
        make_folder(maildir, name)
    Quota(str(maildir)).recount()
    (maildir / "maildirsize").write_bytes(b"100000S,1000C\n%12d %12d\n" % (len(BODIES[0]) * 2, 2))
    driven = Driven(maildir, SETTINGS)
    driven.ask("s SELECT INBOX")
    return driven


def bodies(maildir: Path) -> list[bytes]:
    """Every message file's content, in whatever folder."""
    return sorted(
        path.read_bytes()
        for directory in ("new", "cur")
        for folder in (maildir, *maildir.glob(".[a-zA-Z]*"))
        if (folder / directory).is_dir()
        for path in (folder / directory).iterdir()
    )


def message_count(maildir: Path) -> int:
    return len(message_files(maildir))


def seen_by(courier: Implementation, maildir: Path) -> int:
    """Have Courier open the maildir and read each message of INBOX; return how many."""
    server = Server(courier, maildir)
    try:
        server.client.response()
        server.client.command("SELECT INBOX")
        if not server.client.search("ALL"):
            return 0
        return len(server.client.fetch("1:*", "(UID BODY.PEEK[])"))
    finally:
        server.stop()


def killed(operation: Callable[[], object], at: int) -> bool:
    """Run ``operation`` in a process that dies just before its call number ``at``; False: it ended before."""
    pid = os.fork()
    if pid == 0:
        try:
            with faults(at):
                operation()
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


@pytest.mark.parametrize(
    ("command", "copies", "first"),
    [
        ("EXPUNGE", 1, 0),
        ("MOVE 1:2 INBOX.a", 2, 1),
        ("STORE 1:3 FLAGS (\\Flagged kw)", 0, 2),
        ("STORE 1:2 +FLAGS (\\Deleted)", 0, 0),
        ("RENAME INBOX.a INBOX.b", 0, 4),
        ("RENAME INBOX INBOX.new", 3, 0),
        ("DELETE INBOX.a", 0, 3),
        (f"REPLACE 1 INBOX {{{len(BODIES[0])}+}}\r\n{BODIES[0].decode()}", 2, 1),
        (f"REPLACE 2 INBOX.a {{{len(BODIES[1])}+}}\r\n{BODIES[1].decode()}", 2, 3),
        (
            f"APPEND INBOX.a (kw) {{{len(BODIES[0])}+}}\r\n{BODIES[0].decode()}"
            f" {{{len(BODIES[1])}+}}\r\n{BODIES[1].decode()}",
            2,
            2,
        ),
    ],
)
def test_killed(
    tmp_path: Path, courier: Implementation, command: str, copies: int, first: int
) -> None:
    """Each message is somewhere, at most as often as the command copies it; the quota counts right."""
    maildirs = fresh_maildirs(tmp_path)
    calls = calls_of(partial(ready(next(maildirs)).ask, f"a {command}"))
    assert len(calls) > 3
    step = 1 if "EVERY_STEP" in os.environ else max(len(calls) // 8, 1)
    deaths = 0
    for at in range(first % step, len(calls), step):
        maildir = next(maildirs)
        driven = ready(maildir)
        deaths += killed(partial(driven.ask, f"a {command}"), at)

        after = Driven(maildir, SETTINGS)
        assert after.ask("b SELECT INBOX")[-1].name == "OK", at
        there = bodies(maildir)
        assert set(there) == set(BODIES), (at, calls[at])
        assert len(there) <= len(BODIES) + copies, (at, calls[at])
        assert seen_by(courier, maildir) == message_count(maildir), (at, calls[at])
        again = after.ask("c APPEND INBOX {1+}\r\nx")[-1]
        assert again.name == "OK", (at, again)

        Quota(str(maildir)).recount()
        counted = [
            flags
            for folder in (maildir, *(path for path in maildir.glob(".[a-zA-Z]*")))
            for flags in message_files(folder).values()
            if "T" not in flags
        ]
        line = (maildir / "maildirsize").read_bytes().splitlines()[1]
        assert int(line.split()[1]) == len(counted), (at, calls[at])
    assert deaths > 3


@pytest.mark.parametrize(
    "command",
    [
        'SETMETADATA INBOX.a (/private/x "new" /shared/x "new" /private/specialuse "\\\\Junk")',
        "CREATE INBOX.new (USE (\\Sent \\Drafts))",
    ],
)
def test_annotations(tmp_path: Path, courier: Implementation, command: str) -> None:
    """All of a mailbox's are there, old or new; a new mailbox has what it was made for, or is not there."""
    old = {"/private/x": b"old", "/shared/x": b"old"}
    new = {"/private/x": b"new", "/shared/x": b"new", "/private/specialuse": b"\\Junk"}

    def begun(maildir: Path) -> Driven:
        driven = ready(maildir)
        driven.ask('s SETMETADATA INBOX.a (/private/x "old" /shared/x "old")')
        return driven

    maildirs = fresh_maildirs(tmp_path)
    calls = calls_of(partial(begun(next(maildirs)).ask, f"a {command}"))
    step = 1 if "EVERY_STEP" in os.environ else max(len(calls) // 8, 1)
    for at in range(0, len(calls), step):
        maildir = next(maildirs)
        killed(partial(begun(maildir).ask, f"a {command}"), at)

        assert AnnotationFile(str(maildir / ".a")).read() in (old, new), (at, calls[at])
        if (maildir / ".new").exists():
            made = AnnotationFile(str(maildir / ".new")).read()
            assert made == {"/private/specialuse": b"\\Sent \\Drafts"}
        again = Driven(maildir, SETTINGS).ask('b SETMETADATA INBOX.a (/shared/x "again")')
        assert again[-1].name == "OK", (at, calls[at])
        assert seen_by(courier, maildir) == message_count(maildir), (at, calls[at])
