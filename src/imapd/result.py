"""What a search found, as a client asked to be told: SEARCH and ESEARCH (RFC 9051 6.4.4, 7.3.4).

RFC 4731, RFC 7162 3.1.5, RFC 9394 and, for results in another order than the mailbox's, RFC 5267 3.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, islice

from courier.maildir.numberset import NumberSet, runs
from courier.maildir.view import View
from courier.process.request import Unfinished
from imapd.wire.fetch_att import FetchItem, fetch_items
from imapd.wire.parser import Parser, PartialRange

_OPTIONS = frozenset(("MIN", "MAX", "ALL", "COUNT", "SAVE", "PARTIAL", "UPDATE", "CONTEXT"))
#: Numbers that are written at once.
_PIECE = 10_000
#: Messages that are looked through at once.
_RUN = 65_536
#: Octets of a response above which a piece of it is sent.
_SIZE = 65_536


@dataclass(frozen=True, slots=True)
class Wanted:
    """Result options. Without any a client gets the untagged SEARCH or SORT of old."""

    options: frozenset[str] = frozenset()
    partial: PartialRange | None = None
    items: tuple[FetchItem, ...] = ()  # UPDATE's: of each new message that matches (RFC 5465 7)

    @property
    def saves(self) -> bool:
        return "SAVE" in self.options

    @property
    def updates(self) -> bool:
        """Tell whether the client is to hear of changes to the results (RFC 5267 4.3)."""
        return "UPDATE" in self.options

    @property
    def enough(self) -> int:
        """Tell how many results matter, the first ones, or if negative the last ones; 0: all."""
        if self.partial is None or self.options - {"PARTIAL", "SAVE"}:
            return 0
        return max(self.partial.first, self.partial.last, key=abs)

    def told(self, results: Sequence[int]) -> Sequence[int] | None:
        """Give the results that are told one by one; None if all are, or their number is.

        They are what ``$`` becomes (RFC 5182 2.4, RFC 9394 3.2), and what MODSEQ is of (RFC 4731 3.2).
        """
        if self.options & {"ALL", "COUNT"} or not self.options & {"MIN", "MAX", "PARTIAL"}:
            return None
        found = [*self.partial.of(results)] if self.partial is not None else []
        ends = {"MIN": results[:1], "MAX": results[-1:]}
        return [*found, *(one for end in self.options & ends.keys() for one in ends[end])]


#: What a client of IMAP4rev2 gets if it says nothing (RFC 9051 6.4.4).
ALL = Wanted(frozenset(("ALL",)))


def wanted(arguments: Parser) -> Wanted | None:
    """Read ``[SP "RETURN" SP "(" [search-return-opt *(SP …)] ")"]``.

    Returns: None if the client asks for no extended result.

    Raises:
        ParseError: an option that is not known, or not how they are written.
    """
    if arguments.peek_word() != "RETURN":
        return None
    arguments.word()
    arguments.sp()
    partials: list[PartialRange] = []
    items: list[FetchItem] = []

    def option() -> str:
        word = arguments.word()
        if word not in _OPTIONS:
            raise arguments.fail("search-return-opt")
        if word == "PARTIAL":
            arguments.sp()
            partials.append(arguments.partial_range())
        if word == "UPDATE" and arguments.at(b" ("):
            arguments.sp()
            items.extend(fetch_items(arguments))
        return word

    options = frozenset(arguments.parenthesised(option, empty=True))
    if len(partials) + ("ALL" in options) > 1:  # RFC 9394 3.1
        raise arguments.fail("search-return-opt")
    arguments.sp()
    options -= {"CONTEXT"}  # a hint to keep what is kept anyway (RFC 5267 4.2)
    if not options:
        return ALL
    return Wanted(options, partials[0] if partials else None, tuple(items))


def numbers(view: View, found: bytes, *, by_uid: bool) -> array[int]:
    """Give sequence numbers or UIDs of what was found, ascending.

    Args:
        found: an octet for each message, 1 if it was.
    """
    source = view.uids if by_uid else range(1, len(found) + 1)
    chosen = array("I")
    for start in range(0, len(found), _RUN):
        stop = start + _RUN
        chosen.extend(compress(source[start:stop], found[start:stop]))
    return chosen


def listed(name: bytes, results: Iterable[int], modseq: int = 0) -> Iterator[bytes]:
    """Write ``* name`` and numbers, in pieces; then the MODSEQ unless it is 0."""
    return pieces(_listed(name, results, modseq))


def _listed(name: bytes, results: Iterable[int], modseq: int) -> Iterator[bytes]:
    yield b"* " + name
    rest = iter(results)
    while piece := tuple(islice(rest, _PIECE)):
        yield b" %d" * len(piece) % piece
    yield b" (MODSEQ %d)\r\n" % modseq if modseq else b"\r\n"


def correlator(tag: bytes) -> bytes:
    """Write what tells the response to one command from that to another (RFC 4466 2.6.2)."""
    return b'TAG "%b"' % tag


def extended(
    correlator: bytes, options: Wanted, results: Sequence[int], modseq: int = 0, *, by_uid: bool
) -> Iterator[bytes]:
    """Write an ESEARCH response, in pieces; nothing if the client wants no more than SAVE.

    Args:
        correlator: see there.
        results: sequence numbers or UIDs in the order that was asked for.
        modseq: the highest of the messages that are told; 0 if it is not asked for.
    """
    return pieces(_extended(correlator, options, results, modseq, by_uid=by_uid))


def _extended(
    correlator: bytes, wanted: Wanted, results: Sequence[int], modseq: int, *, by_uid: bool
) -> Iterator[bytes]:
    told = wanted.options - {"SAVE"}
    if not told:
        return
    uid = b" UID" if by_uid else b""
    yield b"* ESEARCH (" + correlator + b")" + uid
    if results:  # RFC 4731 3.1: of nothing there is no MIN, no MAX and no ALL
        if "MIN" in told:
            yield b" MIN %d" % results[0]
        if "MAX" in told:
            yield b" MAX %d" % results[-1]
        if "ALL" in told:
            yield b" ALL "
            yield from _sequence_set(results)
    if "COUNT" in told:
        yield b" COUNT %d" % len(results)
    if wanted.partial is not None:
        some = wanted.partial.of(results)
        yield b" PARTIAL (%b " % str(wanted.partial).encode("ascii")
        yield from _sequence_set(some) if some else (b"NIL",)
        yield b")"
    yield b" MODSEQ %d\r\n" % modseq if modseq else b"\r\n"


def sequence_set(results: Iterable[int]) -> bytes:
    """Write numbers in their order; there must be some."""
    return b"".join(_sequence_set(results))


def _sequence_set(results: Iterable[int]) -> Iterator[bytes]:
    """Write numbers in their order, neighbours that ascend as ranges (RFC 5267 3.2)."""
    separator = b""
    rest = iter(results)
    last: tuple[int, int] | None = None  # a range that may go on
    while piece := list(islice(rest, _PIECE)):
        found = []
        for low, high in runs(piece):
            if last is not None and low == last[1] + 1:
                last = (last[0], high)
                continue
            if last is not None:
                found.append(last)
            last = (low, high)
        yield separator + _ranges(found) if found else b""
        separator = b"," if found else separator
    if last is not None:
        yield separator + _ranges([last])


def _ranges(ranges: Iterable[tuple[int, int]]) -> bytes:
    return b",".join(
        [b"%d:%d" % pair if pair[0] != pair[1] else b"%d" % pair[0] for pair in ranges]
    )


def pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Join the chunks of one response to pieces, of which only the last ends it.

    An empty chunk stands for work without result, during which others get their turn.
    """
    waiting: list[bytes] = []
    size = 0
    for chunk in chunks:
        if size > _SIZE or not chunk:
            yield Unfinished(b"".join(waiting))
            waiting, size = [], 0
        waiting.append(chunk)
        size += len(chunk)
    if waiting:
        yield b"".join(waiting)


def saved(options: Wanted, uids: Sequence[int]) -> NumberSet:
    """Give what ``$`` becomes by what was found (RFC 5182 2.1, 2.4). Of many messages: in a thread.

    Args:
        uids: in the order that was asked for.
    """
    told = options.told(uids)
    return NumberSet.of(uids if told is None else told)


def highest(view: View, options: Wanted | None, found: bytes, uids: Sequence[int]) -> int:
    """Give the highest MODSEQ of what is told of what was found, 0 of nothing (RFC 4731 3.2).

    Args:
        uids: in the order that was asked for.
    """
    told = None if options is None else options.told(uids)
    if told is None:
        return max(compress(view.modseqs, found), default=0)
    seqs = map(view.seq, told)
    return max((view.modseqs[seq - 1] for seq in seqs if seq), default=0)
