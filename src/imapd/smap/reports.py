"""Reports: what changed in the open folder, as SMAP tells it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from courier.maildir import filename
from courier.maildir.filename import Flag
from courier.maildir.numberset import runs
from courier.maildir.view import View
from imapd.smap.words import quoted, ranges

if TYPE_CHECKING:
    from imapd.smap.session import Session

#: Messages that one line says to be gone.
_IN_A_LINE = 101
#: Messages whose flags are told before others get their turn.
_SLICE = 500

FLAGS = {
    "DRAFT": Flag.DRAFT,
    "MARKED": Flag.FLAGGED,
    "REPLIED": Flag.ANSWERED,
    "SEEN": Flag.SEEN,
    "DELETED": Flag.DELETED,
}
#: The list of flags for each sum of them.
FLAG_LISTS = tuple(
    ",".join(name for name, flag in FLAGS.items() if bits & flag).encode() for bits in range(32)
)


def changes(session: Session) -> Iterator[bytes]:
    """Give what the client has to be told, a slice at a time, and take it as told at once."""
    view = session.selected
    update = view.update(expunge=True)
    yield from _expunged([seq + place for place, seq in enumerate(update.expunged)])
    if update.exists is not None:
        yield b"* EXISTS %d\n" % update.exists
    with_keywords = bool(session.settings.keywords)
    for at in range(0, len(update.flags), _SLICE):
        seqs = update.flags[at : at + _SLICE]
        yield b"".join([_flags(view, seq, with_keywords=with_keywords) for seq in seqs])


def _expunged(seqs: Sequence[int]) -> Iterator[bytes]:
    """Write the numbers of messages that are gone; each line counts from what the one before left."""
    for at in range(0, len(seqs), _IN_A_LINE):
        numbers = [seq - at for seq in islice(seqs, at, at + _IN_A_LINE)]
        yield b"* EXPUNGE " + ranges(runs(numbers)) + b"\n"


def _flags(view: View, seq: int, *, with_keywords: bool) -> bytes:
    """``* FETCH n FLAGS=list ["KEYWORDS=list"]``"""
    line = b"* FETCH %d FLAGS=%b" % (seq, FLAG_LISTS[view.flags[seq - 1]])
    if with_keywords:
        line += b" " + keyword_list(view.keyword_words(seq))
    return line + b"\n"


def keyword_list(words: Sequence[str]) -> bytes:
    """``"KEYWORDS=list"``. Courier writes quotes in a keyword once."""
    return quoted("KEYWORDS=" + ",".join(sorted(word.replace(",", "_") for word in words)))


def uid(view: View, seq: int) -> bytes:
    """Give the name by which clients know a message: its file's, gone or not, without flags."""
    row = view.columns.row(view.uids[seq - 1])
    return b"" if row is None else filename.base(view.columns.names[row])
