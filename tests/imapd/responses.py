"""The formal syntax of server responses, checked strictly (RFC 3501 9, RFC 2971, 4315, 4978, 5530, 6855).

Shares no code with the server. `read` takes a stream of whole responses and fails with
`Malformed` at the first octet that the grammar does not allow; what Courier sends beside the
grammar is said where it is let through.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass


class Malformed(AssertionError):
    """Not a response: the message shows what stands where it stops being one."""


@dataclass(frozen=True)
class Response:
    """A response. ``tag`` is ``*``, ``+`` or a command's; ``name`` its first word in capitals."""

    tag: bytes
    name: str
    raw: bytes
    code: str = ""
    number: int = 0
    values: tuple[object, ...] = ()

    @property
    def is_tagged(self) -> bool:
        return self.tag not in (b"*", b"+")

    @property
    def line(self) -> str:
        return self.raw.decode("utf-8", "surrogateescape").removesuffix("\r\n")


_ATOM = re.compile(rb'[^\x00-\x20(){%*"\\\]\x7f-\xff]+')
_TAG = re.compile(rb'[^\x00-\x20(){%*"\\\x7f-\xff+]+')
_QUOTED = re.compile(rb'"(?:[^\x00\r\n"\\]|\\["\\])*"')
_LITERAL = re.compile(rb"\{([0-9]+)\}\r\n")
_MODSEQ = re.compile(rb"[1-9][0-9]{0,18}(?![0-9])")
_NUMBER = re.compile(rb"[0-9]{1,10}(?![0-9])")
_NUMBER64 = re.compile(rb"[0-9]{1,19}(?![0-9])")
_NZ_NUMBER = re.compile(rb"[1-9][0-9]{0,9}(?![0-9])")
_TEXT = re.compile(rb"[^\x00\r\n]+")
_URL = re.compile(rb"[^\x00\r\n\]\x80-\xff]+")
_OBJECTID = re.compile(rb"[A-Za-z0-9_-]{1,255}")
_FLAG = re.compile(rb'\\?[^\x00-\x20(){%*"\\\]\x7f-\xff]+')
_UID_SET = re.compile(rb"[1-9][0-9]*(?::[1-9][0-9]*)?(?:,[1-9][0-9]*(?::[1-9][0-9]*)?)*")
_UPDATES = ("ADDTO", "REMOVEFROM")
_PARTIAL_RANGE = re.compile(rb"(-?)[1-9][0-9]*:\1[1-9][0-9]*(?![0-9])")
_DATE_TIME = re.compile(
    rb'"[ 0-3][0-9]-(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)-[0-9]{4} '
    rb'[0-2][0-9]:[0-5][0-9]:[0-6][0-9] [+-][0-9]{4}"'
)
_SECTION_PART = re.compile(rb"[1-9][0-9]*(?:\.[1-9][0-9]*)*")
_SECTION_TEXT = re.compile(rb"HEADER\.FIELDS\.NOT|HEADER\.FIELDS|HEADER|TEXT|MIME")
# Rights may be any letters, as with Courier, where those of RFC 4314 are not announced.
_LIST_OPTION = re.compile(
    rb'\("ACL" \((?:\((?:"(?:[^"\\]|\\.)*"|\{[0-9]+\}\r\n(?s:.*?)) "(?:[^"\\]|\\.)*"\))*\)\)|'
    rb'\("MYRIGHTS" "[a-z]*"\)|\(POSTADDRESS NIL\)'
)
_METADATA_CODE = re.compile(rb" (?:(?:LONGENTRIES|MAXSIZE) [0-9]{1,10}|TOOMANY)")
_MAX = 0xFFFFFFFF


