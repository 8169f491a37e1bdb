"""The message that tells an account's user that its quota is nearly used up.

At most one a day: the age of the file `quotawarn` in the maildir says when the last one came.
"""

from __future__ import annotations

import email.utils
import os
import socket
import time

from courier.maildir import delivery
from courier.maildir.delivery import TemporaryFile
from courier.maildir.quota import Quota, Usage

STAMP = "quotawarn"
EVERY_S = 86_400


def warn(maildir: str, account: Quota, percentage: int, template: str) -> bool:
    """Deliver the text in the file ``template`` if the quota is used to this part; tell if it was.

    Without such a file nothing happens. The stamp comes first: a crash behind it costs the warning of
    a day, and no user is told twice. The message counts, though it may not have room.

    Raises:
        OSError: the stamp or the message could not be written.
    """
    found = account.read()
    if found is None:
        return False
    limits, used = found
    if limits.percentage(used) < percentage or _is_recent(maildir):
        return False
    try:
        text, _ = delivery.read_regular(template)
    except OSError:
        return False
    delivery.write_atomically(maildir, STAMP, b"\0")
    now = time.time()
    head = (
        f"Date: {email.utils.formatdate(now, localtime=True)}\n"
        f"Message-Id: <{int(now)}.overquota@{socket.gethostname()}>\n"
    )
    with TemporaryFile(maildir, sync=True, uniq="warn") as file:
        file.write(head.encode() + text)
        account.note(Usage(file.size, 1))
        file.land("new")
    delivery.sync_directory(os.path.join(maildir, "new"))
    return True


def _is_recent(maildir: str) -> bool:
    try:
        age = time.time() - os.stat(os.path.join(maildir, STAMP)).st_mtime
    except FileNotFoundError:
        return False
    return 0 <= age < EVERY_S  # one from the future is none
