"""What is measured: the commands, and the names under which their times stand in the tables."""

from __future__ import annotations

from bench.imap.mail import BODY_WORD, SENDER, SUBJECT_WORD

# Sections of a table, one for each way of measuring.
FIRST = "First opening: the server has kept nothing yet; each row a new process that has selected"
SECOND = "Second opening: one new process; the first opening was earlier, nothing changed since"
SINCE = "New process after a change, and NOOP of an open session after one"
CHANGED = "Changes, with what each server syncs as shipped; Courier never does"
UNSYNCED = "The same changes, nothing synced"
FULLTEXT = "SEARCH BODY in a new process, ours with IMAP_FULLTEXT=1 and its index built"
TCP = "Over TCP, from the daemons"
COLD = "Cold: the kernel's caches were emptied before each row"
MEMORY = "Memory of the session's process, MB"
GROWTH = "10,000 APPENDs into a folder of 100,000, synced; of each thousand"

SHORT = {
    FIRST: "first opening",
    SECOND: "second opening",
    SINCE: "after a change",
    CHANGED: "changes, synced",
    UNSYNCED: "changes, not synced",
    FULLTEXT: "full-text index",
    TCP: "TCP",
    COLD: "cold",
    MEMORY: "memory",
    GROWTH: "growth",
}

# As Thunderbird asks when it opens a folder (nsImapProtocol.cpp).
THUNDERBIRD = (
    "UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority "
    "X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)]"
)

SELECT = "SELECT"
SELECT_COMMAND = "SELECT INBOX"
BUILD = "FETCH (ENVELOPE BODYSTRUCTURE)"
CHANGE = 1000  # messages of one change

THREAD = "THREAD REFERENCES"
THREAD_ONCE = "THREAD REFERENCES after that"  # no result of an earlier one is kept yet

READING = {
    "UID FETCH FLAGS": "UID FETCH 1:* (FLAGS)",
    "FETCH RFC822.SIZE": "FETCH 1:* (RFC822.SIZE)",
    "FETCH INTERNALDATE": "FETCH 1:* (INTERNALDATE)",
    "FETCH ENVELOPE": "FETCH 1:* (ENVELOPE)",
    "FETCH BODYSTRUCTURE": "FETCH 1:* (BODYSTRUCTURE)",
    "FETCH header fields of Thunderbird": f"UID FETCH 1:* ({THUNDERBIRD})",
    "SORT (DATE)": "SORT (DATE) UTF-8 ALL",
    "SORT (SUBJECT)": "SORT (SUBJECT) UTF-8 ALL",
    "SORT (FROM)": "SORT (FROM) UTF-8 ALL",
    THREAD: "THREAD REFERENCES UTF-8 ALL",
    "SEARCH SUBJECT": f'SEARCH SUBJECT "{SUBJECT_WORD}"',
    "SEARCH FROM": f'SEARCH FROM "{SENDER}"',
    "SEARCH BODY": f'SEARCH BODY "{BODY_WORD}"',
}
SEARCH_BODY = "SEARCH BODY"
FULLTEXT_BUILD = "until the index is built, beside other sessions"
BUILD_COMMAND = "FETCH 1:* (ENVELOPE BODYSTRUCTURE)"

#: Rows of the first opening, each after everything kept was removed; a large folder has the last alone.
READ_FIRST = [
    "UID FETCH FLAGS",
    "FETCH RFC822.SIZE",
    "FETCH ENVELOPE",
    "FETCH BODYSTRUCTURE",
    "FETCH header fields of Thunderbird",
    "SORT (DATE)",
    "THREAD REFERENCES",
    "SEARCH SUBJECT",
    "SEARCH BODY",
]
#: Rows of a folder in which each of Courier's takes a minute.
READ_HUGE = [
    "UID FETCH FLAGS",
    "FETCH RFC822.SIZE",
    "FETCH ENVELOPE",
    "SORT (DATE)",
    "SEARCH SUBJECT",
]
READ_COLD = ["UID FETCH FLAGS", "FETCH ENVELOPE"]

STATUS = "STATUS, not selected"
STATUS_COMMAND = "STATUS INBOX (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)"
FETCH_FLAGS_COMMAND = "FETCH 1:* (FLAGS)"

AFTER_OWN = "SELECT after the previous session changed flags"
AFTER_FOREIGN = "SELECT after a foreign change"
NOOP_OWN = "NOOP after own flag change"
NOOP_FOREIGN = "NOOP after a foreign flag change"

COPY = f"COPY of {CHANGE:,}"
APPEND = f"APPEND of {CHANGE:,}"
STORE = f"STORE of {CHANGE:,}"
EXPUNGE = f"EXPUNGE of {CHANGE:,}"

PRIVATE = "private, after SELECT and FETCH 1:* (FLAGS)"
PEAK = "peak of that"
PEAK_FIRST = "peak of the first SELECT"
PEAK_BUILD = f"peak of the first {BUILD}"
