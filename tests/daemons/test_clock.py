"""The clock of the machine jumps: nobody is dropped, no mail is missed."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support.daemon import Site
from tests.support.maildirs import deliver

DAY_S = 86_400.0
YEAR_S = 365 * DAY_S

#: What time(2) says is moved by what a file says; the file stays open where paths lead nowhere.
SHIFTED = """
import os, time
_file = os.open({path!r}, os.O_RDONLY)
_now, _now_ns = time.time, time.time_ns
time.time = lambda: _now() + float(os.pread(_file, 50, 0) or 0)
time.time_ns = lambda: _now_ns() + int(float(os.pread(_file, 50, 0) or 0) * 1e9)
"""


def named_times(maildir: Path) -> list[int]:
    """When the names of messages say that they came: that is what the processes believe."""
    return [int(path.name.partition(".")[0]) for path in (maildir / "cur").iterdir()]


def test_clock_set_back_and_forth(site: Site) -> None:
    """An idle session hears of new mail, others change and add it, silent connections stay.

    What the kernel stamps on files does not jump along: it is of before the jump, or from the
    future. (A session that begins then is refused, as in Courier: its file server's clock is off.)
    """
    offset = site.path / "offset"
    offset.write_text("0")
    (site.path / "sitecustomize.py").write_text(SHIFTED.format(path=str(offset)))
    daemon = site.start(
        IMAP_LOGIN_PROCESSES="1",
        IMAP_IDLE_TIMEOUT="1",
    )
    maildir = site.homes / "u@example.com/Maildir"
    silent = daemon.connect()
    with daemon.session() as idle, daemon.session() as other:
        idle.command("SELECT INBOX")
        other.command("SELECT INBOX")
        idle.send(b"i IDLE\r\n")
        idle.until(b"+ ")
        for number, seconds in enumerate((-DAY_S, 0.0, 10 * YEAR_S, -20 * YEAR_S, 0.0), 1):
            offset.write_text(str(seconds))
            deliver(maildir, b"Subject: x\r\n\r\ny\r\n", number=number)

            idle.until(b"* %d EXISTS" % (2 * number - 1))
            assert b"* %d EXISTS\r\n" % (2 * number - 1) in other.command("NOOP")
            assert b" OK " in other.command(f"STORE {number} +FLAGS (\\Flagged)")[-1]
            other.send(b"a APPEND INBOX {1+}\r\nx\r\n")
            other.until(b"a OK ")
            idle.until(b"* %d EXISTS" % (2 * number))
            assert any(abs(time.time() + seconds - named) < 1000 for named in named_times(maildir))
        idle.send(b"DONE\r\n")
        idle.until(b"i OK")
        assert b" OK " in other.command("CHECK")[-1]
    assert b" OK " in silent.command("NOOP")[-1]
    silent.log_in()
    silent.close()
    assert "TIMEOUT" not in daemon.log
    assert "died" not in daemon.log
