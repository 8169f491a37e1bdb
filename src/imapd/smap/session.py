"""The SMAP session: from log-in to LOGOUT. One generator, as that of IMAP is (`imapd.session`)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from courier import log
from courier.maildir.store import Store
from courier.maildir.tree import Tree
from courier.maildir.view import FolderReset, View
from courier.process.request import ClientGone, Request, ShuttingDown, Steps, Work
from imapd import smap, transcript
from imapd.account_session import AccountSession, Client
from imapd.completion import Farewell
from imapd.connection import EndOfInput
from imapd.mailboxes import Mailbox, Space
from imapd.request import Idle
from imapd.settings import Settings
from imapd.smap import reports
from imapd.smap.addition import Addition
from imapd.smap.commands import table
from imapd.smap.connection import Connection
from imapd.smap.reader import Chunked, Dotted
from imapd.smap.refusal import AccessDenied, Refused, because
from imapd.smap.snapshots import Snapshots
from imapd.smap.words import Words


class Session(AccountSession):
    """A session that speaks SMAP."""

    shut_down = b""  # Courier: not a word

    def __init__(self, settings: Settings, tree: Tree, store: Store, client: Client) -> None:
        super().__init__(settings, tree, store, client)
        self.connection: Connection = Connection()
        self.connection.transcript = transcript.opened(settings.debug_file, tree.path)
        self.addition = Addition()  # what ADD has been told so far
        self.snapshots: Snapshots | None = None  # of the open folder, if they are wanted
        self._is_over = False

    @property
    def is_over(self) -> bool:
        return self._is_over

    def bye(self, farewell: Farewell) -> bytes:
        return smap.bye(farewell)

    # -- what handlers use -----------------------------------------------------------------

    def select(self, mailbox: Mailbox, view: View) -> None:
        super().select(mailbox, view)
        self.snapshots = None

    def unselect(self) -> None:
        super().unselect()
        self.snapshots = None

    def note_change(self) -> None:
        """Note that the client has been told something that its snapshot does not say."""
        if self.snapshots is not None:
            self.snapshots.is_outdated = True

    def log_out(self) -> None:
        self._is_over = True

    def recheck_rights(self) -> None:
        """Look whether the open folder's access control list has changed.

        Raises:
            AccessDenied: it may not be read any more. Courier goes on; so do we with folders of one's
                own, on which one may give oneself every right again.
        """
        if self.mailbox is None:
            return
        found = self.mailboxes.now(self.mailbox)
        if found is None or not found.exists:
            return  # who reads the folder will notice
        if found.rights != self.mailbox.rights:
            self.mailbox = self.mailbox._replace(rights=found.rights)
            self.selected.read_only = not found.may("ieswt")
        if found.space is not Space.PERSONAL and not found.may("r"):
            raise AccessDenied("r")

    def refresh(self) -> Steps:
        """Bring the open folder up to date with the disk, telling nothing yet.

        Raises: as `recheck_rights`; OSError.
        """
        self.recheck_rights()
        if not self.selected.refresh_at_once():
            yield Work(self.selected.refresh)

    def report(self) -> Generator[Request, Any, bool]:
        """Tell what others have changed; if the folder can't be read, nothing. Say whether that was anything.

        Raises: as `recheck_rights`.
        """
        if self.view is None:
            return False
        self.opened = (
            None  # who looks for changes has read what he was reading, and may idle for long
        )
        try:
            yield from self.refresh()
        except OSError as error:
            log.error("cannot read folder", self.view.folder.path, error)
            return False
        has_told = False
        for told in reports.changes(self):
            has_told = True
            yield told
        if has_told:
            self.note_change()
        return has_told

    # -- commands --------------------------------------------------------------------------

    def _command(self) -> Steps:
        words = Words((yield from self.connection.line()))
        name = words.take().upper()
        try:
            command = table.find(name, has_folder=self.view is not None)
            if name != "ADD":
                self.addition = Addition()
            if command.needs_folder:
                self.recheck_rights()
            status = "+OK " + (yield from self._handle(command.handler(self, words)))
        except Refused as refusal:
            status = f"-ERR {refusal.text}"
        except OSError as error:
            log.error(f"{name} failed", error.filename or self.tree.path, error)
            status = f"-ERR {because(error)}"
        except FolderReset:
            raise Farewell("[ALERT] Another program renumbered this mailbox.") from None
        except (Farewell, ClientGone, ShuttingDown, EndOfInput, GeneratorExit):
            raise
        except Exception as error:
            log.bug(self.client.user, name, error)
            raise Farewell("[ALERT] Internal error, see the server's log.") from error
        yield from self.connection.send(_line(status))

    def _answer(self, step: Any) -> Generator[Request, Any, Any]:
        if isinstance(step, Idle):
            return (yield from self.connection.idle(step))
        if isinstance(step, Dotted | Chunked):
            return (yield from self.connection.chunk(step))
        return (yield from super()._answer(step))


def _line(text: str) -> bytes:
    """Write a line that nothing in the text can end earlier."""
    safe = "".join(char if char.isprintable() else "?" for char in text)
    return safe.encode("utf-8", "surrogateescape") + b"\n"
