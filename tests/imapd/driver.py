"""A session driven in memory: no process, no descriptor, every step under the test's control."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from courier.log import Peer
from courier.maildir.store import Store
from courier.maildir.tree import Tree
from courier.process.request import ClientGone, GiveBack, Receive, ShuttingDown, Wake, Work
from imapd import account, settings
from imapd.account_session import AccountSession, Client
from imapd.session import Session
from tests.imapd.responses import Response, read

S = TypeVar("S", bound=AccountSession)

GREETING = b"* PREAUTH Ready.\r\n"
SETTINGS = {
    "IMAP_CAPABILITY": "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE IDLE",
    "IMAP_KEYWORDS": "1",
    "IMAP_ID_FIELDS": "0",
    "IMAP_FSYNC": "0",
}


class DrivenSession(Generic[S]):
    """A session and its client in one: what is sent is answered before `send` returns."""

    #: All that were made during a test, so that none ends by chance during another.
    made: ClassVar[list[DrivenSession[Any]]] = []

    def __init__(
        self, session: S, greeting: bytes, *, unread: bytes = b"", started: bool = True
    ) -> None:
        """``started``: greeted already."""
        self.session = session
        self.settings = session.settings
        self.output = b""
        self.written: list[bytes] = []  # the pieces, in the order in which they were yielded
        self.requests: list[Receive | Work] = []
        self.ended = False
        self.given_back: bytes | None = None  # with the client that the session has left
        #: Called before and after each step is taken; what they raise is thrown into the session.
        self.before: Callable[[object], None] = lambda step: None
        self.after: Callable[[object], None] = lambda step: None
        self._steps = self.session.run(greeting, unread)
        self._input: deque[bytes | Wake] = deque()
        self._pending: object = None  # the request that waits for input
        self.made.append(self)
        if started:
            assert self.run() == greeting

    def send(self, *pieces: bytes | Wake) -> bytes:
        """Give the session input, piece by piece, and return what it wrote until it needs more."""
        self._input.extend(pieces)
        return self.run()

    @property
    def left(self) -> list[bytes | Wake]:
        """What was sent and the session never asked for."""
        return list(self._input)

    def wake(self) -> bytes:
        """Let the session see what the watch that it waits with has noticed; return what it says.

        Nothing, and the session does not wake up, if there is nothing.
        """
        waiting = self._pending
        assert isinstance(waiting, Receive) and waiting.watch is not None
        return self.send(Wake.CHANGED) if _has_changed(waiting) else b""

    def close(self) -> bytes:
        """End the client's stream; the session must end."""
        written = self.send(b"")
        assert self.ended
        return written

    def stop(self) -> bytes:
        """Tell the session that the server shuts down; it must end."""
        assert self._pending is not None
        self._pending = None
        written = self.run(ShuttingDown())
        assert self.ended
        return written

    def lose(self) -> None:
        """Tell the session that its client takes no more output."""
        self._pending = None
        self.run(ClientGone())
        assert self.ended

    @classmethod
    def end_all(cls) -> None:
        """End the sessions that a test has left open, without a word."""
        while cls.made:
            cls.made.pop()._steps.close()

    def run(self, failure: Exception | None = None) -> bytes:
        """Take steps until the session waits for input that is not there, or ends."""
        began = len(self.output)
        answer: object = None
        if self._pending is not None:
            if not self._input:
                return b""
            self._pending, answer = None, self._input.popleft()
        while not self.ended:
            try:
                step = self._steps.throw(failure) if failure else self._steps.send(answer)
            except StopIteration:
                self.ended = True
                break
            answer = failure = None
            try:
                self.before(step)
                if isinstance(step, bytes):
                    self.written.append(step)
                    self.output += step
                elif isinstance(step, Work):
                    self.requests.append(step)
                    answer = step.call()
                elif isinstance(step, GiveBack):
                    self.given_back = step.unread
                else:
                    assert isinstance(step, Receive), step
                    self.requests.append(step)
                    if self._input:  # whose end stays, as that of a socket
                        answer = self._input.popleft() if self._input[0] else b""
                    elif step.timeout_s > 0:
                        self._pending = step
                        break
                    else:
                        answer = Wake.CHANGED if _has_changed(step) else Wake.TIMEOUT
                self.after(step)
            except Exception as error:
                failure = error
        return self.output[began:]


def make_session(
    kind: type[S],
    maildir: Path,
    environ: Mapping[str, str | None] | None,
    *,
    user: str = "user",
    options: str | None = None,
    quota: str = "",
    may_return: bool = False,
) -> S:
    """Make a session, alone in its worker; ``environ`` is added to `SETTINGS` (None: not set)."""
    together = {**SETTINGS, **(environ or {})}
    found = settings.from_environment(
        {name: value for name, value in together.items() if value is not None}
    )
    tree = Tree(str(maildir), trash=found.trash_folder_name)
    peer = Peer("192.0.2.1", "40000")
    client = Client(user, peer, options=options, quota=quota, may_return=may_return)
    return kind(found, tree, Store(account.folder_options(found)), client)


class Driven(DrivenSession[Session]):
    """One of IMAP."""

    def __init__(
        self,
        maildir: Path,
        environ: Mapping[str, str | None] | None = None,
        *,
        unread: bytes = b"",
        started: bool = True,
        user: str = "user",
        options: str | None = None,
        quota: str = "",
        may_return: bool = False,
    ) -> None:
        """Args:
        environ: see `make_session`.
        started: greeted already.
        """
        session = make_session(
            Session,
            maildir,
            environ,
            user=user,
            options=options,
            quota=quota,
            may_return=may_return,
        )
        super().__init__(session, GREETING, unread=unread, started=started)

    def ask(self, line: str) -> list[Response]:
        """Send one line and return the responses, which must be well formed."""
        return read(self.send(line.encode() + b"\r\n"))


def _has_changed(waiting: Receive) -> bool:
    watch = waiting.watch
    if watch is None:
        return False
    # Another session of this process may have collected what happened: then it is in the group.
    return watch in watch.source.collect() or bool(getattr(watch, "changed", None))
