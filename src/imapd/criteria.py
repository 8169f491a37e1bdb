"""Search criteria: reading them (RFC 9051 6.4.4, RFC 3501 6.4.4, RFC 5032, RFC 5182, RFC 5466, RFC 7162,
RFC 8474, RFC 8514, RFC 9738)."""

from __future__ import annotations

import codecs
import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from courier.maildir.filename import Flag
from courier.maildir.numberset import NumberSet
from courier.maildir.view import View
from courier.message import charset
from courier.message import date as message_date
from courier.message.collation import Needle
from imapd import leaves
from imapd.completion import Bad, CommandFailed, No
from imapd.criterion import EVERYTHING, All, Criterion, Either, Negated
from imapd.wire.parser import NotUtf8, ParseError, Parser, SequenceSet

#: Courier: 1,000 nodes. Deeper nesting than this no client needs, and the parser recurses.
MAX_NODES = 1_000
MAX_DEPTH = 200
#: Filters that name another one; RFC 5466 3.1 wants three at least.
MAX_FILTERS = 10
#: Courier's words for a text that is not of its character set.
NOT_TEXT = "Error in IMAP command received by server."
#: Seconds since 1970 that no file's time reaches.
_NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms criteria are read."""

    #: UTF8=ACCEPT is enabled: no other character set may be named (RFC 6855 3).
    utf8: bool = False
    #: They will be asked again later: sequence numbers and ``$`` mean the messages that they mean in this
    #: view now (RFC 5267 4.3).
    held: View | None = None
    #: Sequence numbers must not be named (RFC 9586 3.5).
    uid_only: bool = False
    #: Annotations, filters among them (RFC 5466).
    filters: Mapping[str, bytes] = field(default_factory=dict)


def read(arguments: Parser, terms: Terms, *, charset_first: bool = False) -> Criterion:
    """Read ``[CHARSET astring] search-key *(SP search-key)`` to the command's end.

    Args:
        charset_first: read ``charset 1*(SP search-key)``, as SORT and THREAD have it.

    Raises:
        ParseError: the grammar.
        CommandFailed: one of the limits above; the character set is not known, or may not be named, or a
            text is not of it; or sequence numbers or a filter.
    """
    encoding = "utf-8"
    if charset_first:
        name = arguments.astring()
        arguments.sp()
        if terms.utf8 and name.upper() != b"UTF-8":
            text = "Only UTF-8 charset is valid after enabling RFC 6855 support"
            raise CommandFailed(Bad(text, "BADCHARSET"))
        encoding = _codec(name)
    elif arguments.peek_word() == "CHARSET":
        if terms.utf8:
            raise CommandFailed(Bad("CHARSET is not valid in UTF8 mode as per RFC 6855"))
        arguments.word()
        arguments.sp()
        name = arguments.astring()
        arguments.sp()
        encoding = _codec(name)
    return _Reader(arguments, encoding, terms).keys(0)


def _codec(name: bytes) -> str:
    codec = charset.codec(name.decode("ascii", "replace"))
    if codec is None:
        refusal = No("The requested character set is not supported.", "BADCHARSET")
        raise CommandFailed(refusal)
    return codec


class _Reader:
    """Reads search-keys."""

    def __init__(self, arguments: Parser, encoding: str, terms: Terms) -> None:
        self._arguments = arguments
        self._terms = terms
        self._encoding = encoding
        self._nodes = 0
        self._filters = 0  # that are being read, one in another

    def keys(self, depth: int) -> Criterion:
        """``search-key *(SP search-key)``, to the end."""
        keys = [self.key(depth)]
        while not self._arguments.at_end():
            self._arguments.sp()
            keys.append(self.key(depth))
        self._arguments.end()
        return _all(keys)

    def key(self, depth: int) -> Criterion:
        """``search-key``."""
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise CommandFailed(No("Too many search criteria.", "LIMIT"))
        if self._arguments.at(b"("):
            return _all(self._arguments.parenthesised(lambda: self.key(depth + 1)))
        word = self._arguments.peek_word()
        if not word:
            return self._numbers(self._arguments.sequence_set())
        self._arguments.word()
        if word == "NOT":
            self._arguments.sp()
            return Negated(self.key(depth + 1))
        if word == "OR":
            self._arguments.sp()
            first = self.key(depth + 1)
            self._arguments.sp()
            return Either(first, self.key(depth + 1))
        if word == "FILTER":
            self._arguments.sp()
            return self._filter(depth)
        return self._leaf(word)

    def _filter(self, depth: int) -> Criterion:
        """A filter-name: what is kept under it is read in its place (RFC 5466 3.1).

        Raises:
            CommandFailed: there is no such filter, or it names itself, or it is no search program.
        """
        name = self._arguments.atom().decode("ascii")
        if codecs.lookup(self._encoding).name not in ("utf-8", "ascii"):
            raise CommandFailed(Bad("Filters are in UTF-8.", "BADCHARSET"))
        entries = (f"/{which}/filters/values/{name.lower()}" for which in ("private", "shared"))
        text = next((found for one in entries if (found := self._terms.filters.get(one))), None)
        if "/" in name or text is None or self._filters >= MAX_FILTERS:
            raise CommandFailed(No("There is no such filter.", f"UNDEFINED-FILTER {name}"))
        outer = self._arguments, self._encoding
        self._arguments, self._encoding = Parser(text), "utf-8"
        self._filters += 1
        try:
            return self.keys(depth + 1)
        except ParseError as error:
            raise CommandFailed(No(f"What is kept as filter {name} is no search.")) from error
        finally:
            self._filters -= 1
            self._arguments, self._encoding = outer

    def _numbers(self, which: SequenceSet) -> Criterion:
        view = self._terms.held
        if self._terms.uid_only and not which.is_saved:
            text = "Message numbers are not allowed once UIDONLY is enabled."
            raise CommandFailed(Bad(text, "UIDREQUIRED"))
        if view is None:
            return leaves.numbers(which)
        if which.is_saved:
            return leaves.among(view.saved)
        count = len(view.uids)
        found = ((a, min(b, count)) for a, b in leaves.rows(which, count))
        # No message ever gets a UID between those of two that there are.
        uids = NumberSet((view.uids[a], view.uids[b - 1]) for a, b in found if a < b)
        return replace(leaves.among(uids), names_numbers=True)

    def _leaf(self, word: str) -> Criterion:
        if word in _FLAGS:
            wanted, is_set = _FLAGS[word]
            return leaves.flag(wanted, is_set=is_set)
        if word in _SIMPLE:
            return _SIMPLE[word]
        self._arguments.sp()
        if word in ("KEYWORD", "UNKEYWORD"):
            # Courier: it may be quoted.
            quoted = self._arguments.at(b'"')
            name = self._arguments.quoted() if quoted else self._arguments.atom()
            key = leaves.keyword(name.decode("utf-8"))
            return key if word == "KEYWORD" else Negated(key)
        if word == "MODSEQ":
            return leaves.changed(self._modseq())
        if word == "UID":
            which = self._arguments.sequence_set()
            return self._numbers(which) if which.is_saved else leaves.uids(which)
        if word in ("UIDAFTER", "UIDBEFORE"):  # RFC 9738 3.2
            uid = self._arguments.nz_number()
            return leaves.after(uid) if word == "UIDAFTER" else leaves.before(uid)
        if word in DATES:
            return leaves.arrived(*DATES[word](self._arguments.date()))
        if word in ("EMAILID", "THREADID"):  # RFC 8474 6
            objectid = self._arguments.objectid()
            return leaves.of_email(objectid) if word == "EMAILID" else leaves.of_thread(objectid)
        if word in SAVED_DATES:
            return leaves.saved_between(*SAVED_DATES[word](self._arguments.date()))
        if word in SENT_DATES:
            return leaves.sent(*SENT_DATES[word](self._arguments.date()))
        if word in ("OLDER", "YOUNGER"):  # RFC 5032
            then = int(time.time()) - self._arguments.nz_number()
            return leaves.arrived(*((-_NEVER, then + 1) if word == "OLDER" else (then, _NEVER)))
        if word == "LARGER":
            return leaves.sized(self._arguments.number64() + 1, _NEVER)
        if word == "SMALLER":
            return leaves.sized(0, self._arguments.number64())
        return self._text(word)

    def _modseq(self) -> int:
        """``[entry-name SP entry-type-req SP] mod-sequence-valzer``: we keep one for all entries."""
        if self._arguments.at(b'"'):
            if not self._arguments.quoted().lower().startswith(b"/flags/"):
                raise self._arguments.fail("entry-flag-name")
            self._arguments.sp()
            if self._arguments.word() not in ("ALL", "PRIV", "SHARED"):
                raise self._arguments.fail("entry-type-req")
            self._arguments.sp()
        return self._arguments.mod_sequence()

    def _text(self, word: str) -> Criterion:
        if word == "HEADER":
            field = self._arguments.astring()
            self._arguments.sp()
            return leaves.field(field, self._needle())
        if word in FIELDS:
            return leaves.field(FIELDS[word], self._needle())
        if word == "BODY":
            return leaves.body(self._needle())
        if word == "TEXT":
            return leaves.anywhere(self._needle())
        raise self._arguments.fail("search-key")

    def _needle(self) -> Needle:
        """A string to search for.

        Raises:
            CommandFailed: its octets are none in its character set. Courier: NO. By this, and not by BAD,
                JavaMail, which with UTF8=ACCEPT writes texts in ISO 8859-1, knows that it has to search itself.
        """
        try:
            return Needle(self._arguments.astring().decode(self._encoding))
        except (NotUtf8, UnicodeError) as error:
            raise CommandFailed(No(NOT_TEXT, "BADCHARSET")) from error


def _all(keys: Sequence[Criterion]) -> Criterion:
    return keys[0] if len(keys) == 1 else All(keys)


_DAY = datetime.timedelta(days=1)


def _begin(day: datetime.date) -> int:
    """Give the first second of a day in the server's zone."""
    try:
        return int(datetime.datetime(day.year, day.month, day.day).timestamp())
    except (ValueError, OverflowError):
        return -_NEVER if day.year < 1970 else _NEVER


