"""Log lines: each event is one function, and its format stands here once.

Administrators' filters (logcheck, fail2ban) read these lines, so they are Courier's to the byte. A
line begins with its level, `ERR:`, `WARN:`, `INFO:`, `DEBUG:` or (at info) `NOTICE:`, which
courierlogger turns into syslog's. What a client or a file name brought in goes through `_safe`, so
that it never starts a line of its own.

Lines go to one descriptor, standard error unless `use` was called, one write each.
"""

import enum
import os
import re
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass

# One write of this size to a pipe is atomic, so lines of several processes don't mix.
_LONGEST_LINE = 4096
_LONGEST_VALUE = 1000
# Courier cuts these lines at 1023 octets; the address has to be in them.
_LONGEST_TYPED = 900

_descriptor = 2
_for_journal = False

_TOLD_AGAIN_S = 600.0
_MOST_TOLD = 1000
#: When a trouble of `recurring` was told last, by time.monotonic.
_told: dict[tuple[str, str, int | None], float] = {}

# courierlogger's words and syslog's numbers (sd-daemon(3)). NOTICE is none of them: it stays.
_LEVELS = {"ALERT": 1, "CRIT": 2, "ERR": 3, "WARN": 4, "INFO": 6, "DEBUG": 7}


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection, as numbers in text: `::ffff:192.0.2.1`, `52254`."""

    ip: str
    port: str | int


class End(enum.Enum):
    """How a session ended; the value begins its line."""

    LOGOUT = "INFO: LOGOUT"
    DISCONNECTED = "INFO: DISCONNECTED"
    TIMEOUT = "INFO: TIMEOUT"
    SIGNAL = "NOTICE: Disconnected during shutdown by signal"


def use_levels(*, for_journal: bool) -> None:
    """Write levels as the journal takes them, ``<6>``, in place of Courier's words."""
    global _for_journal  # noqa: PLW0603  as above
    _for_journal = for_journal


def use(descriptor: int) -> None:
    """Send all lines of this process to ``descriptor`` from now on."""
    global _descriptor  # noqa: PLW0603  a process has one log, like its standard error
    _descriptor = descriptor


# --- Sessions -----------------------------------------------------------------------------------


def login(user: str, peer: Peer, protocol: str, tls: bool) -> None:
    # Courier: `starttls=1` since 5.2.6, for connections to port 993 as well.
    write(f"INFO: LOGIN, {_who(user, peer)}, protocol={protocol}{_starttls(tls)}")


def login_failed(typed: bytes, peer: Peer) -> None:
    write(f"INFO: LOGIN FAILED, user={_typed(typed)}, {_where(peer)}")


def debug_login(peer: Peer, what: str, typed: bytes) -> None:
    """DEBUG_LOGIN: something that a client has typed before its log-in."""
    write(f"DEBUG: LOGIN: ip=[{_safe(peer.ip)}], {what}={_typed(typed)}")


def home_unreachable(user: str, home: str, failure: OSError) -> None:
    write(f"WARN: {_safe(user)}: chdir({_safe(home)}) failed!!")
    write(f"WARN: error: {failure.strerror}")


def maildir_unreachable(user: str, maildir: str, failure: OSError) -> None:
    # Courier: the first of them has no level.
    write(f"chdir {_safe(maildir)}: {failure.strerror}")
    write(f"ERR: {_safe(user)}: {failure.strerror}")


def maildir_not_owned(user: str) -> None:
    text = "Account's mailbox directory is not owned by the correct uid or gid"
    write(f"ERR: {_safe(user)}: {text}")


def locked(user: str, peer: Peer) -> None:
    write(f"INFO: LOCKED, {_who(user, peer)}")


def end(
    kind: End,
    user: str,
    peer: Peer,
    headers: int,
    body: int,
    received: int,
    sent: int,
    seconds: int,
    tls: bool,
) -> None:
    """``headers`` and ``body`` are octets of messages, ``received`` and ``sent`` all octets."""
    write(
        f"{kind.value}, {_who(user, peer)}, headers={headers}, body={body}, "
        f"rcvd={received}, sent={sent}, time={seconds}{_starttls(tls)}"
    )


def expunged(user: str, peer: Peer, old_name: str, new_name: str | None = None) -> None:
    """``new_name``: the message also stays there, in the trash folder."""
    kept = f", new_name={_safe(new_name)}: only new_name will be left" if new_name else ""
    write(f"INFO: EXPUNGED, {_who(user, peer)}, old_name={_safe(old_name)}{kept}")


