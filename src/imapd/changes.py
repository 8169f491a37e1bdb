"""Changes by others in the selected mailbox: when they are looked for, when and how they are told."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from courier import log
from courier.maildir.numberset import NumberSet
from courier.process.request import Steps, Work
from imapd import mailbox, updates
from imapd.commands.fetch import unasked
from imapd.commands.table import Disturbs
from imapd.completion import Bad, CommandFailed, Completion, Ok
from imapd.contexts import Context, Contexts
from imapd.mailboxes import Mailbox
from imapd.notify_request import DEFAULT, NOTHING, Event
from imapd.request import Step
from imapd.wire.fetch_att import FetchItem

if TYPE_CHECKING:
    from imapd.session import Session

#: Seconds within which a change by others need not be looked for after an ordinary command.
_LOOK_EVERY_S = 1.0


class Changes:
    """What a session looks for, and what its client has yet to be told."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._form = updates.PLAIN
        self._looked = float("-inf")
        self._rights_to_tell = False
        self._keeps_numbers = False  # the command at hand, whatever the table says of it
        self._opened_read_only = False  # the selected mailbox, whatever its rights are by now
        self.contexts = Contexts()
        self.wanted = DEFAULT  # of the selected mailbox, by NOTIFY
        self._own: set[int] = set()  # UIDs of new messages that are this client's own

    def begin(self) -> None:
        """Start afresh with a mailbox that was just selected."""
        view = self._session.selected
        view.tells_recent = not self._form.rev2
        self._opened_read_only = view.read_only
        self.contexts.clear()
        self._own.clear()
        self._looked = time.monotonic()

    # -- looking ---------------------------------------------------------------------------

    def refresh(self) -> Steps:
        """Bring the selected mailbox up to date with the disk, telling nothing yet.

        Raises: as `recheck_rights`.
        """
        self.recheck_rights()
        view = self._session.selected
        if not view.refresh_at_once():
            yield Work(view.refresh)
        self._looked = time.monotonic()

    def look_again(self) -> None:
        """See to it that the mailbox is read again before the command at hand completes."""
        self._looked = float("-inf")

    def recheck_rights(self) -> None:
        """Look whether the selected mailbox's access control list has changed.

        Raises:
            AccessDenied, NotFound: it may not be read any more.
        """
        session = self._session
        if session.mailbox is None:
            return
        found = session.mailboxes.now(session.mailbox)
        if found is None or not found.exists:
            return  # who reads the folder will notice
        if found.rights != session.mailbox.rights:
            session.mailbox = session.mailbox._replace(rights=found.rights)
            self._rights_to_tell = True
            session.selected.read_only = self._opened_read_only or not found.may("ieswt")
        mailbox.require(session, session.mailbox, "SELECT/EXAMINE", "r")

    # -- telling ---------------------------------------------------------------------------

    def tell(self, disturbs: Disturbs) -> Generator[Step, Any, bool]:
        """Tell what others changed, as far as this command allows (RFC 9051 7.5.1).

        Returns: whether messages are gone of which the client knew.
        """
        session, view = self._session, self._session.view
        keeps_numbers, self._keeps_numbers = self._keeps_numbers, False
        if view is None or not session.is_in_mailbox:
            return False
        if time.monotonic() - self._looked > _LOOK_EVERY_S:
            try:
                yield from self.refresh()
            except OSError as error:  # what the command did is done, and its completion stands
                log.recurring("cannot read folder", view.folder.path, error)
            except CommandFailed:
                return False  # the right to read was taken away: there is nothing to tell any more
        if self._rights_to_tell:
            self._rights_to_tell = False
            yield updates.rights(session.rights)
        # While more commands wait, sequence numbers in them must keep their meaning.
        expunge = disturbs in (Disturbs.NUMBERS, Disturbs.MESSAGES) or (
            disturbs is Disturbs.NUMBERS_IF_LAST
            and not keeps_numbers
            and not session.connection.reader.unread()
        )
        removes = disturbs is Disturbs.MESSAGES
        return (yield from self._tell(expunge=expunge, removes=removes))

    def tell_known(self) -> Generator[Step, Any, None]:
        """Tell what this process has learned of others' changes, but for removed messages.

        What is fetched or searched for behind it is as it is then, and not as it was told before.
        """
        view = self._session.view
        if view is not None and self.wanted.events and view.columns is not view.folder.columns:
            yield from self._tell(expunge=False)

    def tell_between(self) -> Generator[Step, Any, None]:
        """Tell, while no command is in progress, what NOTIFY has the client want then."""
        session = self._session
        if session.view is None or not session.is_in_mailbox or not self.wanted.is_immediate:
            return
        try:
            yield from self.refresh()
        except CommandFailed:
            return
        yield from self._tell(expunge=self.wanted.tells_expunge)

    def overflow(self) -> None:
        """Tell nothing any more, as after NOTIFY NONE (RFC 5465 5.8)."""
        self.wanted = NOTHING

    def added(self, to: Mailbox, uids: Sequence[int]) -> None:
        """Know that this client has put messages into a mailbox (RFC 5465 5, 5.2)."""
        if not self._session.is_selected(to):
            self._session.notifier.added(to.name, len(uids))
        elif self.wanted.items or self.contexts.wants_items:
            self._own.update(uids)

    def keep_numbers(self) -> None:
        """See to it that the command at hand tells of no removed message.

        A UID SEARCH that names sequence numbers must not (RFC 7162 3.2.10.2).
        """
        self._keeps_numbers = True

    def tell_all(self) -> Generator[Step, Any, bool]:
        """Tell everything there is to tell, expunged messages too (IDLE). Returns as `tell`."""
        return (yield from self._tell(expunge=True))

    def _tell(self, *, expunge: bool, removes: bool = False) -> Generator[Step, Any, bool]:
        session, view = self._session, self._session.selected
        if not self.wanted.events and not removes:
            is_behind = self.form.modseqs and view.highest < view.folder.columns.highest
            yield updates.highest(view) if is_behind else b""
            return False
        before = view.uids
        update = view.update(expunge=expunge, flags=Event.FLAGS in self.wanted.events)
        told = updates.text(view, update, session.settings, session.rights, self.form)
        found = b""
        if self.contexts and update.vanished:
            yield (yield Work(partial(self.contexts.removed, before, update)))
        yield told
        if self.contexts:
            try:
                found = yield from self.contexts.changed(view, before, update)
            except OSError as error:
                log.error("cannot search folder", view.folder.path, error)
                found = self.contexts.give_up()
        # RFC 5465 7: FETCH responses that UPDATE has asked for come before ESEARCH; 5.2: others behind.
        is_behind = self.contexts.wants_items
        yield b"" if is_behind else found
        if update.exists is not None:
            yield from self._tell_new(before[-1] if before else 0)
        yield found if is_behind else b""
        return bool(update.vanished)

    def _tell_new(self, highest: int) -> Generator[Step, Any, None]:
        """Tell what the client wants to know of new messages, those above a UID, one response each."""
        view = self._session.selected
        own, self._own = self._own, set()
        of_all = self.wanted.items
        if not of_all and not self.contexts.wants_items:
            return
        seqs: dict[tuple[FetchItem, ...], list[int]] = {}
        first = bisect_right(view.uids, highest)
        for seq, uid in enumerate(view.uids[first:], first + 1):
            if uid not in own:
                items = tuple(dict.fromkeys((*of_all, *self.contexts.items(uid))))
                seqs.setdefault(items, []).append(seq)
        for items, among in seqs.items():
            if items:
                yield from unasked(self._session, items, NumberSet.of(among))

    def begin_context(self, context: Context) -> bytes:
        """Tell of changes to what a search found from here on (RFC 5267 4.3).

        Returns: that there will be no updates, if it is one context too many (RFC 5267 4.3.1).
        """
        if not self.contexts.add(context):
            return context.refusal("Too many contexts.")
        self._session.selected.note_told(wanted=True)
        return b""

    def check_tag(self) -> None:
        """See to it that a context can have the tag of the command at hand.

        Raises:
            CommandFailed: another one has it (RFC 5267 4.3).
        """
        if self._session.tag in self.contexts:
            raise CommandFailed(Bad("Tag reuse."))

    # -- how -------------------------------------------------------------------------------

    @property
    def form(self) -> updates.Form:
        """How changes are told: as the client has enabled, in a mailbox that keeps MODSEQs."""
        view = self._session.view
        form = self._form
        if self.wanted is not DEFAULT and not form.uids:
            form = self._form = replace(form, uids=True)
        if view is not None and not view.folder.keeps_modseqs:
            return replace(form, modseqs=False, vanished=False)
        return form

    @property
    def enabled(self) -> updates.Form:
        """What the client has enabled (RFC 7162, RFC 9051, RFC 9586)."""
        return self._form

    def use_rev2(self) -> None:
        """Tell as IMAP4rev2 has it from here on."""
        self._form = replace(self._form, rev2=True)
        if self._session.view is not None:
            self._session.view.tells_recent = False

    def use_uid_only(self) -> None:
        """Tell of messages by UID alone from here on (RFC 9586)."""
        self._form = replace(self._form, uid_only=True)

    def refuse_numbers(self) -> None:
        """Refuse sequence numbers to a client that has enabled UIDONLY (RFC 9586 3).

        Raises:
            CommandFailed: it has.
        """
        if self._form.uid_only:
            text = "Message numbers are not allowed once UIDONLY is enabled."
            raise CommandFailed(Bad(text, "UIDREQUIRED"))

    def need_modseqs(self) -> bytes:
        """Do what `use_modseqs` does for a command that asks for the selected mailbox's.

        Raises:
            CommandFailed: it keeps none (RFC 7162 3.1.2.2).
        """
        if not self._session.selected.folder.keeps_modseqs:
            raise CommandFailed(Bad("This mailbox keeps no modification sequences."))
        return self.use_modseqs()

    def use_modseqs(self) -> bytes:
        """Tell MODSEQs from here on, for the client has shown that it knows them (RFC 7162 3.1).

        Returns: what it has to be told first.
        """
        if self._form.modseqs:
            return b""
        self._form = replace(self._form, modseqs=True)
        view = self._session.view
        return b"" if view is None else updates.highest(view)

    def use_vanished(self) -> bytes:
        """Tell of removed messages by UID from here on (RFC 7162 3.2.3). Returns as `use_modseqs`."""
        told = self.use_modseqs()
        self._form = replace(self._form, vanished=True)
        return told

    def with_highest(self, completion: Completion) -> Completion:
        """Say up to where the client is in step, after it was told of removed messages.

        That is an answer's duty with QRESYNC (RFC 7162 3.2.7, 3.2.9), and nobody else's.
        """
        if not self.form.vanished or not isinstance(completion, Ok) or completion.code:
            return completion
        return replace(completion, code=f"HIGHESTMODSEQ {self._session.selected.highest}")