def _next(day: datetime.date) -> datetime.date:
    return day + _DAY if day < datetime.date.max else day


def _number(day: datetime.date) -> int:
    """Give the days since 1970."""
    return day.toordinal() - message_date.EPOCH


_FLAGS = {
    "ANSWERED": (Flag.ANSWERED, True),
    "DELETED": (Flag.DELETED, True),
    "DRAFT": (Flag.DRAFT, True),
    "FLAGGED": (Flag.FLAGGED, True),
    "SEEN": (Flag.SEEN, True),
    "UNANSWERED": (Flag.ANSWERED, False),
    "UNDELETED": (Flag.DELETED, False),
    "UNDRAFT": (Flag.DRAFT, False),
    "UNFLAGGED": (Flag.FLAGGED, False),
    "UNSEEN": (Flag.SEEN, False),
}
_SIMPLE: dict[str, Criterion] = {
    "ALL": EVERYTHING,
    "RECENT": leaves.RECENT,
    "OLD": Negated(leaves.RECENT),
    "SAVEDATESUPPORTED": EVERYTHING,  # RFC 8514 4.3
    "NEW": All([leaves.flag(Flag.SEEN, is_set=False), leaves.RECENT]),
}
FIELDS = {"BCC": b"bcc", "CC": b"cc", "FROM": b"from", "SUBJECT": b"subject", "TO": b"to"}
_Interval = Callable[[datetime.date], tuple[int, int]]
DATES: dict[str, _Interval] = {  # in seconds since 1970
    "BEFORE": lambda day: (-_NEVER, _begin(day)),
    "ON": lambda day: (_begin(day), _begin(_next(day))),
    "SINCE": lambda day: (_begin(day), _NEVER),
}
SAVED_DATES = {f"SAVED{word}": interval for word, interval in DATES.items()}
SENT_DATES: dict[str, _Interval] = {  # in days since 1970
    "SENTBEFORE": lambda day: (-_NEVER, _number(day)),
    "SENTON": lambda day: (_number(day), _number(day) + 1),
    "SENTSINCE": lambda day: (_number(day), _NEVER),
}