def not_sent(user: str, said: str) -> None:
    """A message put into the outbox; ``said`` is what the program that sends mail had to say."""
    # Courier: control characters are slashes.
    text = "".join("/" if ord(char) < 0x20 or char == "\x7f" else char for char in said)
    write(f"ERR: error sending a message, user={_safe(user)}: {_safe(text)}")


def client_id(user: str, peer: Peer, fields: Iterable[tuple[str, str | None]]) -> None:
    """The fields of an ID command, in the client's order (RFC 2971)."""
    named = "".join(
        f", {_safe(name)}={'(nil)' if value is None else _safe(value)}" for name, value in fields
    )
    write(f"INFO: ID, {_who(user, peer)}{named}")


def fetch_failed(what: str, uid: int, filename: str, item: str) -> None:
    """``uid`` is the process's user, ``item`` as it was asked for: `BODY[HEADER]`."""
    # Courier: this line has no level.
    write(f"IMAP FETCH ERROR: {what}, uid={uid}, filename={_safe(filename)}: {_safe(item)}")


def index_progress(path: str, done: int, total: int) -> None:
    """A folder's messages are being read, for the first time or after its index was removed."""
    write(f"INFO: index of {_safe(path)}: {done} of {total} messages read")


# --- POP3 sessions ------------------------------------------------------------------------------


def pop3_login(user: str, peer: Peer, tls: bool) -> None:
    # Courier: `stls=1` since 5.2.6, for connections to port 995 as well.
    write(f"INFO: LOGIN, {_who(user, peer)}{_stls(tls)}")


def pop3_passed_on(user: str, peer: Peer, tls: bool) -> None:
    """A log-in whose session another host has."""
    # Courier: a protocol, which is empty.
    write(f"INFO: LOGIN, {_who(user, peer)}, protocol={_stls(tls)}")


def pop3_end(
    kind: End | None,
    user: str,
    peer: Peer,
    top: int,
    retr: int,
    received: int,
    sent: int,
    seconds: int,
    tls: bool,
) -> None:
    """``top`` and ``retr`` are octets of messages as files have them; no kind: a file failed."""
    begin = "INFO: I/O error disconnect" if kind is None else kind.value
    write(
        f"{begin}, {_who(user, peer)}, top={top}, retr={retr}, rcvd={received}, sent={sent}, "
        f"time={seconds}{_stls(tls)}"
    )


def pop3_end_before_login(peer: Peer) -> None:
    write(f"DEBUG: Disconnected, {_where(peer)}")


def pop3_logout_before_login(peer: Peer) -> None:
    write(f"INFO: LOGOUT, {_where(peer)}")


def pop3_deleted(user: str, peer: Peer, name: str) -> None:
    """``name``: of the file, below the maildir."""
    write(f"INFO: DELETED, {_who(user, peer)}, filename={_safe(name)}")


def pop3_list_not_saved(user: str) -> None:
    write(f"ERR: Error while saving courierpop3dsizelist, user={_safe(user)}")


def pop3_io_error(name: str, failure: OSError) -> None:
    write(f"ERR: I/O error while reading message file {_safe(name)}: {failure.strerror}")


def _stls(tls: bool) -> str:
    return ", stls=1" if tls else ""


# --- Anything else ------------------------------------------------------------------------------


def error(what: str, path: object, failure: OSError) -> None:
    """The system failed us: what was tried, on which path, and errno's text."""
    where = os.fsdecode(path) if isinstance(path, bytes) else str(path)
    write(f"ERR: {_safe(what)}: {_safe(where)}: {_safe(failure.strerror or str(failure))}")


def recurring(what: str, path: object, failure: OSError) -> None:
    """As `error`, for what is tried again and again: the same trouble is told every ten minutes.

    A full disk, or no descriptor left, would else fill the log with each attempt.
    """
    now = time.monotonic()
    key = what, str(path), failure.errno
    if now < _told.get(key, float("-inf")) + _TOLD_AGAIN_S:
        return
    if len(_told) >= _MOST_TOLD:
        _told.clear()
    _told[key] = now
    error(what, path, failure)


def index_unusable(path: str, failure: Exception) -> None:
    """The index of a folder is thrown away and made anew."""
    reason = failure.strerror if isinstance(failure, OSError) else str(failure)
    write(f"WARN: index cannot be used: {_safe(path)}: {_safe(reason or 'system error')}")


