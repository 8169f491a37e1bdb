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
from dataclasses import dataclass, replace
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
from courier.process.request import (
    ClientGone,
    Receive,
    Request,
    ShuttingDown,
    Steps,
    Wake,
    Work,
)
from imapd import account, capability, mailbox, updates, upkeep
from imapd.commands import table
from imapd.completion import Bad, CommandFailed, Completion, Farewell, No, Ok, Violation
from imapd.mailboxes import Mailbox
from imapd.request import Ask, Handling, Idle, Step
from imapd.settings import Settings
from imapd.wire import parser, reader
from imapd.wire.parser import ParseError, Parser

#: Seconds without a command, and without the next octet of a literal.
INACTIVITY_S = 1800.0
LITERAL_S = 60.0
_MAX_VIOLATIONS = 10
#: Size up to which a message that was read is kept for the next FETCH.
_KEPT_OCTETS = 64 << 20
#: Seconds within which a change by others need not be looked for after an ordinary command.
_LOOK_EVERY_S = 1.0


class State(enum.Enum):
    AUTHENTICATED = enum.auto()
    SELECTED = enum.auto()
    LOGOUT = enum.auto()


@dataclass(slots=True)
class Counts:
    """Octets, for the log."""

    received: int = 0
    sent: int = 0
    headers: int = 0
    body: int = 0


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
        self.utf8 = False  # RFC 6855
        self._form = updates.PLAIN
        self.tag = b"*"  # of the command at hand: ESEARCH names it
        self.counts = Counts()
        self.announced: reader.Announced | None = None  # of the command at hand
        self.opened: Opened | None = None
        self.reader = reader.Reader()
        self._rest_is_due = False  # a literal is streamed: what follows it is not read yet
        self.quota = Quota(
            tree.path, account=Limits.parse(client.quota), counts_trash=settings.trash_quota
        )
        self._began = time.monotonic()
        self._violations = 0
        self._looked = float("-inf")
        self._rights_to_tell = False
        self._opened_read_only = False  # the selected mailbox, whatever its rights are by now

    # -- what handlers use -----------------------------------------------------------------

    @property
    def selected(self) -> View:
        """The selected mailbox's view; the command table lets no handler ask without one."""
        assert self.view is not None
        return self.view

    def select(self, mailbox: Mailbox, view: View) -> None:
        self.mailbox, self.view, self.state = mailbox, view, State.SELECTED
        self._opened_read_only = view.read_only
        self._looked = time.monotonic()

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

    def log_out(self) -> None:
        self.state = State.LOGOUT

    def capabilities(self) -> str:
        return capability.listed(self.settings, tls=self.client.tls)

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

    def recheck_rights(self) -> None:
        """Look whether the selected mailbox's access control list has changed.

        Raises:
            AccessDenied, NotFound: it may not be read any more.
        """
        if self.mailbox is None:
            return
        found = self.mailboxes.find(self.mailbox.name)
        if found is None or not found.exists:
            return  # who reads the folder will notice
        if found.rights != self.mailbox.rights:
            self.mailbox = replace(self.mailbox, rights=found.rights)
            self._rights_to_tell = True
            self.selected.read_only = self._opened_read_only or not found.may("ieswt")
        mailbox.require(self, self.mailbox, "SELECT/EXAMINE", "r")

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
                yield self._sent(greeting)
                self.reader.feed(unread)
                while self.state is not State.LOGOUT:
                    yield from self._command()
                end = End.LOGOUT
                yield from self._settle_in_thread()
            except Farewell as farewell:
                end = End.TIMEOUT if farewell.is_timeout else End.DISCONNECTED
                yield self._sent(f"* BYE {farewell.text}\r\n".encode())
            except ShuttingDown:
                end = End.SIGNAL
                if self.state is not State.LOGOUT:  # which has said BYE
                    yield self._sent(b"* BYE Courier-IMAP server shut down by signal.\r\n")
        except (ClientGone, ShuttingDown, _EndOfInput):
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

    def _sent(self, data: bytes) -> bytes:
        self.counts.sent += len(data)
        return data

    def _command(self) -> Steps:
        """Read one command, run it, tell its completion."""
        event = yield from self._event(INACTIVITY_S)
        tag = self.tag = reader.tag_of(event.text) or b"*"
        name = ""
        self.announced = event if isinstance(event, reader.Announced) else None
        try:
            if isinstance(event, reader.Overlong):
                raise CommandFailed(_TOO_LONG)
            try:
                _, name, arguments = parser.command(event.text)
                command = table.find(name, selected=self.state is State.SELECTED)
            except (ParseError, LookupError) as error:
                raise Violation from error
            arguments = yield from self._complete(arguments, command)
            if command.needs_mailbox and command.reads:
                self.recheck_rights()
            completion = yield from self._handle(command.handler(self, arguments))
            self._violations = 0
            if (yield from self._tell(command.disturbs)):
                completion = self._with_highest(completion)
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
        except (Farewell, ClientGone, ShuttingDown, _EndOfInput, GeneratorExit):
            raise
        except Exception as error:
            log.bug(self.client.user, name, error)
            raise Farewell("[ALERT] Internal error, see the server's log.") from error
        yield from self._finish_literal()
        yield self._sent(completion.line(tag))

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

    # -- input -----------------------------------------------------------------------------

    def _event(
        self, timeout_s: float
    ) -> Generator[Request, Any, reader.Line | reader.Announced | reader.Overlong]:
        while True:
            event = self._next()
            if event is not None:
                return event
            yield from self._receive(timeout_s)

    def _next(self) -> reader.Line | reader.Announced | reader.Overlong | None:
        try:
            return self.reader.next()
        except reader.StreamLost:
            raise Farewell("[ALERT] Literal too large.") from None

    def _receive(self, timeout_s: float) -> Steps:
        data = yield Receive(timeout_s)
        if data is Wake.TIMEOUT:
            raise Farewell("Disconnected for inactivity.", is_timeout=True)
        if not data:
            raise _EndOfInput
        self.counts.received += len(data)
        self.reader.feed(data)

    def _complete(
        self, arguments: Parser, command: table.Command
    ) -> Generator[Request, Any, Parser]:
        """Read the literals that are arguments, up to one that the handler will stream."""
        while self.announced is not None and not command.streams(arguments.copy()):
            announced, self.announced = self.announced, None
            if self.reader.accept():
                if announced.waits:
                    yield self._sent(b"+ OK\r\n")
            elif announced.waits:
                raise CommandFailed(_TOO_LONG)
            event = yield from self._event(LITERAL_S)
            if isinstance(event, reader.Overlong):
                raise CommandFailed(_TOO_LONG)
            if isinstance(event, reader.Announced):
                self.announced = event
            _, _, arguments = parser.command(event.text)
        return arguments

    def _finish_literal(self) -> Steps:
        """Pass over what a handler left of a literal, and of the command behind it."""
        if self.announced is not None:
            self.announced = None
            self.reader.refuse()
        if self._rest_is_due:
            while (yield from self._chunk()):
                pass
            if isinstance((yield from self._rest()), reader.Announced):
                self.announced = None
                self.reader.refuse()

    def _rest(self) -> Generator[Request, Any, reader.Line | reader.Announced | reader.Overlong]:
        event = yield from self._event(LITERAL_S)
        self._rest_is_due = False
        self.announced = event if isinstance(event, reader.Announced) else None
        return event

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
            if step:
                yield self._sent(step)
            else:
                yield step
            return None
        if step is Ask.CHUNK:
            return (yield from self._chunk())
        if step is Ask.REST:
            return (yield from self._rest())
        if isinstance(step, Idle):
            return (yield from self._idle(step))
        assert not isinstance(step, Ask)
        return (yield step)

    def _chunk(self) -> Generator[Request, Any, bytes]:
        """Give the next piece of the announced literal; the first call asks the client for it."""
        if self.announced is not None:
            if self.announced.waits:
                yield self._sent(b"+ OK\r\n")
            self.reader.stream()
            self.announced, self._rest_is_due = None, True
        while True:
            chunk = self.reader.chunk()
            if chunk is not None:
                return chunk
            yield from self._receive(LITERAL_S)

    def _idle(self, idle: Idle) -> Generator[Request, Any, bytes | Wake]:
        event = self._next()
        if event is None:
            data = yield Receive(idle.timeout_s, idle.watch)
            if isinstance(data, Wake):
                return data
            if not data:
                raise _EndOfInput
            self.counts.received += len(data)
            self.reader.feed(data)
            event = self._next()
        if event is None:
            return b""
        if isinstance(event, reader.Announced):
            self.reader.refuse()
        return event.text

    # -- updates ---------------------------------------------------------------------------

    def _tell(self, disturbs: table.Disturbs) -> Generator[Request, Any, bool]:
        """Tell what others changed, as far as this command allows (RFC 9051 7.5.1).

        Returns: whether messages are gone of which the client knew.
        """
        if self.view is None or self.state is not State.SELECTED:
            return False
        if time.monotonic() - self._looked > _LOOK_EVERY_S:
            try:
                yield from self.refresh()
            except OSError as error:  # what the command did is done, and its completion stands
                log.error("cannot read folder", self.view.folder.path, error)
            except CommandFailed:
                return False  # the right to read was taken away: there is nothing to tell any more
        if self._rights_to_tell:
            self._rights_to_tell = False
            yield self._sent(updates.rights(self.rights))
        # While more commands wait, sequence numbers in them must keep their meaning.
        expunge = disturbs is table.Disturbs.NUMBERS or (
            disturbs is table.Disturbs.NUMBERS_IF_LAST and not self.reader.unread()
        )
        update = self.view.update(expunge=expunge)
        yield self._sent(updates.text(self.view, update, self.settings, self.rights, self.form))
        return bool(update.vanished)

    def refresh(self) -> Steps:
        """Bring the selected mailbox up to date with the disk, telling nothing yet.

        Raises: as `recheck_rights`.
        """
        self.recheck_rights()
        if not self.selected.refresh_at_once():
            yield Work(self.selected.refresh)
        self._looked = time.monotonic()

    def look_again(self) -> None:
        """See to it that the mailbox is read again before the command at hand completes."""
        self._looked = float("-inf")

    def tell_all(self) -> bytes:
        """Give everything there is to tell, expunged messages too (IDLE)."""
        update = self.selected.update(expunge=True)
        return updates.text(self.selected, update, self.settings, self.rights, self.form)

    @property
    def form(self) -> updates.Form:
        """How changes are told: as the client has enabled, in a mailbox that keeps MODSEQs."""
        if self.view is not None and not self.view.folder.keeps_modseqs:
            return updates.PLAIN
        return self._form

    @property
    def enabled(self) -> updates.Form:
        """What the client has enabled (RFC 7162)."""
        return self._form

    def need_modseqs(self) -> bytes:
        """Do what `use_modseqs` does for a command that asks for the selected mailbox's.

        Raises:
            CommandFailed: it keeps none (RFC 7162 3.1.2.2).
        """
        if not self.selected.folder.keeps_modseqs:
            raise CommandFailed(Bad("This mailbox keeps no modification sequences."))
        return self.use_modseqs()

    def use_modseqs(self) -> bytes:
        """Tell MODSEQs from here on, for the client has shown that it knows them (RFC 7162 3.1).

        Returns: what it has to be told first.
        """
        if self._form.modseqs:
            return b""
        self._form = replace(self._form, modseqs=True)
        return b"" if self.view is None else updates.highest(self.view)

    def use_vanished(self) -> bytes:
        """Tell of removed messages by UID from here on (RFC 7162 3.2.3). Returns as `use_modseqs`."""
        told = self.use_modseqs()
        self._form = replace(self._form, vanished=True)
        return told

    def _with_highest(self, completion: Completion) -> Completion:
        """Say up to where the client is in step, after it was told of removed messages.

        That is an answer's duty with QRESYNC (RFC 7162 3.2.7, 3.2.9), and nobody else's.
        """
        if not self.form.vanished or not isinstance(completion, Ok) or completion.code:
            return completion
        return replace(completion, code=f"HIGHESTMODSEQ {self.selected.highest}")


_TOO_LONG = Bad("IMAP command too long.")


class _EndOfInput(Exception):
    """The client closed its end."""
