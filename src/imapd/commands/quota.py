"""GETQUOTA, GETQUOTAROOT, SETQUOTA. RFC 9208 4.1, RFC 2087 4.

Quota roots are Courier's: `ROOT` is the account's own, `SHARED` and `PUBLIC` stand for other
people's folders and tell nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from courier.process.request import Work
from imapd import mailbox, names
from imapd.completion import Completion, No, Ok
from imapd.request import Handling
from imapd.wire.parser import Parser
from imapd.wire.writer import string

if TYPE_CHECKING:
    from imapd.session import Session

_OWN = "ROOT"
_ROOTS = (_OWN.encode(), b"PUBLIC", b"SHARED")


def getquota(session: Session, arguments: Parser) -> Handling:
    arguments.sp()
    root = arguments.astring()
    arguments.end()

    if root not in _ROOTS:  # RFC 9208 4.1.1. Courier: one without limits
        return No("GETQUOTA No such quota root.", "NONEXISTENT")
    yield from _quota(session, root)
    return Ok("GETQUOTA Ok.")


def getquotaroot(session: Session, arguments: Parser) -> Handling:
    """Tell the root of a mailbox, whether it exists or not (RFC 9208 4.1.3)."""
    name = mailbox.argument(session, arguments)
    arguments.end()

    root = _root(name)
    yield f'* QUOTAROOT {mailbox.quoted(session, name)} "{root}"\r\n'.encode()
    yield from _quota(session, root.encode())
    return Ok("GETQUOTAROOT Ok.")


def setquota(session: Session, arguments: Parser) -> Completion:
    # Courier: whatever the arguments are. Limits are the administrator's.
    return No("SETQUOTA No permission.", "NOPERM")


def _root(name: str) -> str:
    if names.folder(name) is not None:
        return _OWN
    if name.startswith("#shared."):
        return "PUBLIC"
    if name.startswith("shared."):
        return "SHARED"
    raise names.InvalidName


def _quota(session: Session, root: bytes) -> Handling:
    """Tell what a root limits, with what is used; nothing of roots that are not the account's."""
    found = None
    if root == _OWN.encode():
        found = yield Work(session.quota.read)
    resources = []
    if found is not None:
        limits, used = found
        if limits.octets:
            resources.append(f"STORAGE {_kib(used.octets)} {_kib(limits.octets)}")
        if limits.messages:
            resources.append(f"MESSAGE {used.messages} {limits.messages}")
    # RFC 9208 7: parentheses stand there also around nothing. Courier leaves them out.
    yield b"* QUOTA " + string(root) + f" ({' '.join(resources)})\r\n".encode()
    return Ok("")


def _kib(octets: int) -> int:
    return -(-octets // 1024)
