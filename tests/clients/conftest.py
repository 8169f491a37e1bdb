"""What the real mail clients share: a tunnel to our server, and a bounded way to run them."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.support.daemon import Site
from tests.support.servers import OURS

Run = Callable[..., str]


@pytest.fixture
def site() -> Iterator[Site]:
    """An installation, whose daemons tests start."""
    made = Site()
    yield made
    made.close()


@pytest.fixture
def tunnel(tmp_path: Path, maildir: Path) -> str:
    """A command that speaks IMAP for the test's maildir, already logged in."""
    script = tmp_path / "tunnel"
    variables = " ".join(shlex.quote(f"{n}={v}") for n, v in OURS.variables().items())
    command = shlex.join(OURS.command_line(maildir))
    script.write_text(f"#!/bin/sh\nexec env -i {variables} {command} 2>>{tmp_path}/imapd.log\n")
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a client program with a home of its own; it has to succeed, and is given up after five minutes."""

    def run_client(*command: str, stdin: bytes = b"", timeout_s: float = 300) -> str:
        if shutil.which(command[0]) is None:
            missing(command[0])
        done = subprocess.run(
            command,
            check=False,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "TZ": "UTC", "TERM": "dumb"},
            cwd=tmp_path,
        )
        output = done.stdout.decode(errors="replace")
        log = tmp_path / "imapd.log"
        if log.exists():
            output += log.read_text(errors="replace")
        assert done.returncode == 0, output
        assert "Traceback" not in output, output
        return output

    return run_client


@pytest.fixture
def run_in_terminal(tmp_path: Path) -> Run:
    """Run a full-screen program on a terminal of its own; return what it drew."""

    def run_client(*command: str, patience_s: float = 60) -> str:
        if shutil.which(command[0]) is None:
            missing(command[0])
        controlling, terminal = pty.openpty()
        os.set_blocking(controlling, False)
        process = subprocess.Popen(
            command,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={
                "HOME": str(tmp_path),
                "PATH": "/usr/bin:/bin",
                "TZ": "UTC",
                "TERM": "xterm",
                "LC_ALL": "C.UTF-8",
                "LINES": "40",
                "COLUMNS": "120",
            },
            cwd=tmp_path,
            start_new_session=True,
        )
        os.close(terminal)
        drawn = bytearray()
        try:
            while select.select([controlling], [], [], patience_s)[0]:
                try:
                    drawn += os.read(controlling, 65536)
                except OSError:  # the program has closed its terminal
                    break
            else:
                pytest.fail(f"{command[0]} hangs: {drawn[-3000:].decode(errors='replace')}")
            assert process.wait(10) == 0, drawn.decode(errors="replace")
        finally:
            process.kill()
            process.wait()
            os.close(controlling)
        log = tmp_path / "imapd.log"
        assert not log.exists() or "Traceback" not in log.read_text(), log.read_text()
        return drawn.decode(errors="replace")

    return run_client
