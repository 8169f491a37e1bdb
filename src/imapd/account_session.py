"""What sessions of every protocol are: an account that is served from log-in to the end.

`imapd.session` has the one that speaks IMAP, `imapd.smap.session` the one that speaks SMAP. Each reads its
commands and says what there is to say in its own way; account, mailboxes, quota, and what is done as a session
begins and ends, are the same.
"""

from __future__ import annotations

import contextlib
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from types import GeneratorType
from typing import Any, ClassVar, TypeVar

from courier import log
from courier.log import End, Peer
from courier.maildir import counting
from courier.maildir.charged import Charged
from courier.maildir.folder import Folder
from courier.maildir.quota import Limits, Quota
from courier.maildir.store import Store
from courier.maildir.tree import Tree
from courier.maildir.view import FolderReset, View
from courier.message.message import Message
from courier.message.parted import PartedMessage
from courier.process.request import ClientGone, Request, ShuttingDown, Steps, Work
from imapd import account, upkeep
from imapd.completion import Farewell
from imapd.connection import EndOfInput, Stream
from imapd.mailboxes import Mailbox
from imapd.request import Progress
from imapd.settings import Settings

T = TypeVar("T")


#: Size up to which a message that was read is kept for the next FETCH.
_KEPT_OCTETS = 64 << 20


@dataclass(frozen=True, slots=True)
class Client:
    """Who is at the other end."""

    user: str
    peer: Peer
    tls: bool = False
    options: str | None = None  # the account's, as authentication gave them
    quota: str = ""  # the account's, as authentication returned it
    may_return: bool = False  # to where it logged in (UNAUTHENTICATE)


@dataclass(frozen=True, slots=True)
class Opened:
    """The message read last, which a client may be fetching in pieces."""

    uidvalidity: int
    uid: int
    message: Message | PartedMessage
    found: os.stat_result


