"""The session: from log-in to LOGOUT. Reads commands, runs their handlers, tells updates.

One generator, `Session.run`, is the whole of a session's life; a driver answers what it asks
(`courier.process.request`). Only this module assigns `state`.
"""

from __future__ import annotations

import contextlib
import enum
import os
import time
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from types import GeneratorType
from typing import Any

from courier import log
from courier.log import End, Peer
from courier.maildir import counting
from courier.maildir.charged import Charged
from courier.maildir.folder import Folder, FolderGone
from courier.maildir.quota import Limits, Quota
from courier.maildir.store import Store
from courier.maildir.tree import Tree
from courier.maildir.view import FolderReset, View
from courier.message.message import Message
from courier.message.parted import PartedMessage
from courier.process.request import ClientGone, Request, ShuttingDown, Steps, Work
from imapd import account, capability, upkeep
from imapd.changes import Changes
from imapd.commands import table
from imapd.completion import CommandFailed, Completion, Farewell, No, Violation
from imapd.connection import TOO_LONG, Connection, EndOfInput
from imapd.mailboxes import Mailbox
from imapd.request import Ask, Handling, Idle, Step
from imapd.settings import Settings
from imapd.wire import parser, reader
from imapd.wire.parser import ParseError

_MAX_VIOLATIONS = 10
#: Size up to which a message that was read is kept for the next FETCH.
_KEPT_OCTETS = 64 << 20


class State(enum.Enum):
    AUTHENTICATED = enum.auto()
    SELECTED = enum.auto()
    LOGOUT = enum.auto()


@dataclass(frozen=True, slots=True)
class Client:
    """Who is at the other end."""

    user: str
    peer: Peer
    tls: bool = False
    options: str | None = None  # the account's, as authentication gave them
    quota: str = ""  # the account's, as authentication returned it


@dataclass(frozen=True, slots=True)
class Opened:
    """The message read last, which a client may be fetching in pieces."""

    uidvalidity: int
    uid: int
    message: Message | PartedMessage
    found: os.stat_result


