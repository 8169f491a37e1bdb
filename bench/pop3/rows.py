"""What is measured, and the names under which it stands in the tables."""

from __future__ import annotations

START = "Process: its start and a log-in to an empty maildir"
FIRST = "First session: the server has kept nothing yet"
WARM = "Later session: nothing changed since"
FETCHING = "Messages, of a later session"

EMPTY = "start, log-in"
LOGIN = "start, log-in"
LIST = "LIST"
UIDL = "UIDL"
LISTING = "LIST + UIDL"
TOTAL = "start, log-in + LIST + UIDL"
NET = "log-in + LIST + UIDL without the start"
FETCHED = 1000  # messages of a round
RETR = f"RETR of {FETCHED:,} messages, one after the other"
QUIT = "QUIT after that"
LARGE_SIZE = 50_000_000
RETR_LARGE = "RETR of a message of 50 MB"

SHORT = {START: "process", FIRST: "first session", WARM: "later session", FETCHING: "messages"}
