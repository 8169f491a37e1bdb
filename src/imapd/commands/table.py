"""The commands: in which state each is valid, and what it may disturb (RFC 9051 3, 7.5.1)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imapd import incoming
from imapd.commands import replace as replace_
from imapd.commands.acl import deleteacl, getacl, listrights, myrights, setacl
from imapd.commands.acl2 import acl2
from imapd.commands.append import append
from imapd.commands.cancelupdate import cancelupdate
from imapd.commands.capability import capability
from imapd.commands.close import close, unselect
from imapd.commands.compress import compress
from imapd.commands.copy import copy, move, uid_copy, uid_move
from imapd.commands.create import create
from imapd.commands.delete import delete
from imapd.commands.enable import enable
from imapd.commands.esearch import esearch
from imapd.commands.expunge import expunge, uid_expunge
from imapd.commands.fetch import fetch, uid_fetch
from imapd.commands.id import id
from imapd.commands.idle import idle
from imapd.commands.list import list_, lsub
from imapd.commands.logout import logout
from imapd.commands.metadata import getmetadata, literal_too_long, setmetadata
from imapd.commands.namespace import namespace
from imapd.commands.noop import check, noop
from imapd.commands.notify import notify
from imapd.commands.quota import getquota, getquotaroot, setquota
from imapd.commands.rename import rename
from imapd.commands.replace import replace, uid_replace
from imapd.commands.search import search, uid_search
from imapd.commands.select import examine, select
from imapd.commands.sort import sort, uid_sort
from imapd.commands.status import status
from imapd.commands.store import store, uid_store
from imapd.commands.subscribe import subscribe, unsubscribe
from imapd.commands.thread import thread, uid_thread
from imapd.commands.uidbatches import uidbatches
from imapd.commands.unauthenticate import unauthenticate
from imapd.completion import Completion
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session

Handler = Callable[["Session", Parser], Completion | Handling]


class Disturbs(enum.Enum):
    """Whether EXPUNGE may be told during a command."""

    NOTHING = enum.auto()  # sequence numbers must stay
    NUMBERS_IF_LAST = enum.auto()  # allowed, but a command behind it might use numbers
    NUMBERS = enum.auto()
    MESSAGES = (
        enum.auto()
    )  # which it removes: told even to a client that wants to hear of no changes


@dataclass(frozen=True, slots=True)
class Command:
    handler: Handler
    needs_mailbox: bool = False
    reads: bool = True  # of the selected mailbox, which the user must still be allowed to
    by_number: bool = False  # of messages: not with UIDONLY (RFC 9586 3.2)
    disturbs: Disturbs = Disturbs.NUMBERS_IF_LAST
    streams: Callable[[Parser], bool] = lambda arguments: False
    too_long: Callable[[Session], Completion] | None = None  # what is said of literals too large
    leaves: bool = False  # its OK is the session's last word: the client goes back to its log-in


COMMANDS: Mapping[str, Command] = {
    "CAPABILITY": Command(capability),
    "NOOP": Command(noop, disturbs=Disturbs.NUMBERS),
    "LOGOUT": Command(logout, disturbs=Disturbs.NOTHING),
    "UNAUTHENTICATE": Command(unauthenticate, disturbs=Disturbs.NOTHING, leaves=True),
    "ID": Command(id),
    "ENABLE": Command(enable),
    "COMPRESS": Command(compress),
    "NAMESPACE": Command(namespace),
    "IDLE": Command(idle, disturbs=Disturbs.NUMBERS),
    "NOTIFY": Command(notify, disturbs=Disturbs.NUMBERS),
    "SELECT": Command(select, disturbs=Disturbs.NOTHING),
    "EXAMINE": Command(examine, disturbs=Disturbs.NOTHING),
    "CREATE": Command(create),
    "DELETE": Command(delete),
    "RENAME": Command(rename),
    "SUBSCRIBE": Command(subscribe),
    "UNSUBSCRIBE": Command(unsubscribe),
    "LIST": Command(list_),
    "LSUB": Command(lsub),
    "STATUS": Command(status),
    "GETMETADATA": Command(getmetadata),
    "SETMETADATA": Command(setmetadata, too_long=literal_too_long),
    "SETACL": Command(setacl),
    "DELETEACL": Command(deleteacl),
    "GETACL": Command(getacl),
    "LISTRIGHTS": Command(listrights),
    "MYRIGHTS": Command(myrights),
    "ACL": Command(acl2),
    "APPEND": Command(append, streams=incoming.streams),
    "REPLACE": Command(
        replace,
        needs_mailbox=True,
        by_number=True,
        disturbs=Disturbs.NUMBERS,
        streams=replace_.streams,
    ),
    "UID REPLACE": Command(
        uid_replace, needs_mailbox=True, disturbs=Disturbs.NUMBERS, streams=replace_.streams
    ),
    "GETQUOTA": Command(getquota),
    "GETQUOTAROOT": Command(getquotaroot),
    "SETQUOTA": Command(setquota),
    "CHECK": Command(check, needs_mailbox=True, disturbs=Disturbs.NUMBERS),
    "CLOSE": Command(close, needs_mailbox=True, reads=False, disturbs=Disturbs.NOTHING),
    "UNSELECT": Command(unselect, needs_mailbox=True, reads=False, disturbs=Disturbs.NOTHING),
    "EXPUNGE": Command(expunge, needs_mailbox=True, disturbs=Disturbs.MESSAGES),
    "UID EXPUNGE": Command(uid_expunge, needs_mailbox=True, disturbs=Disturbs.MESSAGES),
    "SEARCH": Command(search, needs_mailbox=True, by_number=True, disturbs=Disturbs.NOTHING),
    "UID SEARCH": Command(uid_search, needs_mailbox=True),
    "ESEARCH": Command(esearch),
    "SORT": Command(sort, needs_mailbox=True, by_number=True, disturbs=Disturbs.NOTHING),
    "UID SORT": Command(uid_sort, needs_mailbox=True),
    "THREAD": Command(thread, needs_mailbox=True, by_number=True, disturbs=Disturbs.NOTHING),
    "UID THREAD": Command(uid_thread, needs_mailbox=True),
    "UIDBATCHES": Command(uidbatches, needs_mailbox=True),
    "CANCELUPDATE": Command(cancelupdate, needs_mailbox=True),
    "FETCH": Command(fetch, needs_mailbox=True, by_number=True, disturbs=Disturbs.NOTHING),
    "UID FETCH": Command(uid_fetch, needs_mailbox=True),
    "STORE": Command(store, needs_mailbox=True, by_number=True, disturbs=Disturbs.NOTHING),
    "UID STORE": Command(uid_store, needs_mailbox=True),
    "COPY": Command(copy, needs_mailbox=True, by_number=True),
    "UID COPY": Command(uid_copy, needs_mailbox=True),
    "MOVE": Command(move, needs_mailbox=True, by_number=True, disturbs=Disturbs.MESSAGES),
    "UID MOVE": Command(uid_move, needs_mailbox=True, disturbs=Disturbs.MESSAGES),
}


#: Valid before the log-in alone: who knows them is a client, too.
EARLIER = frozenset({"AUTHENTICATE", "LOGIN", "STARTTLS"})


def is_known(name: str, *, may_return: bool) -> bool:
    """Tell whether there is a command of this name, now or before the log-in.

    Args:
        may_return: the client may go back to its log-in.
    """
    command = COMMANDS.get(name)
    return name in EARLIER if command is None else may_return or not command.leaves


def find(name: str, *, selected: bool, may_return: bool) -> Command:
    """Give the command of this name.

    Raises:
        LookupError: there is none, or it needs a selected mailbox.
    """
    if not is_known(name, may_return=may_return):
        raise LookupError(name)
    command = COMMANDS[name]
    if command.needs_mailbox and not selected:
        raise LookupError(name)
    return command