def read(data: bytes) -> list[Response]:
    """Cut a stream into responses.

    Raises:
        Malformed: it is not a sequence of whole, well formed responses.
    """
    reader = _Reader(data)
    responses = []
    while not reader.at_end():
        responses.append(reader.response())
    return responses


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    # -- terminals -------------------------------------------------------------------------

    def at_end(self) -> bool:
        return self._at == len(self._data)

    def fail(self, wanted: str) -> Malformed:
        before = self._data[max(0, self._at - 80) : self._at]
        behind = self._data[self._at : self._at + 80]
        return Malformed(f"expected {wanted} behind {before!r}, found {behind!r}")

    def match(self, pattern: re.Pattern[bytes], wanted: str) -> bytes:
        match = pattern.match(self._data, self._at)
        if match is None:
            raise self.fail(wanted)
        self._at = match.end()
        return match[0]

    def maybe(self, octets: bytes) -> bool:
        if self._data.startswith(octets, self._at):
            self._at += len(octets)
            return True
        return False

    def exact(self, octets: bytes) -> None:
        if not self.maybe(octets):
            raise self.fail(repr(octets))

    def sp(self) -> None:
        self.exact(b" ")
        if self._data.startswith(b" ", self._at):
            raise self.fail("one SP")

    def number(self) -> int:
        value = int(self.match(_NUMBER, "number"))
        if value > _MAX:
            raise self.fail("number of 32 bits")
        return value

    def number64(self) -> int:
        """``number64``: 63 bits (RFC 9051 9)."""
        value = int(self.match(_NUMBER64, "number64"))
        if value >= 1 << 63:
            raise self.fail("number of 63 bits")
        return value

    def nz_number(self) -> int:
        value = int(self.match(_NZ_NUMBER, "nz-number"))
        if value > _MAX:
            raise self.fail("nz-number of 32 bits")
        return value

    def quoted(self) -> bytes:
        text = self.match(_QUOTED, "quoted")[1:-1]
        text.decode()  # RFC 6855: UTF-8 at most
        return re.sub(rb"\\(.)", rb"\1", text)

    def literal(self, *, binary: bool = False) -> bytes:
        """``literal``, of CHAR8, which NUL is not (RFC 3501 9); behind "~", ``literal8``."""
        header = self.match(_LITERAL, "literal")
        size = int(header[1:-3])
        data = self._data[self._at : self._at + size]
        if len(data) < size:
            raise self.fail(f"{size} octets")
        if b"\0" in data and not binary:
            raise self.fail("octets that are not NUL")
        self._at += size
        return data

    def string(self) -> bytes:
        return self.quoted() if self._data.startswith(b'"', self._at) else self.literal()

    def nstring(self) -> bytes | None:
        return None if self.maybe(b"NIL") else self.string()

    def listed(self, item: Callable[[], object], *, empty: bool = False) -> list[object]:
        self.exact(b"(")
        if empty and self.maybe(b")"):
            return []
        items = [item()]
        while not self.maybe(b")"):
            self.sp()
            items.append(item())
        return items

    def joined(self, item: Callable[[], object]) -> list[object]:
        """1*item in parentheses, without SP between them (addresses, bodies)."""
        self.exact(b"(")
        items = [item()]
        while not self.maybe(b")"):
            items.append(item())
        return items

    # -- responses -------------------------------------------------------------------------

    def response(self) -> Response:
        began = self._at
        tag, name, code, number, values = self._any_response()
        self.exact(b"\r\n")
        return Response(tag, name, self._data[began : self._at], code, number, values)

    def _any_response(self) -> tuple[bytes, str, str, int, tuple[object, ...]]:
        if self.maybe(b"+ "):
            self.match(_TEXT, "text")
            return b"+", "", "", 0, ()
        if not self.maybe(b"* "):
            tag = self.match(_TAG, "tag")
            self.sp()
            name = self.match(_ATOM, "condition").decode()
            if name not in ("OK", "NO", "BAD"):
                raise self.fail("OK, NO or BAD")
            return tag, name, self._resp_text(), 0, ()
        if _NUMBER.match(self._data, self._at):
            return (b"*", *self._numbered())
        name = self.match(_ATOM, "response name").decode()
        if name in ("OK", "NO", "BAD", "BYE", "PREAUTH"):
            return b"*", name, self._resp_text(), 0, ()
        if name not in _UNTAGGED:
            raise self.fail("the name of an untagged response")
        return b"*", name, "", 0, tuple(_UNTAGGED[name](self))

    def _resp_text(self) -> str:
        """``SP resp-text``; returns the response code."""
        self.sp()
        code = ""
        if self.maybe(b"["):
            began = self._at
            self._resp_text_code()
            code = self._data[began : self._at].decode()
            self.exact(b"]")
            self.sp()
        self.match(_TEXT, "text")
        return code

    def _resp_text_code(self) -> None:
        name = self.match(_ATOM, "resp-text-code")
        if name in (b"UIDNEXT", b"UIDVALIDITY", b"UNSEEN"):
            self.sp()
            self.nz_number()
        elif name == b"HIGHESTMODSEQ":  # RFC 7162 7
            self.sp()
            self._modseq()
        elif name == b"MODIFIED":
            self.sp()
            self.match(_UID_SET, "sequence-set")
        elif name == b"INPROGRESS":  # RFC 9585 4
            self.exact(b" (")
            if not self.maybe(b"NIL"):
                self.quoted()
            self.sp()
            done = None if self.maybe(b"NIL") else self.number()
            self.sp()
            goal = None if self.maybe(b"NIL") else self.nz_number()
            self.exact(b")")
            if goal is not None and (done is None or done >= goal):
                raise self.fail("less than the goal")
        elif name == b"MESSAGELIMIT":  # RFC 9738 5
            self.sp()
            self.nz_number()
            if self.maybe(b" "):
                self.nz_number()
        elif name == b"UNDEFINED-FILTER":  # RFC 5466 4
            self.sp()
            self.match(_ATOM, "filter-name")
        elif name == b"NOUPDATE":  # RFC 5267 5
            self.sp()
            self.quoted()
        elif name == b"PERMANENTFLAGS":
            self.sp()
            self.listed(self._flag_perm, empty=True)
        elif name == b"METADATA":  # RFC 5464 5
            self.match(_METADATA_CODE, "resp-text-code of METADATA")
        elif name == b"MYRIGHTS":  # Courier's own
            self.sp()
            self.quoted()
        elif name == b"APPENDUID":
            self.sp()
            self.nz_number()
            self.sp()
            self.match(_UID_SET, "uid-set")
        elif name == b"MAILBOXID":  # RFC 8474 7
            self.sp()
            self._objectid()
        elif name == b"BADURL":  # RFC 4469 5
            self.sp()
            self.match(_URL, "url-resp-text")
        elif name == b"COPYUID":
            self.sp()
            self.nz_number()
            for _ in range(2):
                self.sp()
                self.match(_UID_SET, "uid-set")
        elif name == b"CAPABILITY":
            self._capability()
        elif name == b"BADEVENT":  # RFC 5465 8
            self.sp()
            self.listed(lambda: self.match(_ATOM, "event-name"))
        elif name not in _PLAIN_CODES:
            raise self.fail("a response code that this server has")

    def _objectid(self) -> bytes:
        self.exact(b"(")
        found = self.match(_OBJECTID, "objectid")
        self.exact(b")")
        return found

    def _modseq(self) -> int:
        """``mod-sequence-value`` (RFC 7162 7)."""
        value = int(self.match(_MODSEQ, "mod-sequence-value"))
        if not 0 < value < 1 << 63:
            raise self.fail("mod-sequence-value")
        return value

    def _vanished(self) -> list[object]:
        self.sp()
        is_earlier = self.maybe(b"(EARLIER) ")
        return [is_earlier, self.match(_UID_SET, "known-uids")]

    def _flag_perm(self) -> bytes:
        return b"\\*" if self.maybe(b"\\*") else self._flag()

    def _flag(self) -> bytes:
        return self.match(_FLAG, "flag")

    def _flags(self) -> list[object]:
        self.sp()
        return self.listed(self._flag, empty=True)

    def _capability(self) -> list[object]:
        words: list[object] = []
        while self.maybe(b" "):
            words.append(self.match(_ATOM, "capability"))
        if b"IMAP4rev1" not in words:
            raise self.fail("IMAP4rev1 among the capabilities")
        return words

    def _enabled(self) -> list[object]:
        words: list[object] = []
        while self.maybe(b" "):
            words.append(self.match(_ATOM, "capability"))
        return words

    def _search(self) -> list[object]:
        numbers: list[object] = []
        while self.maybe(b" "):
            if self.maybe(b"(MODSEQ "):
                if not numbers:
                    raise self.fail("numbers before a MODSEQ")
                self._modseq()
                self.exact(b")")
                break
            numbers.append(self.nz_number())
        return numbers

    def _thread(self) -> list[object]:
        """``[SP 1*thread-list]`` (RFC 5256 5): lists of numbers and of lists, without recursion."""
        top: list[object] = []
        if self._data.startswith(b"\r\n", self._at):
            return top
        self.sp()
        open_lists: list[list[object]] = []
        while open_lists or self._data.startswith(b"(", self._at):
            if self.maybe(b"("):
                if open_lists and open_lists[-1] and not isinstance(open_lists[-1][-1], list):
                    raise self.fail("SP before nested threads")
                open_lists.append([])
                continue
            inner = open_lists[-1]
            if self.maybe(b")"):
                nested = [item for item in inner if isinstance(item, list)]
                if not inner or len(nested) == 1:
                    raise self.fail("a number, or two nested threads at least")
                open_lists.pop()
                (open_lists[-1] if open_lists else top).append(inner)
                continue
            if any(isinstance(item, list) for item in inner):
                raise self.fail("nested threads at the end alone")
            if inner:
                self.sp()
            if self._data.startswith(b"(", self._at):
                open_lists.append([])
                self.exact(b"(")
            else:
                inner.append(self.nz_number())
        return top

    def _esearch(self) -> list[object]:
        """``esearch-response`` (RFC 4466 2.6.2, RFC 4731 4); a sequence-set stays as it is."""
        self.exact(b" (TAG ")
        values: list[object] = [self.quoted()]
        if self.maybe(b" MAILBOX "):  # RFC 7377 4
            values.append(self._astring())
            self.exact(b" UIDVALIDITY ")
            values.append(self.nz_number())
        self.exact(b")")
        values.append(self.maybe(b" UID"))
        found: dict[str, object] = {}
        while self.maybe(b" "):
            name = self.match(_ATOM, "search-return-data").decode()
            self.sp()
            if name in found or name not in (
                "MIN",
                "MAX",
                "ALL",
                "COUNT",
                "MODSEQ",
                "PARTIAL",
                *_UPDATES,
            ):
                raise self.fail("search-return-data")
            if name == "ALL":
                found[name] = self.match(_UID_SET, "sequence-set")
            elif name == "MODSEQ":
                found[name] = self._modseq()
            elif name in _UPDATES:
                found[name] = self._result_updates()
            elif name == "PARTIAL":
                found[name] = self._partial()
            else:
                found[name] = self.number() if name == "COUNT" else self.nz_number()
        return [*values, found]

    def _result_updates(self) -> list[tuple[int, bytes]]:
        """``"(" context-position SP sequence-set *(SP …) ")"`` (RFC 5267 5)."""
        self.exact(b"(")
        pairs = []
        while not pairs or not self.maybe(b")"):
            if pairs:
                self.sp()
            position = self.number()
            self.sp()
            pairs.append((position, self.match(_UID_SET, "sequence-set")))
        return pairs

    def _uidbatches(self) -> list[object]:
        """``SP "(" "TAG" SP string ")" [SP uid-range-list]`` (RFC 10022), ranges descending."""
        self.exact(b" (TAG ")
        values: list[object] = [self.quoted()]
        self.exact(b")")
        lowest = 1 << 32
        while self.maybe(b"," if values[1:] else b" "):
            high = self.nz_number()
            self.exact(b":")
            low = self.nz_number()
            if not low <= high < lowest:
                raise self.fail("descending ranges")
            lowest = low
            values.append((high, low))
        return values

    def _partial(self) -> tuple[bytes, bytes]:
        """``"(" partial-range SP partial-results ")"`` (RFC 9394 4)."""
        self.exact(b"(")
        asked = self.match(_PARTIAL_RANGE, "partial-range")
        self.sp()
        found = b"NIL" if self.maybe(b"NIL") else self.match(_UID_SET, "sequence-set")
        self.exact(b")")
        return asked, found

    def _list(self) -> list[object]:
        self.sp()
        attributes = self.listed(self._flag, empty=True)
        self.sp()
        separator = self.nstring()
        self.sp()
        name = self.string()
        sflags = {b"\\NonExistent", b"\\Noselect", b"\\Marked", b"\\Unmarked"}
        if len(sflags.intersection(attributes)) > 1 or len(set(attributes)) < len(attributes):
            raise self.fail("one mbx-list-sflag, and each flag once")
        if not self.maybe(b" ("):
            return [attributes, separator, name]
        if _LIST_OPTION.match(self._data, self._at):  # Courier's own: ACL2=UNION
            while not self.maybe(b")"):
                self.match(_LIST_OPTION, "what an option of LIST asked for")
            return [attributes, separator, name]
        items: dict[bytes, object] = {}  # mbox-list-extended (RFC 5258 6)
        while True:
            tag = self._astring()
            if tag in items or tag not in (b"CHILDINFO", b"OLDNAME"):
                raise self.fail("mbox-list-extended-item")
            self.sp()
            items[tag] = self.listed(self.quoted)
            if self.maybe(b")"):
                return [attributes, separator, name, items]
            self.sp()

    def _metadata(self) -> list[object]:
        """``metadata-resp``: with values, or a list of entries (RFC 5464 5)."""
        self.sp()
        name = self.string()
        self.sp()
        if not self._data.startswith(b"(", self._at):
            entries = [self._astring()]
            while self.maybe(b" "):
                entries.append(self._astring())
            return [name, entries]
        return [name, dict(self.listed(self._entry_value))]  # type: ignore[arg-type]

    def _entry_value(self) -> tuple[bytes, bytes | None]:
        entry = self._astring()
        self.sp()
        return entry, self.literal(binary=True) if self.maybe(b"~") else self.nstring()

    def _acl(self) -> list[object]:
        """RFC 4314 3.6 to 3.8; ``mailbox SP`` and strings, or for LISTRIGHTS atoms too."""
        values: list[object] = []
        while self.maybe(b" "):
            atom = not self._data.startswith((b'"', b"{"), self._at)
            values.append(self.match(_ATOM, "astring") if atom else self.string())
        return values

    def _acl_failed(self) -> list[object]:
        self.sp()
        name = self.string()
        self.match(_TEXT, "text")
        return [name]

    def _status(self) -> list[object]:
        self.sp()
        name = self.string()
        self.sp()
        return [name, dict(self.listed(self._status_att, empty=True))]  # type: ignore[arg-type]

    def _status_att(self) -> tuple[str, int | bytes | None]:
        name = self.match(_ATOM, "status-att").decode()
        if name not in _STATUS:
            raise self.fail("status-att")
        self.sp()
        if name == "MAILBOXID":
            return name, self._objectid()
        if name == "APPENDLIMIT" and self.maybe(b"NIL"):
            return name, None
        if name == "HIGHESTMODSEQ" and not self.maybe(b"0"):
            return name, self._modseq()
        if name in ("SIZE", "DELETED-STORAGE"):
            return name, self.number64()
        return name, 0 if name == "HIGHESTMODSEQ" else self.number()

    def _quota(self) -> list[object]:
        """``quota-response`` (RFC 9208 7)."""
        self.sp()
        root = self._astring()
        self.sp()
        return [root, dict(self.listed(self._quota_resource, empty=True))]  # type: ignore[arg-type]

    def _quota_resource(self) -> tuple[str, tuple[int, int]]:
        name = self.match(_ATOM, "resource-name").decode()
        if name not in ("STORAGE", "MESSAGE"):
            raise self.fail("a resource that this server limits")
        self.sp()
        usage = int(self.match(_NUMBER, "number64"))
        self.sp()
        return name, (usage, int(self.match(_NUMBER, "number64")))

    def _quotaroot(self) -> list[object]:
        self.sp()
        values: list[object] = [self._astring()]
        while self.maybe(b" "):
            values.append(self._astring())
        return values

    def _id(self) -> list[object]:
        self.sp()
        if self.maybe(b"NIL"):
            return []
        words = self.listed(self.nstring)
        if len(words) % 2 or len(words) > 60:
            raise self.fail("up to 30 pairs")
        return words

    def _namespace(self) -> list[object]:
        found: list[object] = []
        for _ in range(3):
            self.sp()
            found.append(None if self.maybe(b"NIL") else self.joined(self._one_namespace))
        return found

    def _one_namespace(self) -> object:
        self.exact(b"(")
        prefix = self.string()
        self.sp()
        separator = self.nstring()
        self.exact(b")")
        return prefix, separator

    # -- message data ----------------------------------------------------------------------

    def _numbered(self) -> tuple[str, str, int, tuple[object, ...]]:
        number = self.number()
        self.sp()
        name = self.match(_ATOM, "EXISTS, RECENT, EXPUNGE, FETCH or UIDFETCH").decode()
        if name in ("EXISTS", "RECENT"):
            return name, "", number, ()
        if number == 0:
            raise self.fail("nz-number")
        if name == "EXPUNGE":
            return name, "", number, ()
        if name not in ("FETCH", "UIDFETCH"):  # RFC 9586 4
            raise self.fail("message data")
        self.sp()
        items = self.listed(self._msg_att)
        return name, "", number, tuple(items)

    def _msg_att(self) -> tuple[bytes, object]:
        if self.maybe(b"BODY["):
            return self._body_section()
        if self.maybe(b"BINARY"):
            return self._binary()
        name = self.match(_ATOM, "msg-att")
        if name == b"FLAGS":
            return name, self._flags()
        self.sp()
        if name == b"UID":
            return name, self.nz_number()
        if name == b"MODSEQ":
            self.exact(b"(")
            modseq = self._modseq()
            self.exact(b")")
            return name, modseq
        if name == b"RFC822.SIZE":
            return name, self.number()
        if name == b"EMAILID":  # RFC 8474 7
            return name, self._objectid()
        if name == b"THREADID":
            return name, None if self.maybe(b"NIL") else self._objectid()
        if name == b"PREVIEW":  # RFC 8970 6
            return name, self._preview()
        if name == b"SAVEDATE":  # RFC 8514 5
            return name, None if self.maybe(b"NIL") else self.match(_DATE_TIME, "date-time")
        if name == b"INTERNALDATE":
            return name, self.match(_DATE_TIME, "date-time")
        if name in (b"RFC822", b"RFC822.HEADER", b"RFC822.TEXT"):
            return name, self.nstring()
        if name == b"ENVELOPE":
            return name, self._envelope()
        if name in (b"BODY", b"BODYSTRUCTURE"):
            return name, self._body(0)
        raise self.fail("msg-att")

    def _preview(self) -> bytes | None:
        """UTF-8, 256 characters at most (RFC 8970 3.3)."""
        text = self.nstring()
        if text is not None and len(text.decode()) > 256:
            raise self.fail("a preview that is not too long")
        return text

    def _body_section(self) -> tuple[bytes, object]:
        began = self._at - len(b"BODY[")
        part = _SECTION_PART.match(self._data, self._at)
        if part is not None:
            self._at = part.end()
        if not self._data.startswith(b"]", self._at):
            if part is not None:
                self.exact(b".")
            text = self.match(_SECTION_TEXT, "section-text")
            # Courier: no list if it is empty; here it never is.
            if text.startswith(b"HEADER.FIELDS"):
                self.sp()
                self.listed(self._astring)
        self.exact(b"]")
        if self.maybe(b"<"):
            self.match(_NUMBER64, "number64")  # RFC 9051 9: what a client may ask for
            self.exact(b">")
        name = self._data[began : self._at]
        self.sp()
        return name, self.nstring()

    def _binary(self) -> tuple[bytes, object]:
        """RFC 3516 7, RFC 4466 (literal8); what has no NUL comes as a literal (RFC 3516 4.3)."""
        began = self._at - len(b"BINARY")
        is_size = self.maybe(b".SIZE")
        self.exact(b"[")
        part = _SECTION_PART.match(self._data, self._at)
        self._at = part.end() if part is not None else self._at
        self.exact(b"]")
        if not is_size and self.maybe(b"<"):
            self.number()
            self.exact(b">")
        name = self._data[began : self._at]
        self.sp()
        if is_size:
            return name, self.number()
        is_literal8 = self.maybe(b"~")
        data = self.literal(binary=True) if is_literal8 else self.nstring()
        if is_literal8 != (b"\0" in (data or b"")):
            raise self.fail("literal8 for what holds a NUL")
        return name, data

    def _astring(self) -> bytes:
        if self._data[self._at : self._at + 1] in (b'"', b"{"):
            return self.string()
        return self.match(_ATOM, "astring")

    def _envelope(self) -> object:
        self.exact(b"(")
        values: list[object] = [self.nstring()]
        self.sp()
        values.append(self.nstring())
        for _ in range(6):
            self.sp()
            values.append(None if self.maybe(b"NIL") else self.joined(self._address))
        for _ in range(2):
            self.sp()
            values.append(self.nstring())
        self.exact(b")")
        return values

    def _address(self) -> object:
        self.exact(b"(")
        values = [self.nstring()]
        for _ in range(3):
            self.sp()
            values.append(self.nstring())
        self.exact(b")")
        return values

    def _body(self, depth: int) -> object:
        if depth > 100:
            raise self.fail("a body nested less deeply")
        self.exact(b"(")
        if self._data.startswith(b"(", self._at):
            return self._multipart(depth)
        return self._single_part(depth)

    def _multipart(self, depth: int) -> object:
        parts = [self._body(depth + 1)]
        while self._data.startswith(b"(", self._at):
            parts.append(self._body(depth + 1))
        self.sp()
        subtype = self.string()
        if self.maybe(b" "):
            self._parameters()
            self._disposition_and_on()
        self.exact(b")")
        return parts, subtype

    def _single_part(self, depth: int) -> object:
        kind = self.string()
        self.sp()
        subtype = self.string()
        self.sp()
        self._parameters()
        for _ in range(2):
            self.sp()
            self.nstring()
        self.sp()
        self.string()
        self.sp()
        self.number()
        whole = (kind.lower(), subtype.lower())
        if whole in ((b"message", b"rfc822"), (b"message", b"global")):
            self.sp()
            self._envelope()
            self.sp()
            self._body(depth + 1)
            self.sp()
            self.number()
        elif kind.lower() == b"text":
            self.sp()
            self.number()
        if self.maybe(b" "):
            self.nstring()
            self._disposition_and_on()
        self.exact(b")")
        return kind, subtype

    def _disposition_and_on(self) -> None:
        if not self.maybe(b" "):
            return
        if not self.maybe(b"NIL"):
            self.exact(b"(")
            self.string()
            self.sp()
            self._parameters()
            self.exact(b")")
        if not self.maybe(b" "):
            return
        if self._data.startswith(b"(", self._at):
            self.listed(self.string)
        else:
            self.nstring()
        if self.maybe(b" "):
            self.nstring()

    def _parameters(self) -> None:
        if self.maybe(b"NIL"):
            return
        if len(self.listed(self.string)) % 2:
            raise self.fail("pairs of name and value")


