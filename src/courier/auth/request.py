"""Requests on authdaemond's socket, both ways: values to bytes, and bytes to values.

    connection = *meta-line command
    meta-line  = name "=" value LF
    command    = "PRE" 1*SP module 1*SP service 1*SP userid LF
               / "AUTH" 1*SP length LF service LF authtype LF authdata
               / "PASSWD" 1*SP service TAB userid TAB oldpw TAB newpw [TAB ignored] LF
               / "ENUMERATE" LF

One request per connection. Lines end in LF; a CR belongs to the value. Of meta lines only
TCPREMOTEIP has a meaning. The protocol is courier-authlib's; Exim, Cyrus SASL and maildrop speak
it too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from courier.auth.account import Secret

#: Octets of a line without its LF, and of AUTH's payload. Courier: 8191 and 8192 are too many.
LONGEST_LINE = 8190
LONGEST_PAYLOAD = 8191
#: Octets of all meta lines together. Courier has no limit.
LONGEST_META = 16 * 1024

_LONGEST_IP = 39
#: Courier's `.`, which stands for all modules.
ANY_MODULE = b"."


@dataclass(frozen=True, slots=True)
class Lookup:
    """PRE: look an account up without a password; ``module`` is one module's name or `.`."""

    service: bytes
    userid: bytes
    module: bytes = ANY_MODULE
    remote_ip: bytes = b""


@dataclass(frozen=True, slots=True)
class Authenticate:
    """AUTH: ``first`` and ``second`` are the two lines of authdata that count.

    For `login` userid and password; for `cram-md5` and its like challenge and response in base64.
    Empty: not there, as neither may be empty.
    """

    service: bytes
    authtype: bytes
    first: bytes
    second: Secret
    remote_ip: bytes = b""


@dataclass(frozen=True, slots=True)
class ChangePassword:
    """PASSWD."""

    service: bytes
    userid: bytes
    old: Secret
    new: Secret
    remote_ip: bytes = b""


@dataclass(frozen=True, slots=True)
class Enumerate:
    """ENUMERATE: list all accounts."""

    remote_ip: bytes = b""


Request = Lookup | Authenticate | ChangePassword | Enumerate


class Refused(ValueError):
    """The value can't be told to authdaemond, so no account has it."""


class Malformed(Exception):
    """The bytes are no request: the connection is closed without a reply."""


# --- Values to bytes ----------------------------------------------------------------------------


def encode(request: Request) -> bytes:
    """Return the bytes of a request.

    Raises:
        Refused: a value is empty, too long, or has an octet below 32, so it would end early or
            begin another line.
    """
    meta = b""
    if request.remote_ip:
        meta = b"TCPREMOTEIP=" + _clean(request.remote_ip) + b"\n"
    match request:
        case Lookup():
            words = [b"PRE", request.module, request.service, _clean(request.userid)]
            if b" " in _clean(request.module) + _clean(request.service):
                raise Refused("a blank in the service's name")
            command = b" ".join(words) + b"\n"
        case Authenticate():
            command = _auth(request)
        case ChangePassword():
            fields = [request.service, request.userid, request.old.reveal(), request.new.reveal()]
            command = b"PASSWD " + b"\t".join(map(_clean, fields)) + b"\n"
        case Enumerate():
            command = b"ENUMERATE\n"
    if len(command) > LONGEST_LINE:
        raise Refused("too long")
    return meta + command


def _auth(request: Authenticate) -> bytes:
    lines = [request.service, request.authtype, request.first, request.second.reveal()]
    payload = b"".join(_clean(line) + b"\n" for line in lines)
    return b"AUTH %d\n" % len(payload) + payload


_CONTROL = re.compile(rb"[\x00-\x1f]")


def _clean(value: bytes) -> bytes:
    if not value:
        raise Refused("empty")
    if _CONTROL.search(value):
        raise Refused("a control character")
    return value


# --- Bytes to values ----------------------------------------------------------------------------


class Reader:
    """Takes what one connection sends and returns its request once it is whole.

    What follows the request is ignored, as is its end: some clients close their half right away.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._meta_size = 0
        self._remote_ip = b""
        self._payload_size: int | None = None

    def feed(self, data: bytes) -> Request | None:
        """Take ``data``; return the request, or None while more is needed.

        Raises:
            Malformed: close the connection without a reply.
        """
        self._data += data
        while self._payload_size is None:
            line = self._line()
            if line is None:
                return None
            if request := self._command(line):
                return replace(request, remote_ip=self._remote_ip)
        if len(self._data) < self._payload_size:
            return None
        payload = bytes(self._data[: self._payload_size])
        return _authenticate(payload, self._remote_ip)

    def _line(self) -> bytes | None:
        end = self._data.find(b"\n", 0, LONGEST_LINE + 1)
        if end < 0:
            if len(self._data) > LONGEST_LINE:
                raise Malformed("line too long")
            return None
        line = bytes(self._data[:end])
        del self._data[: end + 1]
        return line

    def _command(self, line: bytes) -> Request | None:
        """Read one line. None: it was a meta line, or AUTH, whose payload comes next."""
        separator = _SEPARATOR.search(line)
        if separator and separator[0] == b"=":
            self._read_meta(line[: separator.start()], line[separator.end() :])
            return None
        word, _, rest = line.partition(b" ")
        rest = rest.lstrip(b" ")
        match word:
            case b"PRE":
                return _lookup(rest)
            case b"AUTH":
                self._payload_size = _length(rest)
                return None
            case b"PASSWD":
                return _change_password(rest)
            case b"ENUMERATE":
                return Enumerate()
        raise Malformed("unknown command")

    def _read_meta(self, name: bytes, value: bytes) -> None:
        self._meta_size += len(name) + len(value)
        if self._meta_size > LONGEST_META:
            raise Malformed("too many meta lines")
        if name == b"TCPREMOTEIP":
            self._remote_ip = value[:_LONGEST_IP]


_SEPARATOR = re.compile(rb"[ =]")
_ATOI = re.compile(rb"[ \t\v\f\r]*\+?([0-9]{1,9})(?![0-9])")


def _length(text: bytes) -> int:
    match = _ATOI.match(text)
    if match is None or not 0 < int(match[1]) <= LONGEST_PAYLOAD:
        raise Malformed("length of AUTH")
    return int(match[1])


def _lookup(rest: bytes) -> Lookup:
    words = re.fullmatch(rb"([^ ]+) +([^ ]+) +(.+)", rest, re.DOTALL)
    if words is None:
        raise Malformed("PRE needs module, service and userid")
    return Lookup(module=words[1], service=words[2], userid=words[3])


def _authenticate(payload: bytes, remote_ip: bytes) -> Authenticate:
    service, separator, rest = payload.partition(b"\n")
    authtype, separator, authdata = rest.partition(b"\n")
    if not separator:
        raise Malformed("AUTH needs service, authtype and authdata")
    # Courier: empty lines are dropped, so an empty password never reaches a module.
    first, second, *_ = [*filter(None, authdata.split(b"\n")), b"", b""]
    return Authenticate(service, authtype, first, Secret(second), remote_ip)


def _change_password(rest: bytes) -> ChangePassword:
    fields = rest.split(b"\t")
    if len(fields) < 4:
        raise Malformed("PASSWD needs four fields")
    service, userid, old, new = fields[:4]
    return ChangePassword(service, userid, Secret(old), Secret(new))
