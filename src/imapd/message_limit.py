"""MESSAGELIMIT and SAVELIMIT: how many messages one command may deal with. RFC 9738.

Of the RFC no more than the abstract was at hand. The rules are taken from what its authors said of a draft, from
three other servers, from clients, and from what these say of its sections:

- Three or more agree: FETCH, STORE, SEARCH, MOVE and UID EXPUNGE deal with the messages of the highest UIDs, and the
  tagged OK tells the lowest of these. COPY and APPEND, which are all or nothing, do nothing instead (3.1). UIDAFTER
  and UIDBEFORE leave the UID itself out (3.2). ``$`` gets what was found among those that were searched (3.4).
- Two: EXPUNGE and CLOSE have no limit; UID EXPUNGE counts messages with ``\\Deleted``; a wider PARTIAL of FETCH is
  refused; an untagged NO has the code where the OK needs another one (3.1).
- One, and another one differs: responses go from the highest UID down; SEARCH counts what is searched, not what is
  found (3.1); SORT is refused, as THREAD is (3.3).
- One has CHANGEDSINCE choose before messages are counted. Nobody says anything of the rest: UPDATE tells of messages
  down to the lowest that was searched; the ESEARCH command, of which a UID alone would not say in which mailbox, and
  REPLACE have no limit.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from courier.maildir.numberset import NumberSet
from courier.maildir.view import View
from courier.process.request import Work
from imapd import leaves, mailbox
from imapd.completion import CommandFailed, Completion, No, Ok
from imapd.criterion import All, Criterion, Rows
from imapd.request import Step
from imapd.result import Wanted
from imapd.settings import Settings
from imapd.wire.parser import PartialRange


class MessageLimit:
    """A session's limits, and how far down the command at hand has got."""

    def __init__(self, messages: int, saved: int = 0) -> None:
        """``messages``: what one command deals with. ``saved``: what COPY and APPEND do. 0: no limit."""
        self._messages = messages
        self._saved = messages or saved
        self._lowest = 0  # UID of the last message that the command at hand deals with; 0: of all

    def begin(self) -> None:
        """Start afresh with a command."""
        self._lowest = 0

    @property
    def is_exceeded(self) -> bool:
        """Whether the command at hand leaves messages out: then it goes from the highest UID down."""
        return self._lowest > 0

    def told(self, completion: Completion) -> tuple[bytes, Completion]:
        """Give an untagged response to come first, and the completion: one of them says what was left out.

        A NO says for itself that not all was done.
        """
        if not self._lowest or not isinstance(completion, Ok):
            return b"", completion
        code = _code(self._messages, self._lowest)
        if not completion.code:
            return b"", replace(completion, code=code)
        untagged = No("There are more messages than one command may deal with.", code)
        return untagged.line(b"*"), completion

    # -- commands that deal with a part -----------------------------------------------------

    def newest(self, view: View, seqs: NumberSet) -> NumberSet:
        """Give those messages that the command at hand may deal with."""
        if not self._messages or len(seqs) <= self._messages:
            return seqs
        chosen = _last(seqs, self._messages)
        self._lowest = _lowest(view, chosen)
        return chosen

    def newest_uids(self, uids: Sequence[int]) -> Sequence[int]:
        """Give those UIDs, of ascending ones, that the command at hand may deal with."""
        if not self._messages or len(uids) <= self._messages:
            return uids
        self._lowest = uids[-self._messages]
        return uids[-self._messages :]

    def in_order(self, seqs: NumberSet) -> Iterator[int]:
        """Give sequence numbers in the order in which the command at hand has to deal with them."""
        found = mailbox.sequence_numbers(seqs)
        return reversed([*found]) if self.is_exceeded else found

    def searched(self, criterion: Criterion, view: View) -> Generator[Step, Any, Criterion]:
        """Give what to search for: the same, among the newest messages if there are too many to be searched."""
        lowest = yield from self._lowest_of(criterion, view)
        if not lowest:
            return criterion
        self._lowest = lowest
        return All((leaves.after(lowest - 1), criterion))

    def _lowest_of(self, criterion: Criterion, view: View) -> Generator[Step, Any, int]:
        """Give the UID of the last message that may be searched, from the highest down; 0 if all may be."""
        if not self._messages or len(view.uids) <= self._messages:
            return 0
        lowest: int = yield Work(partial(_lowest_searched, criterion, view, self._messages))
        return lowest

    # -- commands that do all or nothing ----------------------------------------------------

    def check_sorted(
        self, criterion: Criterion, view: View, wanted: Wanted | None = None
    ) -> Generator[Step, Any, None]:
        """See that all that has to be searched for SORT or THREAD may be.

        Raises:
            CommandFailed: it may not.
        """
        if not (yield from self._lowest_of(criterion, view)):
            return
        if wanted is not None and wanted.saves:
            view.saved = NumberSet()  # RFC 5182 2.1
        raise CommandFailed(No("Too many messages to be sorted.", _code(self._messages)))

    def check_page(self, page: PartialRange) -> None:
        """See that FETCH may deal with so many messages as PARTIAL names, whether there are so many or not.

        Raises:
            CommandFailed: it may not.
        """
        if 0 < self._messages <= abs(page.last - page.first):
            raise CommandFailed(No("Too many messages in a page.", _code(self._messages)))

    def check_copied(self, view: View, seqs: NumberSet) -> None:
        """See that COPY may deal with so many messages.

        Raises:
            CommandFailed: it may not.
        """
        if not self._saved or len(seqs) <= self._saved:
            return
        code = _code(self._saved, _lowest(view, _last(seqs, self._saved)))
        raise CommandFailed(No("Too many messages to be copied at once.", code))

    def check_appended(self, count: int) -> None:
        """See that APPEND may take so many messages.

        Raises:
            CommandFailed: it may not.
        """
        if 0 < self._saved < count:
            code = _code(self._saved)
            raise CommandFailed(No("Too many messages to be appended at once.", code))


def _code(limit: int, uid: int = 0) -> str:
    return f"MESSAGELIMIT {limit} {uid}" if uid else f"MESSAGELIMIT {limit}"


def _last(seqs: NumberSet, count: int) -> NumberSet:
    return seqs.places(len(seqs) - count + 1, len(seqs))


def _lowest(view: View, seqs: NumberSet) -> int:
    """Give the lowest UID of some messages."""
    return view.uids[next(mailbox.sequence_numbers(seqs)) - 1]


def _lowest_searched(criterion: Criterion, view: View, count: int) -> int:
    """Find the UID of the last of so many messages to be searched, from the highest down; 0: there are no more."""
    rows = Rows(view, 0, len(view.uids))
    octets = rows.octets(criterion.scope(rows))
    if octets.count(1) <= count:
        return 0
    place = bisect_right(range(len(octets)), -count, key=lambda at: -octets.count(1, at)) - 1
    return view.uids[place]


def of(settings: Settings) -> MessageLimit:
    """Give the limits that clients are told of; there are no others."""
    if not settings.extensions:
        return MessageLimit(0)
    return MessageLimit(settings.message_limit, settings.save_limit)
