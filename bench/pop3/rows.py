"""What is measured, and the names under which it stands in the tables."""

from __future__ import annotations

START = "Process: an empty maildir, whose log-in is the start of the process"
FIRST = (
    "First session: the server has kept nothing yet; the log-in has the start of the process in it"
)
WARM = "Later session: nothing changed since; the log-in has the start of the process in it"
TCP = "Later session over TCP, with the daemons: connection, USER, PASS"
FETCHING = "Messages, of a later session"

LOGIN = "log-in"
LIST = "LIST"
UIDL = "UIDL"
LISTING = "LIST + UIDL"
TOTAL = "log-in + LIST + UIDL"
FETCHED = 1000  # messages of a round
RETR = f"RETR of {FETCHED:,} messages, one after the other"
QUIT = "QUIT after that"
#: A server may mark messages as seen at any of these.
KEPT = "RETR of them, LIST and QUIT together"
LARGE_SIZE = 50_000_000
RETR_LARGE = "RETR of a message of 50 MB"

SHORT = {
    START: "process",
    FIRST: "first session",
    WARM: "later session",
    TCP: "TCP",
    FETCHING: "messages",
}