class Session:
    """One client's session on one account."""

    def __init__(self, settings: Settings, tree: Tree, store: Store, client: Client) -> None:
        self.settings = settings
        self.tree = tree
        self.store = store
        self.client = client
        self.state = State.AUTHENTICATED
        self.mailboxes = account.mailboxes(settings, tree, client.user, client.options)
        self.mailbox: Mailbox | None = None  # the selected one
        self.view: View | None = None
        self.copied: set[tuple[int, int]] = set()  # UIDVALIDITY, UID: copied by this session
        self.utf8 = False  # mailbox names and quoted strings are UTF-8 (RFC 6855, RFC 9051 5.1)
        self.accepts_utf8 = False  # UTF8=ACCEPT is enabled (RFC 6855)
        self.tag = b"*"  # of the command at hand: ESEARCH names it
        self.connection = Connection(
            limits_literals=capability.limits_literals(settings, tls=client.tls)
        )
        self.counts = self.connection.counts
        self.changes = Changes(self)
        self.opened: Opened | None = None
        self.quota = Quota(
            tree.path, account=Limits.parse(client.quota), counts_trash=settings.trash_quota
        )
        self._began = time.monotonic()
        self._violations = 0

    # -- what handlers use -----------------------------------------------------------------

    @property
    def selected(self) -> View:
        """The selected mailbox's view; the command table lets no handler ask without one."""
        assert self.view is not None
        return self.view

    def select(self, mailbox: Mailbox, view: View) -> None:
        self.mailbox, self.view, self.state = mailbox, view, State.SELECTED
        self.changes.begin()

    def leave(self) -> Steps:
        """Unselect the mailbox, with its index left as the next session wants to find it."""
        if self.view is not None and not self.view.folder.is_settled:
            yield Work(self.view.folder.settle)
        self.unselect()

    def unselect(self) -> None:
        self.mailbox, self.view, self.opened = None, None, None
        if self.state is State.SELECTED:
            self.state = State.AUTHENTICATED

    def keep(self, uid: int, message: Message | PartedMessage, found: os.stat_result) -> None:
        """Remember the message read last, unless it is too large to be worth its memory."""
        uidvalidity = self.selected.folder.uidvalidity
        is_large = isinstance(message, Message) and len(message.data) > _KEPT_OCTETS
        self.opened = None if is_large else Opened(uidvalidity, uid, message, found)

    @property
    def rev2(self) -> bool:
        """Whether the client has enabled IMAP4rev2 (RFC 9051 appendix A)."""
        return self.changes.enabled.rev2

    def use_rev2(self) -> None:
        """Speak IMAP4rev2 from here on."""
        self.utf8 = True
        self.changes.use_rev2()

    def use_utf8(self) -> None:
        """Speak UTF-8 from here on (RFC 6855 3)."""
        self.utf8 = self.accepts_utf8 = True

    def log_out(self) -> None:
        self.state = State.LOGOUT

    def capabilities(self) -> str:
        return capability.listed(self.settings, tls=self.client.tls)

    @property
    def is_in_mailbox(self) -> bool:
        return self.state is State.SELECTED

    def is_selected(self, found: Mailbox) -> bool:
        return self.mailbox is not None and self.mailbox.directory == found.directory

    @property
    def is_linked(self) -> bool:
        """Tell whether the selected mailbox is read through links."""
        return self.mailbox is not None and self.mailbox.farm is not None

    @property
    def rights(self) -> str:
        """What the user may do in the selected mailbox."""
        return self.mailbox.rights if self.mailbox is not None else ""

    def over_quota(self) -> Completion:
        """Say that there is no room in the account for what the command was to add."""
        # Courier: ALERT. RFC 9208 4.3.3 has a code of its own, and a response only one.
        code = "OVERQUOTA" if self.settings.extensions else "ALERT"
        return No("You exceeded your mail quota.", code)

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
                while self.state is not State.LOGOUT:
                    yield from self._command()
                end = End.LOGOUT
                yield from self._settle_in_thread()
            except Farewell as farewell:
                end = End.TIMEOUT if farewell.is_timeout else End.DISCONNECTED
                yield from self.connection.send(f"* BYE {farewell.text}\r\n".encode())
            except ShuttingDown:
                end = End.SIGNAL
                if self.state is not State.LOGOUT:  # which has said BYE
                    yield from self.connection.send(
                        b"* BYE Courier-IMAP server shut down by signal.\r\n"
                    )
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
        log.end(
            end,
            self.client.user,
            self.client.peer,
            self.counts.headers,
            self.counts.body,
            self.counts.received,
            self.counts.sent,
            int(time.monotonic() - self._began),
            self.client.tls,
        )

    def _command(self) -> Steps:
        """Read one command, run it, tell its completion."""
        event = yield from self.connection.command()
        tag = self.tag = reader.tag_of(event.text) or b"*"
        name = ""
        try:
            if isinstance(event, reader.Overlong):
                raise CommandFailed(TOO_LONG)
            try:
                _, name, arguments = parser.command(event.text)
                command = table.find(name, selected=self.is_in_mailbox)
            except (ParseError, LookupError) as error:
                raise Violation from error
            arguments = yield from self.connection.complete(arguments, command)
            if command.needs_mailbox and command.reads:
                self.changes.recheck_rights()
            completion = yield from self._handle(command.handler(self, arguments))
            self._violations = 0
            if (yield from self.changes.tell(command.disturbs)):
                completion = self.changes.with_highest(completion)
        except CommandFailed as failure:
            completion = failure.completion
            if isinstance(failure, Violation):
                self._count_violation()
            else:
                self._violations = 0
        except ParseError:
            completion = Violation().completion
            self._count_violation()
        except OSError as error:
            log.error(f"{name} failed", error.filename or self.tree.path, error)
            completion = No(f"{name} failed: {error.strerror or 'system error'}")
            self._end_if_folder_is_gone()
        except FolderReset:
            raise Farewell("[ALERT] Another program renumbered this mailbox.") from None
        except (Farewell, ClientGone, ShuttingDown, EndOfInput, GeneratorExit):
            raise
        except Exception as error:
            log.bug(self.client.user, name, error)
            raise Farewell("[ALERT] Internal error, see the server's log.") from error
        yield from self.connection.finish_literal()
        yield from self.connection.send(completion.line(tag))

    def _end_if_folder_is_gone(self) -> None:
        """A mailbox that another program removed can't stay selected (RFC 2180 3.3)."""
        if self.view is None:
            return
        try:
            self.view.refresh()
        except FolderGone:
            raise Farewell("The selected mailbox was removed.") from None
        except OSError:
            return

    def _count_violation(self) -> None:
        self._violations += 1
        if self._violations >= _MAX_VIOLATIONS:
            raise Farewell("[ALERT] Fatal error: TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS: ")

    # -- handlers --------------------------------------------------------------------------

    def _handle(self, handling: Completion | Handling) -> Generator[Request, Any, Completion]:
        """Run a handler: pass on what it yields, answer what it asks."""
        if not isinstance(handling, GeneratorType):
            assert isinstance(handling, Completion)
            return handling
        answer: Any = None
        failure: Exception | None = None
        try:
            while True:
                try:
                    step = handling.send(answer) if failure is None else handling.throw(failure)
                except StopIteration as stop:
                    completion: Completion = stop.value
                    return completion
                answer = failure = None
                try:
                    answer = yield from self._answer(step)
                except (OSError, FolderReset) as error:
                    failure = error
        finally:
            handling.close()

    def _answer(self, step: Step) -> Generator[Request, Any, Any]:
        if isinstance(step, bytes):
            yield from self.connection.send(step)
            return None
        if step is Ask.CHUNK:
            return (yield from self.connection.chunk())
        if step is Ask.REST:
            return (yield from self.connection.rest())
        if step is Ask.ARGUMENT:
            return (yield from self.connection.argument())
        if isinstance(step, Idle):
            return (yield from self.connection.idle(step))
        assert not isinstance(step, Ask)
        return (yield step)
