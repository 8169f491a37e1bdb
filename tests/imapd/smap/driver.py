"""An SMAP session driven in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from imapd import smap
from imapd.smap.session import Session
from tests.imapd.driver import DrivenSession, make_session


class DrivenSmap(DrivenSession[Session]):
    """A session and its client in one."""

    def __init__(
        self,
        maildir: Path,
        environ: Mapping[str, str | None] | None = None,
        *,
        user: str = "user",
        options: str | None = None,
        quota: str = "",
    ) -> None:
        """``environ``: see `make_session`."""
        session = make_session(Session, maildir, environ, user=user, options=options, quota=quota)
        super().__init__(session, smap.GREETING)

    def ask(self, line: str) -> list[str]:
        """Send one line and return the lines of the answer."""
        said = self.send(line.encode("utf-8", "surrogateescape") + b"\n")
        assert said.endswith(b"\n")
        return said.decode("utf-8", "surrogateescape").split("\n")[:-1]

    def do(self, line: str) -> None:
        """Send a line that has to succeed."""
        lines = self.ask(line)
        assert lines[-1].startswith("+OK"), lines
