"""MailboxMetadataChange and ServerMetadataChange: METADATA responses (RFC 5465 5.6, 5.7)."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from courier.process.request import Work
from imapd import annotation, observed
from imapd.commands.metadata import entries_line
from imapd.mailboxes import Space
from imapd.notify_request import Event, NotifyRequest
from imapd.observed import Observed
from imapd.request import Step

if TYPE_CHECKING:
    from imapd.session import Session

#: Mailboxes that are looked at before others get their turn.
_SLICE = 50


class AnnotationEvents:
    """What one client has been told of annotations."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._server: dict[str, int] = {}  # hashes of values by entry
        self.own: set[tuple[str, str]] = set()  # mailbox and entry, changed by this client

    def begin(self) -> Generator[Step, Any, None]:
        """Learn which annotations the server has, to compare with later."""
        self._server = yield Work(self._read_server)

    def first(self, mailboxes: Iterable[Observed]) -> Generator[Step, Any, None]:
        """Learn which annotations mailboxes have."""
        noted = [one for one in mailboxes if one.watches_annotations and not one.annotations]
        if not noted:
            return
        uses = yield Work(partial(observed.uses, self._session))
        rest = iter(noted)
        while slice_ := list(islice(rest, _SLICE)):
            values = yield Work(partial(observed.annotated, self._session, slice_, uses))
            for one in slice_:
                one.annotations = values.get(one.mailbox.name, {})

    def changed(self, mailboxes: Iterable[Observed]) -> Generator[Step, Any, None]:
        """Tell which entries of these mailboxes have changed."""
        yield from self._tell([one for one in mailboxes if one.watches_annotations])

    def of_account(
        self, request: NotifyRequest, mailboxes: Iterable[Observed]
    ) -> Generator[Step, Any, None]:
        """Tell what has changed in the account's own file: the server's, and of others' mailboxes."""
        if request.tells_server:
            before, self._server = self._server, (yield Work(self._read_server))
            yield self._line("", observed.changed(before, self._server))
        if request.wants(Event.ANNOTATIONS):
            others = (one for one in mailboxes if one.mailbox.space is not Space.PERSONAL)
            yield from self._tell([one for one in others if one.watches_annotations])

    def _tell(self, mailboxes: Collection[Observed]) -> Generator[Step, Any, None]:
        if not mailboxes:
            return
        uses = yield Work(partial(observed.uses, self._session))
        values = yield Work(partial(observed.annotated, self._session, mailboxes, uses))
        for one in mailboxes:
            before, one.annotations = one.annotations, values.get(one.mailbox.name, {})
            yield self._line(one.mailbox.name, observed.changed(before, one.annotations))

    def _line(self, name: str, entries: Iterable[str]) -> bytes:
        others = [entry for entry in entries if (name, entry) not in self.own]
        return entries_line(self._session, name, others) if others else b""

    def _read_server(self) -> dict[str, int]:
        return observed.hashes(annotation.read(self._session, None))
