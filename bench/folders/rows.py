"""What is measured: the commands, and the names under which their times stand in the tables."""

from __future__ import annotations

# Sections of a table, one for each way of measuring.
FIRST = "First: the server has kept nothing yet; each row a new process"
NEW = "New process: each row is its first command; nothing changed since an earlier one's"
AGAIN = "Open session: each row was answered before in this session, and nothing changed since"
CHANGED = "After new messages: a session that was open meanwhile, and a new process"
TCP = "Over TCP, from the daemons: a new connection; each row is its first command after the log-in"

SHORT = {
    FIRST: "first",
    NEW: "new process",
    AGAIN: "open session",
    CHANGED: "after new messages",
    TCP: "TCP",
}

LIST = 'LIST "" "*"'
LEVEL = 'LIST "" "%"'
RETURN = "LIST with CHILDREN, SPECIAL-USE, SUBSCRIBED"
SUBSCRIBED = "LIST of those subscribed"
LSUB = 'LSUB "" "*"'
STATUS = "LIST with STATUS (MESSAGES UNSEEN UIDNEXT)"
SIZE = "LIST with STATUS (SIZE)"
MODSEQ = "LIST with STATUS (HIGHESTMODSEQ)"
NOTIFY = "NOTIFY SET of all, with STATUS"

EACH = "STATUS of each folder, one command after the other"

LOGIN = "connect, LOGIN"
STATUS_OPEN = "LIST with STATUS, session that was open"
STATUS_NEW = "LIST with STATUS, new process"

NUMBERS = "(MESSAGES UNSEEN UIDNEXT)"
_LIST_OF_ALL = 'LIST "" "*" RETURN'
COMMANDS = {
    LIST: LIST,
    LEVEL: LEVEL,
    RETURN: f"{_LIST_OF_ALL} (CHILDREN SPECIAL-USE SUBSCRIBED)",
    SUBSCRIBED: 'LIST (SUBSCRIBED) "" "*" RETURN (CHILDREN)',
    LSUB: LSUB,
    STATUS: f"{_LIST_OF_ALL} (STATUS {NUMBERS})",
    SIZE: f"{_LIST_OF_ALL} (STATUS (SIZE))",
    MODSEQ: f"{_LIST_OF_ALL} (STATUS (HIGHESTMODSEQ))",
    NOTIFY: "NOTIFY SET STATUS (personal (MessageNew MessageExpunge FlagChange MailboxName))",
}
ALL = (*COMMANDS, EACH)
#: Those whose answers have the names of all folders in them.
OF_ALL = (LIST, RETURN, STATUS, SIZE, MODSEQ, EACH)
#: Each after everything kept was removed.
OF_FIRST = (LIST, STATUS, SIZE)
