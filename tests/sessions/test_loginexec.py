"""`loginexec` as our server and as real Courier runs it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import Start
from tests.support.servers import OURS_POP3, REAL_POP3, Implementation

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("status", [0, 3])
def test_run(maildir: Path, start: Start, implementation: Implementation, status: int) -> None:
    """In the maildir, before the greeting, without arguments; removed once it has succeeded."""
    program = maildir / "loginexec"
    program.write_text(
        "#!/bin/sh\n"
        'echo "$# $(pwd) $AUTHENTICATED $TCPREMOTEIP $IMAP_TRASHFOLDERNAME" >>told\n'
        f"exit {status}\n"
    )
    program.chmod(0o755)
    for _ in range(2):
        server = start(implementation, {"AUTHENTICATED": "joe", "IMAP_TRASHFOLDERNAME": "Bin"})
        server.client.command("LOGOUT")
        server.finish()

    told = f"0 {maildir} joe 127.0.0.1 Bin\n"
    assert (maildir / "told").read_text() == told * (2 if status else 1)
    assert program.exists() == bool(status)


def test_link(maildir: Path, start: Start, implementation: Implementation, tmp_path: Path) -> None:
    """A symbolic link to a program is run; it is the link that goes."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\ntouch ran\n")
    program.chmod(0o755)
    (maildir / "loginexec").symlink_to(program)

    start(implementation)

    assert (maildir / "ran").exists()
    assert not (maildir / "loginexec").is_symlink()
    assert program.exists()


@pytest.mark.parametrize("server", ["ours", pytest.param("courier", marks=pytest.mark.courier)])
def test_pop3(maildir: Path, server: str, request: pytest.FixtureRequest) -> None:
    """POP3 sessions run it, too."""
    if server == "courier":
        request.getfixturevalue("courier")
    implementation = OURS_POP3 if server == "ours" else REAL_POP3
    program = maildir / "loginexec"
    program.write_text('#!/bin/sh\necho "$# $(pwd) $AUTHENTICATED" >>told\n')
    program.chmod(0o755)

    said = subprocess.run(
        implementation.command_line(maildir),
        input=b"STAT\r\nQUIT\r\n",
        capture_output=True,
        timeout=30,
        cwd=maildir.parent,
        env=implementation.variables({"AUTHENTICATED": "joe"}),
        check=False,
    ).stdout

    assert b"+OK 0 0\r\n" in said
    assert (maildir / "told").read_text() == f"0 {maildir} joe\n"
    assert not program.exists()
