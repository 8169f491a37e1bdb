"""The session: from log-in to LOGOUT. Reads commands, runs their handlers, tells updates.

One generator, `Session.run`, is the whole of a session's life; a driver answers what it asks
(`courier.process.request`). Only this module assigns `state`.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Generator
from typing import Any

from courier import log
from courier.maildir.folder import FolderGone
from courier.maildir.store import Store
from courier.maildir.tree import Tree
from courier.maildir.view import FolderReset, View
from courier.process.request import ClientGone, GiveBack, Request, ShuttingDown, Steps, Wake, Work
from imapd import capability, message_limit, transcript
from imapd.account_session import AccountSession, Client
from imapd.changes import Changes
from imapd.commands import table
from imapd.commands.table import Disturbs
from imapd.completion import CommandFailed, Completion, Farewell, No, Violation, code_of
from imapd.connection import (
    INACTIVITY_S,
    TOO_LONG,
    Connection,
    EndOfInput,
    Event,
    LiteralTooLong,
)
from imapd.mailboxes import Mailbox
from imapd.notifier import Notifier
from imapd.progress import Notices
from imapd.request import Ask, Idle, Look, Progress, Step
from imapd.settings import Settings
from imapd.wire import parser, reader
from imapd.wire.parser import ParseError

_MAX_VIOLATIONS = 10
_RENUMBERED = "[ALERT] Another program renumbered this mailbox."


class State(enum.Enum):
    AUTHENTICATED = enum.auto()
    SELECTED = enum.auto()
    LOGOUT = enum.auto()
    UNAUTHENTICATED = enum.auto()  # the client goes back to its log-in


class Session(AccountSession):
    """A session that speaks IMAP."""

    shut_down = b"* BYE Courier-IMAP server shut down by signal.\r\n"

    def __init__(self, settings: Settings, tree: Tree, store: Store, client: Client) -> None:
        super().__init__(settings, tree, store, client)
        self.state = State.AUTHENTICATED
        self.utf8 = False  # mailbox names and quoted strings are UTF-8 (RFC 6855, RFC 9051 5.1)
        self.accepts_utf8 = False  # UTF8=ACCEPT is enabled (RFC 6855)
        self.tag = b"*"  # of the command at hand: ESEARCH names it
        self.connection: Connection = Connection(
            limits_literals=capability.limits_literals(settings, tls=client.tls),
            may_return=client.may_return,
        )
        self.connection.transcript = transcript.opened(settings.debug_file, tree.path)
        self.counts = self.connection.counts
        self.message_limit = message_limit.of(settings)
        self.changes = Changes(self)
        self.notices = Notices(wanted=settings.extensions)
        self.notifier = Notifier(self)
        self._violations = 0
        self._unused = b""  # what the client sent and the session has nothing to do with

    # -- what handlers use -----------------------------------------------------------------

    def select(self, mailbox: Mailbox, view: View) -> None:
        super().select(mailbox, view)
        self.state = State.SELECTED
        self.changes.begin()

    def unselect(self) -> None:
        if self.mailbox is not None and self.view is not None:
            self.notifier.left(self.mailbox, self.view)
        super().unselect()
        self.changes.contexts.clear()
        if self.state is State.SELECTED:
            self.state = State.AUTHENTICATED

    @property
    def has_rev2(self) -> bool:
        """Whether IMAP4rev2 may be enabled."""
        return capability.has_rev2(self.settings, tls=self.client.tls)

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

    def run(self, greeting: bytes, unread: bytes = b"") -> Steps:
        try:
            yield from super().run(greeting, unread)
        finally:
            self.notifier.end()
            # They know the session. Without them it goes at once, and what it held of its folder, not
            # when Python next looks for garbage.
            del self.changes, self.notifier
        if self.state is State.UNAUTHENTICATED:
            yield GiveBack(self._unused)

    def log_out(self) -> None:
        self.state = State.LOGOUT

    @property
    def is_over(self) -> bool:
        return self.state in (State.LOGOUT, State.UNAUTHENTICATED)

    def capabilities(self) -> str:
        return capability.listed(
            self.settings, tls=self.client.tls, may_return=self.client.may_return
        )

    @property
    def is_in_mailbox(self) -> bool:
        return self.state is State.SELECTED

    def over_quota(self) -> Completion:
        """Say that there is no room in the account for what the command was to add."""
        # Courier: ALERT. RFC 9208 4.3.3 has a code of its own, and a response only one.
        code = "OVERQUOTA" if self.settings.extensions else "ALERT"
        return No("You exceeded your mail quota.", code)

    def not_stored(self, text: str, error: OSError) -> Completion:
        """Say that a message could not be stored, and why if there is a code for it. Courier: ALERT."""
        return No(text, (self.settings.extensions and code_of(error)) or "ALERT")

    # -- commands --------------------------------------------------------------------------

    def _command(self) -> Steps:
        """Read one command, run it, tell its completion."""
        event = yield from self._event()
        tag = self.tag = reader.tag_of(event.text) or b"*"
        self.notices.begin(tag)
        self.message_limit.begin()
        name = ""
        leaves = False
        try:
            if isinstance(event, reader.Overlong):
                raise CommandFailed(TOO_LONG)
            try:
                _, name, arguments = parser.command(event.text)
                command = table.find(
                    name, selected=self.is_in_mailbox, may_return=self.client.may_return
                )
            except (ParseError, LookupError) as error:
                raise Violation from error
            if command.by_number:
                self.changes.refuse_numbers()
            try:
                arguments = yield from self.connection.complete(arguments, command)
            except LiteralTooLong as error:
                if command.too_long is None:
                    raise
                raise CommandFailed(command.too_long(self)) from error
            if command.needs_mailbox and command.reads:
                self.changes.recheck_rights()
            completion = yield from self._handle(command.handler(self, arguments))
            self._violations = 0
            if (yield from self._carry_out(self._tell(command.disturbs))):
                completion = self.changes.with_highest(completion)
            left_out, completion = self.message_limit.told(completion)
            if left_out:
                yield from self.connection.send(left_out)
            leaves = command.leaves
        except CommandFailed as failure:
            completion = failure.completion
            # Courier counts wrong arguments, too, which say nothing against the client's being one.
            known = table.is_known(name, may_return=self.client.may_return)
            if isinstance(failure, Violation) and not known:
                self._count_violation()
            else:
                self._violations = 0
        except ParseError:
            completion = Violation().completion
            self._violations = 0
        except OSError as error:
            log.error(f"{name} failed", error.filename or self.tree.path, error)
            completion = No(f"{name} failed: {error.strerror or 'system error'}", code_of(error))
            self._end_if_folder_is_gone()
        except FolderReset:
            raise Farewell(_RENUMBERED) from None
        except (Farewell, ClientGone, ShuttingDown, EndOfInput, GeneratorExit):
            raise
        except Exception as error:
            log.bug(self.client.user, name, error)
            raise Farewell("[ALERT] Internal error, see the server's log.") from error
        yield from self.connection.finish_literal()
        if leaves:
            yield from self._leave(completion.line(tag))
        else:
            yield from self.connection.send(completion.line(tag))

    def _leave(self, line: bytes) -> Steps:
        """Say the last word; what is said and heard behind it is not the session's (RFC 8437 3)."""
        yield from self.connection.send_last(line)
        self._unused = yield from self.connection.behind_last()
        self.state = State.UNAUTHENTICATED

    def _event(self) -> Generator[Request, Any, Event]:
        """Await a command; tell meanwhile what NOTIFY has the client want."""
        left_s = INACTIVITY_S
        deadline = time.monotonic() + left_s
        while True:
            watch = self.notifier.watch()
            timeout_s = min(left_s, self.notifier.timeout_s())
            event = yield from self.connection.command(timeout_s, watch)
            if not isinstance(event, Wake):
                return event
            left_s = deadline - time.monotonic()
            if left_s <= 0 or (event is Wake.TIMEOUT and not self.notifier.is_active):
                raise Farewell("Disconnected for inactivity.", is_timeout=True)
            self.notices.begin(b"*")
            try:
                yield from self._carry_out(self._tell_between())
            except OSError as error:
                log.recurring("cannot notify", error.filename or self.tree.path, error)
                self._end_if_folder_is_gone()
            except FolderReset:
                raise Farewell(_RENUMBERED) from None

    def _tell_between(self) -> Generator[Step, Any, None]:
        if (yield from self.notifier.tell()):
            yield from self.changes.tell_between()

    def _tell(self, disturbs: Disturbs) -> Generator[Step, Any, bool]:
        """Tell what others changed, before a command completes. Returns as `Changes.tell`."""
        watch = self.notifier.watch() if disturbs is not Disturbs.NOTHING else None
        if watch is not None:
            yield Look(watch)
            if (yield from self.notifier.tell()):
                self.changes.look_again()
        return (yield from self.changes.tell(disturbs))

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

    def _answer(self, step: Step) -> Generator[Request, Any, Any]:
        if isinstance(step, bytes):
            self.notices.sent(step)
            yield from self.connection.send(step)
            return None
        if isinstance(step, Work | Progress):
            notice = self.notices.due(step)
            if notice:
                yield from self.connection.send(notice)
                yield from self.connection.flush()
            return (yield from super()._answer(step))
        answer = yield from self._wait(step)
        self.notices.waited()
        return answer

    def _wait(self, step: Step) -> Generator[Request, Any, Any]:
        """Wait for the client, in the middle of a command."""
        if step is Ask.CHUNK:
            return (yield from self.connection.chunk())
        if step is Ask.REST:
            return (yield from self.connection.rest())
        if step is Ask.ARGUMENT:
            return (yield from self.connection.argument())
        if isinstance(step, Look):
            return (yield from self.connection.look(step.watch))
        if isinstance(step, Idle):
            return (yield from self.connection.idle(step))
        return (yield from super()._answer(step))