class AccountSession(ABC):
    """One client's session on one account."""

    #: What is said when the server stops.
    shut_down: ClassVar[bytes]
    connection: Stream

    def __init__(self, settings: Settings, tree: Tree, store: Store, client: Client) -> None:
        self.settings = settings
        self.tree = tree
        self.store = store
        self.client = client
        self.mailboxes = account.mailboxes(
            settings, tree, client.user, client.options, store.rosters
        )
        self.mailbox: Mailbox | None = None  # the selected one
        self.view: View | None = None
        self.copied: set[tuple[int, int]] = set()  # UIDVALIDITY, UID: copied by this session
        self.opened: Opened | None = None
        self.quota = Quota(
            tree.path, account=Limits.parse(client.quota), counts_trash=settings.trash_quota
        )
        self._began = time.monotonic()

    # -- what handlers use -----------------------------------------------------------------

    @property
    def selected(self) -> View:
        """The selected mailbox's view; no handler that needs one is called without."""
        assert self.view is not None
        return self.view

    def select(self, mailbox: Mailbox, view: View) -> None:
        self.mailbox, self.view = mailbox, view

    def leave(self) -> Steps:
        """Unselect the mailbox, with its index left as the next session wants to find it."""
        if self.view is not None and not self.view.folder.is_settled:
            yield Work(self.view.folder.settle)
        self.unselect()

    def unselect(self) -> None:
        self.mailbox, self.view, self.opened = None, None, None

    def keep(self, uid: int, message: Message | PartedMessage, found: os.stat_result) -> None:
        """Remember the message read last, unless it is too large to be worth its memory."""
        uidvalidity = self.selected.folder.uidvalidity
        is_large = isinstance(message, Message) and len(message.data) > _KEPT_OCTETS
        self.opened = None if is_large else Opened(uidvalidity, uid, message, found)

    def is_selected(self, found: Mailbox) -> bool:
        mailbox = self.mailbox
        if mailbox is None or mailbox.folder != found.folder:  # which mostly tells it
            return False
        return mailbox.directory == found.directory

    @property
    def is_linked(self) -> bool:
        """Tell whether the selected mailbox is read through links."""
        return self.mailbox is not None and self.mailbox.farm is not None

    @property
    def rights(self) -> str:
        """What the user may do in the selected mailbox."""
        return self.mailbox.rights if self.mailbox is not None else ""

    def quota_of(self, owner: Tree) -> Quota:
        """Give the quota of a maildir: one's own, or another account's, whose limits it keeps."""
        if owner is self.tree:
            return self.quota
        return Quota(owner.path, counts_trash=self.settings.trash_quota)

    def charged(self, folder: Folder) -> Charged:
        """Give a folder whose changes count in the quota of the account that it belongs to."""
        path, name = os.path.split(folder.path)
        if self.tree.path in (folder.path, path):
            return Charged(folder, self.quota, name[1:] if path == self.tree.path else "")
        path, name = counting.holder(folder.path)
        return Charged(folder, Quota(path, counts_trash=self.settings.trash_quota), name)

    # -- life ------------------------------------------------------------------------------

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether the client has logged out."""

    def bye(self, farewell: Farewell) -> bytes:
        """Say why the session ends."""
        return f"* BYE {farewell.text}\r\n".encode()

    @abstractmethod
    def _command(self) -> Steps:
        """Read one command, run it, say how it ended.

        Raises:
            Farewell, EndOfInput: it was the last one.
        """

    def run(self, greeting: bytes, unread: bytes = b"") -> Steps:
        """Serve the client from its greeting (or the OK of its log-in) to the end.

        Args:
            unread: what was received with the log-in and belongs to the session.
        """
        end = End.DISCONNECTED
        try:
            try:
                yield from self._prepare()
                yield from self.connection.send(greeting)
                self.connection.reader.feed(unread)
                while not self.is_over:
                    yield from self._command()
                end = End.LOGOUT
                yield from self._settle_in_thread()
            except Farewell as farewell:
                end = End.TIMEOUT if farewell.is_timeout else End.DISCONNECTED
                yield from self.connection.send(self.bye(farewell))
            except ShuttingDown:
                end = End.SIGNAL
                if not self.is_over:  # which has said BYE
                    yield from self.connection.send(self.shut_down)
            yield from self.connection.flush()
        except (ClientGone, ShuttingDown, EndOfInput):
            pass  # nobody is there, or all has been said
        except Exception as error:
            log.bug(self.client.user, "session", error)
        finally:
            self._settle(at_once=True)
            self._log_end(end)

    def _prepare(self) -> Steps:
        """Do what is due at log-in; what fails of it is no reason not to serve what can be served."""
        try:
            if upkeep.is_due(self):
                yield Work(partial(upkeep.begin, self))
        except OSError as error:
            log.error("cannot look after maildir", error.filename or self.tree.path, error)

    def _settle_in_thread(self) -> Steps:
        """Do what `_settle` does without keeping other sessions waiting."""
        if not self.store.is_settled:
            with contextlib.suppress(OSError):  # then the next session reads the directories
                yield Work(self._settle)

    def _settle(self, *, at_once: bool = False) -> None:
        """Leave the indexes of what was used as the next session wants to find them."""
        if self.view is not None:
            self.view.folder.settle(at_once=at_once)
        self.store.settle(at_once=at_once)

    def _log_end(self, end: End) -> None:
        counts = self.connection.counts
        log.end(
            end,
            self.client.user,
            self.client.peer,
            counts.headers,
            counts.body,
            counts.received,
            counts.sent,
            int(time.monotonic() - self._began),
            self.client.tls,
        )

    # -- handlers --------------------------------------------------------------------------

    def _handle(self, handling: T | Generator[Any, Any, T]) -> Generator[Request, Any, T]:
        """Run a handler: pass on what it yields, answer what it asks."""
        if not isinstance(handling, GeneratorType):
            return handling  # type: ignore[return-value]  # no handler completes with a generator
        completion: T = yield from self._carry_out(handling)
        return completion

    def _carry_out(self, handling: Generator[Any, Any, T]) -> Generator[Request, Any, T]:
        answer: Any = None
        failure: Exception | None = None
        try:
            while True:
                try:
                    step = handling.send(answer) if failure is None else handling.throw(failure)
                except StopIteration as stop:
                    completion: T = stop.value
                    return completion
                answer = failure = None
                try:
                    answer = yield from self._answer(step)
                except (OSError, FolderReset) as error:
                    failure = error
        finally:
            handling.close()

    def _answer(self, step: Any) -> Generator[Request, Any, Any]:
        """Do what a handler has yielded: octets are sent, the rest is passed on."""
        if isinstance(step, bytes):
            yield from self.connection.send(step)
            return None
        if isinstance(step, Progress):
            yield b""
            return None
        return (yield step)
