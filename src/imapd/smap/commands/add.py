"""ADD: describe a message step by step, then upload it, to be stored, sent, or both."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from courier import log
from courier.maildir import filename
from courier.maildir.delivery import TemporaryFile
from courier.maildir.folder import Folder, Prepared
from courier.process.request import Work
from imapd import acl_letters, mailbox, outbox
from imapd.completion import Farewell
from imapd.smap import paths
from imapd.smap import reader as uploads
from imapd.smap.addition import Addition
from imapd.smap.commands import store
from imapd.smap.reader import MalformedUpload, Upload
from imapd.smap.refusal import Refused, because, failed, invalid, missing
from imapd.smap.words import Words, quoted

if TYPE_CHECKING:
    from imapd.smap.session import Session

#: Recipients of one message.
_MOST = 1000
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOTIFY = re.compile(r"[A-Za-z,]*")


class _NotSent(OSError):
    """The program that sends mail has failed, saying this."""


def add(session: Session, words: Words) -> Generator[Any, Any, str]:
    status = "So far, so good..."
    for word in words.rest():
        if word.startswith("{"):
            status = yield from _upload(session, word)
            session.addition = Addition()
            return status
        name, equals, value = word.partition("=")
        if word.upper() == "FOLDER":
            status = _set_folder(session, words)
        elif equals and name.upper() in _SETTINGS:
            status = _SETTINGS[name.upper()](session, value) or status
    return status


def _set_folder(session: Session, words: Words) -> str:
    session.addition.target = None
    try:
        found = paths.find(session, words.list())
    except OSError as error:
        raise failed("Invalid folder", error) from error
    session.addition.target = paths.require(found, "i")
    return "Will add to this folder"


def _set_flags(session: Session, value: str) -> str:
    session.addition.flags = store.flags(value)
    return "FLAGS set"


def _set_keywords(session: Session, value: str) -> str:
    if not session.settings.keywords:
        return ""
    session.addition.keywords = store.keywords(value)
    return "KEYWORDS set"


def _set_date(session: Session, value: str) -> str:
    date = store.date(value)
    if date is not None:
        session.addition.date = date
    return "INTERNALDATE set"


def _set_sender(session: Session, value: str) -> str:
    session.addition.sender = _address(value)
    return "MAIL FROM set"


def _add_recipient(session: Session, value: str) -> str:
    if len(session.addition.recipients) >= _MOST:
        raise Refused(os.strerror(errno.E2BIG))
    session.addition.recipients.append(_address(value))
    return "RCPT TO set"


def _set_notify(session: Session, value: str) -> str:
    if not _NOTIFY.fullmatch(value):
        raise Refused(because(invalid()))
    session.addition.notify = value
    return "NOTIFY set"


_SETTINGS: dict[str, Callable[[Session, str], str]] = {
    "FLAGS": _set_flags,
    "KEYWORDS": _set_keywords,
    "INTERNALDATE": _set_date,
    "MAILFROM": _set_sender,
    "RCPTTO": _add_recipient,
    "NOTIFY": _set_notify,
}


def _address(text: str) -> str:
    """Take what becomes an argument of SENDMAIL: neither an option nor several lines.

    Raises:
        Refused: it is. Courier hands on what it gets.
    """
    if text.startswith("-") or _CONTROL.search(text):
        raise Refused(because(invalid()))
    return text


# -- the message ---------------------------------------------------------------------------------


def _upload(session: Session, word: str) -> Generator[Any, Any, str]:
    upload, size = uploads.upload(word)
    addition = session.addition
    limit = session.settings.max_append
    if limit and size > limit:
        raise Refused(os.strerror(errno.EFBIG))
    try:
        folder = None if addition.target is None else _opened(session)
        directory = session.tree.path if folder is None else folder.path
        file = TemporaryFile(directory, sync=session.settings.fsync)
    except OSError as error:
        log.error("cannot store message", error.filename or session.tree.path, error)
        raise Refused(because(error)) from error
    with file:
        yield b"> Go ahead\n"
        yield from _receive(file, upload, limit)
        try:
            yield Work(partial(file.close, addition.date))
            if folder is None:
                if addition.recipients:
                    yield Work(partial(_send, session, addition, file.path))
            else:
                yield (yield from _land(session, folder, file))
        except _NotSent as error:
            raise Refused(str(error)) from error
        except OSError as error:
            log.error("cannot store message", directory, error)
            raise Refused(because(error)) from error
    return "Message saved"


def _opened(session: Session) -> Folder:
    """Open the folder that was named, which may be another one by now, or have other rights.

    Raises:
        OSError, AccessDenied: nothing can be added to it.
    """
    target = session.addition.target
    assert target is not None
    found = session.mailboxes.find(target.name)
    if found is None or found.is_level:
        raise missing()
    session.addition.target = paths.require(found, "i")
    return mailbox.opened(session, found)


def _receive(file: TemporaryFile, upload: Upload, limit: int) -> Generator[Any, Any, None]:
    """Write the upload to the file; read it to its end also if that fails.

    Raises:
        Refused: it could not be written, or is too large.
        Farewell: where it ends can't be told.
    """
    failure: OSError | None = None
    last = b""
    try:
        while chunk := (yield upload):
            last = chunk
            if failure is None:
                failure = _written(file, chunk, limit)
    except MalformedUpload as error:
        # What follows may be the message: nothing of it must be taken for commands.
        raise Farewell("[ALERT] Fatal error: malformed upload: ") from error
    if not last.endswith(b"\n") and failure is None:
        failure = _written(file, b"\n", 0)
    if failure is not None:
        if failure.errno != errno.EFBIG:
            log.error("cannot write message", file.path, failure)
        raise Refused(because(failure))


def _written(file: TemporaryFile, data: bytes, limit: int) -> OSError | None:
    if limit and file.size + len(data) > limit:
        return OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    try:
        file.write(data)
    except OSError as error:
        return error
    return None


def _land(session: Session, folder: Folder, file: TemporaryFile) -> Generator[Any, Any, bytes]:
    """Store the message, once it is sent if it is to be sent, and there is room; give the answer's line."""
    addition = session.addition
    assert addition.target is not None
    flags, keywords = acl_letters.settable(
        addition.target.rights, addition.flags, addition.keywords
    )
    prepared = Prepared(file, flags, keywords)
    send = partial(_send, session, addition, file.path) if addition.recipients else None
    (uid,) = yield Work(partial(session.charged(folder).deliver, [prepared], before=send))
    row = folder.columns.row(uid)
    name = b"" if row is None else filename.base(folder.columns.names[row])
    return b"* ADD %b\n" % quoted("UID=" + os.fsdecode(name))


def _send(session: Session, addition: Addition, path: str) -> None:
    """Hand the message to SENDMAIL. Raises _NotSent."""
    sender = addition.sender or outbox.sender(session)
    arguments = [*(("-f", sender) if sender else ())]
    if addition.notify:
        arguments += ("-N", addition.notify)
    with open(path, "rb") as message:
        reason = outbox.send(session, [*arguments, *addition.recipients], message)
    if reason is not None:
        said = f"{reason}Message send FAILED.\n"
        log.not_sent(session.client.user, said)
        raise _NotSent(_CONTROL.sub("/", said))