_STATUS = frozenset(
    (
        "MESSAGES",
        "RECENT",
        "UIDNEXT",
        "UIDVALIDITY",
        "UNSEEN",
        "DELETED",
        "DELETED-STORAGE",
        "HIGHESTMODSEQ",
        "APPENDLIMIT",
        "MAILBOXID",
        "SIZE",
    )
)
_PLAIN_CODES = frozenset(
    (
        b"ALERT",
        b"ALREADYEXISTS",
        b"AUTHENTICATIONFAILED",
        b"BADCHARSET",
        b"CANNOT",
        b"CLIENTBUG",
        b"CLOSED",
        b"COMPRESSIONACTIVE",
        b"EXPUNGEISSUED",
        b"INUSE",
        b"LIMIT",
        b"NOMODSEQ",
        b"NONEXISTENT",
        b"PRIVACYREQUIRED",
        b"UNAVAILABLE",
        b"NOPERM",
        b"NOTIFICATIONOVERFLOW",
        b"OVERQUOTA",
        b"READ-ONLY",
        b"READ-WRITE",
        b"TOOBIG",
        b"TOOFEW",
        b"TRYCREATE",
        b"UIDREQUIRED",
        b"UNKNOWN-CTE",
        b"USEATTR",
    )
)
_UNTAGGED: dict[str, Callable[[_Reader], list[object]]] = {
    "ACL": _Reader._acl,
    "ACLFAILED": _Reader._acl_failed,
    "CAPABILITY": _Reader._capability,
    "ENABLED": _Reader._enabled,
    "ESEARCH": _Reader._esearch,
    "FLAGS": _Reader._flags,
    "ID": _Reader._id,
    "LIST": _Reader._list,
    "LISTRIGHTS": _Reader._acl,
    "LSUB": _Reader._list,
    "METADATA": _Reader._metadata,
    "MYRIGHTS": _Reader._acl,
    "NAMESPACE": _Reader._namespace,
    "QUOTA": _Reader._quota,
    "QUOTAROOT": _Reader._quotaroot,
    "RIGHTS-INFO": _Reader._acl,
    "SEARCH": _Reader._search,
    "SORT": _Reader._search,
    "STATUS": _Reader._status,
    "VANISHED": _Reader._vanished,
    "THREAD": _Reader._thread,
    "UIDBATCHES": _Reader._uidbatches,
}
