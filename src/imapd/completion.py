"""Completions: how a command ended (RFC 9051 7.1), and the errors that carry one."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass

from courier.maildir.lock import LockTimeout

_CONTROL = re.compile("[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Completion:
    """A tagged status: ``text`` for people, ``code`` the response code without brackets."""

    text: str
    code: str = ""

    @property
    def status(self) -> str:
        return type(self).__name__.upper()

    def line(self, tag: bytes) -> bytes:
        """Give the response line, its end included; nothing in the text can end it earlier."""
        code = f"[{self.code}] " if self.code else ""
        return tag + f" {self.status} {code}{_CONTROL.sub('?', self.text)}\r\n".encode()


class Ok(Completion):
    """The command was carried out."""


class No(Completion):
    """The command was understood and could not be carried out."""


class Bad(Completion):
    """The command was not understood, or not in its place."""


def code_of(error: OSError) -> str:
    """Give the response code that says to a client what the system says (RFC 5530); mostly there is none."""
    return "INUSE" if isinstance(error, LockTimeout) else _CODES.get(error.errno or 0, "")


_CODES = {
    errno.EACCES: "NOPERM",
    errno.EDQUOT: "OVERQUOTA",
    errno.ENOSPC: "OVERQUOTA",  # to a client it is the same: nothing more until something is removed
    errno.EEXIST: "ALREADYEXISTS",
    errno.EINVAL: "CANNOT",
    errno.ENAMETOOLONG: "LIMIT",
    errno.EPERM: "NOPERM",
    errno.EROFS: "NOPERM",
}


class CommandFailed(Exception):
    """The client's fault, or a refusal: the command ends with this completion."""

    def __init__(self, completion: Completion) -> None:
        super().__init__(completion.text)
        self.completion = completion


class Violation(CommandFailed):
    """The client broke the protocol: unknown command, wrong state, wrong grammar.

    Ten unknown commands in a row end the session. Courier says NO, RFC 9051 7.1.3 wants BAD.
    """

    def __init__(self) -> None:
        super().__init__(Bad("Error in IMAP command received by server."))


class InvalidArgument(CommandFailed):
    """A mailbox name is missing or no astring. Courier's own text, not counted as violation."""

    def __init__(self) -> None:
        super().__init__(Bad("Invalid command"))


class Farewell(Exception):
    """The session must end; ``text`` is that of the ``BYE``."""

    def __init__(self, text: str, *, is_timeout: bool = False, is_orderly: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.is_timeout = is_timeout
        self.is_orderly = is_orderly  # nothing is wrong with the server