def index_built(path: str, messages: int, seconds: float) -> None:
    """A big folder was read from scratch."""
    write(f"INFO: index built: {_safe(path)}: {messages} messages in {seconds:.1f} s")


def connection(peer: Peer) -> None:
    write(f"DEBUG: Connection, {_where(peer)}")


def disconnected(peer: Peer, seconds: int, tls: bool) -> None:
    """A connection that ended before log-in."""
    write(f"DEBUG: Disconnected, {_where(peer)}, time={seconds}{_starttls(tls)}")


def shut_down_before_login(peer: Peer, seconds: int) -> None:
    write(f"{End.SIGNAL.value}, {_where(peer)}, time={seconds}")


def logout_before_login(peer: Peer, received: int, sent: int) -> None:
    write(f"INFO: LOGOUT, {_where(peer)}, rcvd={received}, sent={sent}")


def method_failed(mechanism: str, peer: Peer) -> None:
    """An AUTHENTICATE that failed, whoever it was meant to be."""
    write(f"INFO: LOGIN FAILED, method={_typed(mechanism.encode())}, {_where(peer)}")


def authentication_error(failure: int) -> None:
    """Nobody can tell now who a client is; ``failure`` is the system's number for why."""
    # Courier: and a LOGIN FAILED line, by which filters would ban those who type nothing wrong.
    write(f"ERR: authentication error: {os.strerror(failure)}")


def tls_failed(peer: Peer, reason: str) -> None:
    # Courier: couriertls's line begins with the address, without a port.
    write(f"INFO: ip=[{_safe(peer.ip)}], {_safe(reason)}")


def not_proxied(peer: Peer, reason: str) -> None:
    # Courier: the reason alone.
    write(f"INFO: {_safe(reason)}, {_where(peer)}")


def died(what: str, pid: int, how: str) -> None:
    """One of our own processes ended as it should not."""
    write(f"ERR: {what} {pid} died: {_safe(how)}")


def line(text: str) -> None:
    """A line that its writer has put together, level and all, from text that is safe."""
    write(_safe(text))


def warn(text: str) -> None:
    write(f"WARN: {_safe(text)}")


def bug(user: str, command: str, failure: BaseException) -> None:
    """A traceback, a line for each of its lines, under the user and the command's name."""
    write(f"ERR: {_safe(user)}: {_safe(command)}: internal error, its traceback follows")
    for block in traceback.format_exception(failure):
        for line in block.splitlines():
            write(f"ERR: {_safe(line)}")


def _who(user: str, peer: Peer) -> str:
    return f"user={_safe(user)}, {_where(peer)}"


def _where(peer: Peer) -> str:
    return f"ip=[{_safe(peer.ip)}], port=[{_safe(str(peer.port))}]"


def _typed(octets: bytes) -> str:
    """Write what a stranger typed: a dot for each octet that is not printable ASCII.

    Courier: a comma stays, and hides the address from fail2ban's filter; so does a long text, at
    whose end the line is cut.
    """
    text = re.sub(rb"[^ -+\--~]", b".", octets[:_LONGEST_TYPED])
    return text.decode("ascii")


def _starttls(tls: bool) -> str:
    return ", starttls=1" if tls else ""


def _safe(text: str) -> str:
    r"""Write what is not printable as `\x0a`, and cut what is too long."""
    safe = text[: _LONGEST_VALUE + 1]
    if not safe.isprintable():
        safe = "".join(c if c.isprintable() else _escaped(c) for c in safe)
    return safe if len(safe) <= _LONGEST_VALUE else safe[:_LONGEST_VALUE] + "..."


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # an octet of a file name that is no UTF-8
        return f"\\x{ord(character) & 0xFF:02x}"
    return "".join(f"\\x{octet:02x}" for octet in character.encode("utf-8", "surrogatepass"))


def write(line: str) -> None:
    """Write a line that begins with its level; nothing in it is escaped here."""
    if _for_journal:
        level, _, text = line.partition(":")
        number = _LEVELS.get(level)
        line = f"<6>{line}" if number is None else f"<{number}>{text.lstrip()}"
    data = line.encode("utf-8", "backslashreplace")[: _LONGEST_LINE - 1] + b"\n"
    try:
        os.write(_descriptor, data)
    except OSError:
        pass  # the log's reader is gone or its disk full: no reason to end anybody's session
