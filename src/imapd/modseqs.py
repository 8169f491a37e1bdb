"""What changed since a MODSEQ: the questions of CONDSTORE and QRESYNC (RFC 7162)."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import islice

from courier.maildir.numberset import NumberSet, runs
from courier.maildir.view import View
from imapd.wire.parser import SequenceSet

#: Ranges of UIDs in one VANISHED response.
_LINE = 1_000


def changed(view: View, wanted: NumberSet, since: int) -> NumberSet:
    """Give the messages among ``wanted``, sequence numbers, that changed after ``since``."""
    seqs = array("I")
    for low, high in wanted.ranges():
        modseqs = view.modseqs[low - 1 : high]
        seqs.extend(seq for seq, modseq in enumerate(modseqs, low) if modseq > since)
    return NumberSet(runs(seqs))


def uids(view: View, which: SequenceSet) -> NumberSet:
    """Give the UIDs that a set names, whether messages have them or not."""
    if which.is_saved:
        return view.saved
    last = view.uids[-1] if view.uids else 0
    pairs = (
        (last if low is None else low, last if high is None else high) for low, high in which.ranges
    )
    return NumberSet((min(pair), max(pair)) for pair in pairs if max(pair))


def in_step(view: View, seqs: SequenceSet, uids: SequenceSet) -> int:
    """Give the UID up to which a client knows of every removal (RFC 7162 3.2.5.2); 0 if of none.

    Args:
        seqs, uids: some of its messages by both numbers, ascending. What follows a number that is no
            longer right, or one that does not ascend, is not looked at.
    """
    matched = 0
    for seq, uid in zip(_numbers(seqs), _numbers(uids), strict=False):
        if not matched < uid or seq > len(view.uids) or view.uids[seq - 1] != uid:
            break
        matched = uid
    return matched


def _numbers(which: SequenceSet) -> Iterator[int]:
    """Give the numbers of a set without ``*`` as they are written, one by one."""
    for low, high in which.ranges:
        assert low is not None and high is not None
        yield from range(min(low, high), max(low, high) + 1)


def vanished(view: View, among: NumberSet, since: int) -> NumberSet:
    """Give the UIDs among these that were given to a message which was removed after ``since``.

    If the folder's log does not reach back so far, all that belong to no message (RFC 7162 3.2.6).
    Messages of whose removal this client is still to be told are not among them.
    """
    gone = view.folder.log.vanished(since)
    if gone is None:
        return NumberSet(_without(view.uids, among, view.folder.uidnext - 1))
    return NumberSet.of(uid for uid in gone[0] if uid in among and view.seq(uid) is None)


def _without(ascending: Sequence[int], among: NumberSet, last: int) -> Iterator[tuple[int, int]]:
    """Give the ranges of ``among``, up to ``last``, between the numbers of a column."""
    for low, high in among.ranges():
        begin, high = max(low, 1), min(high, last)
        for first, end in NumberSet([(begin, high)]).slices(ascending) if begin <= high else ():
            for known, known_end in runs(ascending[first:end]):
                if begin < known:
                    yield begin, known - 1
                begin = known_end + 1
        if begin <= high:
            yield begin, high


def earlier(gone: NumberSet) -> Iterator[bytes]:
    """Write ``VANISHED (EARLIER)``, in responses of moderate length."""
    ranges = gone.ranges()
    while piece := list(islice(ranges, _LINE)):
        yield b"* VANISHED (EARLIER) %b\r\n" % str(NumberSet(piece)).encode("ascii")
