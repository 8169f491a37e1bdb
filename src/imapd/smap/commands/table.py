"""SMAP's commands, and which of them need an open folder."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imapd.smap.commands.access import acl, deleteacl, getacl, setacl
from imapd.smap.commands.add import add
from imapd.smap.commands.copy import copy, move
from imapd.smap.commands.fetch import fetch
from imapd.smap.commands.folders import create, delete, mkdir, rename, rmdir
from imapd.smap.commands.idle import idle
from imapd.smap.commands.list import list_, status
from imapd.smap.commands.open import close, open_, sopen
from imapd.smap.commands.plain import expunge, logout, noop, rset
from imapd.smap.commands.search import search
from imapd.smap.commands.store import store
from imapd.smap.refusal import SyntaxRefused
from imapd.smap.words import Words

if TYPE_CHECKING:
    from imapd.smap.session import Session

#: Takes the words behind its name, yields octets and requests, and gives the text of its ``+OK``.
Handler = Callable[["Session", Words], str | Generator[Any, Any, str]]


@dataclass(frozen=True, slots=True)
class Command:
    handler: Handler
    needs_folder: bool = False


COMMANDS: Mapping[str, Command] = {
    "LIST": Command(list_),
    "STATUS": Command(status),
    "CREATE": Command(create),
    "MKDIR": Command(mkdir),
    "DELETE": Command(delete),
    "RMDIR": Command(rmdir),
    "RENAME": Command(rename),
    "ACL": Command(acl),
    "GETACL": Command(getacl),
    "SETACL": Command(setacl),
    "DELETEACL": Command(deleteacl),
    "OPEN": Command(open_),
    "SOPEN": Command(sopen),
    "CLOSE": Command(close),
    "NOOP": Command(noop),
    "IDLE": Command(idle),
    "FETCH": Command(fetch, needs_folder=True),
    "STORE": Command(store, needs_folder=True),
    "EXPUNGE": Command(expunge, needs_folder=True),
    "COPY": Command(copy, needs_folder=True),
    "MOVE": Command(move, needs_folder=True),
    "SEARCH": Command(search, needs_folder=True),
    "ADD": Command(add),
    "RSET": Command(rset),
    "LOGOUT": Command(logout),
}


def find(name: str, *, has_folder: bool) -> Command:
    """Give the command of this name.

    Raises:
        SyntaxRefused: there is none, or it needs an open folder.
    """
    command = COMMANDS.get(name)
    if command is None or (command.needs_folder and not has_folder):
        raise SyntaxRefused
    return command
