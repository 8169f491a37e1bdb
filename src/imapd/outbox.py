"""The outbox: what a client puts into this folder is sent as mail (Courier's XCOURIEROUTBOX).

A message is sent once it is whole in ``tmp/`` and the quota has room for it, and before anybody sees
it in the folder. A crash in between leaves a message that was sent and is not stored, so that its
client, which was told nothing, will send it again.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from typing import IO, TYPE_CHECKING

from courier import log
from courier.maildir.folder import Folder
from imapd.mailboxes import Mailbox, Space

if TYPE_CHECKING:
    from imapd.account_session import AccountSession

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: Seconds after which a program that does not end is ended.
_PATIENCE_S = 300.0
#: Octets of what it says that are logged.
_SAID = 512


#: Opens a message, its lines ended by LF; raises OSError.
Content = Callable[[], IO[bytes]]


class NotSent(OSError):
    """The program that sends mail has failed; the log says how."""


def is_outbox(session: AccountSession, target: Mailbox) -> bool:
    outbox = session.settings.outbox
    return outbox is not None and target.space is Space.PERSONAL and f".{target.folder}" == outbox


def sending(
    session: AccountSession, target: Mailbox, messages: Sequence[Content]
) -> Callable[[], None] | None:
    """Give what sends these messages, one after the other; None if ``target`` is another folder.

    What it gives is called in a thread, and raises NotSent; those before it are sent.
    """
    return partial(_send_all, session, messages) if is_outbox(session, target) else None


def of_file(path: str) -> IO[bytes]:
    """Open a message that waits in ``tmp/``."""
    return open(path, "rb")


def of_folder(folder: Folder, uid: int) -> IO[bytes]:
    """Open a message of a folder."""
    return io.BytesIO(folder.read(uid)[0])


def _send_all(session: AccountSession, messages: Sequence[Content]) -> None:
    for content in messages:
        with content() as message:
            _send(session, message)


def _send(session: AccountSession, message: IO[bytes]) -> None:
    own = sender(session)
    reason = send(session, ["-t", *(("-f", own) if own else ())], message)
    if reason is not None:
        log.not_sent(session.client.user, f"{reason}Message send FAILED.\n")
        raise NotSent


def sender(session: AccountSession) -> str:
    """Say who sends what this session sends."""
    # Courier: AUTHADDR, where a log-in program of before 2004 has set it.
    return _CONTROL.sub("?", session.settings.environment.get("AUTHADDR") or session.client.user)


def send(session: AccountSession, arguments: Sequence[str], message: IO[bytes]) -> str | None:
    """Have a message sent by SENDMAIL with these arguments, behind ``-oi``; say why if it fails."""
    settings = session.settings
    header = f"{settings.header_from}: {sender(session)}\n" if settings.header_from else ""
    # Files and no pipes: a program that does not read, or talks too much, blocks nobody.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(header.encode("utf-8", "surrogateescape"))
        shutil.copyfileobj(message, given)
        given.seek(0)
        try:
            process = subprocess.Popen(
                [settings.sendmail, "-oi", *arguments],
                stdin=given,
                stdout=said,
                stderr=said,
                cwd=session.tree.path,
                env={**os.environ, **settings.environment},
            )
            status, reason = _ended(process), ""
        except OSError as error:
            status, reason = -1, f"{settings.sendmail}: {error.strerror}\n"
        return None if status == 0 else reason or _text(said)


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Wait for a program's end and give its status; one that takes too long is ended."""
    try:
        return process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        log.warn(f"sendmail: still running after {_PATIENCE_S:.0f} seconds")
        process.kill()
        return process.wait()


def _text(said: IO[bytes]) -> str:
    said.seek(0)
    return said.read(_SAID).decode("utf-8", "replace")
