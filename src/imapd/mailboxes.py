"""The mailboxes of a session: what a name stands for, and what this account may do there.

Three name spaces, as Courier has them:

    INBOX, INBOX.a.b             the account's own maildir
    #sharable.NAME[.a.b]           another account's, by the index of shared accounts; NAME may have
                                 levels of groups before it
    shared.NICK.a.b              a folder that file permissions share (`courier.maildir.sharable`)

Every name that a client sends comes through `Mailboxes.find`, and every list of mailboxes from `Mailboxes.listed`:
there is no other way from a name to a directory, and none that does not come with rights.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

from courier.maildir import acl, link_farm, sharable, status, tree
from courier.maildir.acl import Acl, Identity
from courier.maildir.acl_files import AclFiles
from courier.maildir.link_farm import LinkFarm
from courier.maildir.roster import Look, Rosters
from courier.maildir.shared_index import DEEPEST, Account, Group, SharedIndex
from courier.maildir.tree import Tree
from courier.process.request import Work
from imapd import names
from imapd.pattern import SEPARATOR, Patterns
from imapd.settings import Settings
from imapd.wire import utf7


class Space(enum.Enum):
    PERSONAL = enum.auto()
    VIRTUAL = enum.auto()  # #shared.
    SHARED = enum.auto()  # shared.


class Mailbox(NamedTuple):
    """What a name stands for, whether there is such a mailbox or not."""

    name: str  # INBOX in capitals
    space: Space
    tree: Tree | None  # whose folder it is; None: a level that no maildir has, or a farm's
    folder: str
    rights: str  # ACL letters, on disk's terms: no "d"
    exists: bool
    farm: LinkFarm | None = None  # through which a folder that permissions share is read

    @property
    def directory(self) -> str:
        """Where its messages are. Not for a level."""
        if self.farm is not None:
            return self.farm.directory
        assert self.tree is not None
        return self.tree.directory(self.folder)

    @property
    def entry(self) -> str:
        """The name of its directory in its maildir; "." is the maildir. Not for a level, or a farm's."""
        if self.folder.isascii() and "&" not in self.folder:  # else it may have an old name
            return f".{self.folder}"
        return os.path.basename(self.directory)

    @property
    def is_level(self) -> bool:
        """Tell whether this can have no messages at all."""
        return self.tree is None and self.farm is None

    def may(self, rights: str) -> bool:
        """Tell whether one of these rights is held."""
        return (
            rights in self.rights if len(rights) == 1 else not set(rights).isdisjoint(self.rights)
        )

    @property
    def is_visible(self) -> bool:
        return "l" in self.rights


class Mailboxes:
    """The name spaces of one account."""

    def __init__(
        self,
        settings: Settings,
        own: Tree,
        identity: Identity,
        *,
        index: str | None,
        sharable: str,
        lists: bool,
        rosters: Rosters | None = None,
    ) -> None:
        """
        Args:
            index: the file of shared accounts.
            sharable: the system's file of sharable maildirs.
            lists: access control lists are in force (without: account option disableshared).
            rosters: what this process knows of maildirs.
        """
        self.settings = settings
        self._own = own
        self._identity = identity
        self._lists = lists
        self._sharable_file = sharable
        self._rosters = rosters or Rosters()
        self.index = SharedIndex(index if lists else None, munge=settings.shared_munge_names)
        self._trees: dict[str, Tree] = {own.path: own}

    def find(self, name: str, known: dict[str, Acl] | None = None) -> Mailbox | None:
        """Give what a name stands for; None if that can be no mailbox at all.

        Args:
            known: see `AclFiles.read`; of one account's folders only.

        Raises:
            OSError: it can't be told whether there is such a mailbox, or who may use it.
        """
        name = names.with_inbox_in_capitals(name)
        folder = names.folder(name)
        if folder is not None:
            return self._in(Space.PERSONAL, name, self._own, folder, known)
        if name == "#shared" or name.startswith("#shared."):
            return self._virtual(name)
        return self._shared(name) if names.is_shared(name) else None

    def find_among(self, name: str, known: dict[str, Acl] | None = None) -> Mailbox | None:
        """Do what `find` does, for one of many: None if that mailbox's disk fails, which the log has."""
        try:
            return self.find(name, known)
        except OSError as error:
            if error.errno in tree.EXHAUSTED:
                raise
            return None

    def now(self, mailbox: Mailbox) -> Mailbox | None:
        """Give what `find` does for a mailbox found before, and that one if it can't be told."""
        try:
            return self.find(mailbox.name)
        except OSError:
            return mailbox

    def parent(self, mailbox: Mailbox) -> Mailbox | None:
        """Give the level above, which may be no mailbox."""
        return self.find(mailbox.name.rpartition(".")[0])

    def lists(self, mailbox: Mailbox) -> AclFiles | None:
        """Give the access control lists of a mailbox's maildir; None where there are none."""
        if mailbox.tree is None or not self._lists or mailbox.space is Space.SHARED:
            return None
        return AclFiles(mailbox.tree)

    def store(self) -> Generator[Work, Any, None]:
        """Have the next process know what is known of the own folders, if it is worth that."""
        roster = self._rosters.of(self._own)
        if roster.has_news:
            yield Work(roster.store)

    def listed(self, wanted: Patterns, look: Look | None = None) -> Iterator[Mailbox]:
        """Give the mailboxes that this account may know of and that may fit a pattern.

        Those of others only for a pattern that asks for them by its first character. Levels that
        others are below are left to the caller, but for groups of accounts, which are told even
        if nothing below them is.

        Args:
            look: what this command has found of the own folders.
        """
        if wanted.may_match(elsewhere=False):
            look = look or self.look(wanted)
            yield from self._listed_folders(Space.PERSONAL, "INBOX", self._own, look)
            if wanted.may_match_below("shared") or wanted.matches("shared"):
                yield from self._listed_shared()
        if wanted.may_match(elsewhere=True):
            yield from self._listed_accounts("#shared.", None, wanted, ())

    def look(self, wanted: Patterns | None = None) -> Look:
        """Look at the folders of the account's own maildir, for one command.

        Args:
            wanted: it is enough to know of names that fit, and whether mailboxes are below them.

        Raises:
            OSError: the maildir can't be read.
        """
        roster = self._rosters.of(self._own)
        if wanted is not None and not wanted.take_all:
            look = roster.look(lambda folder: wanted.matches(names.mailbox(folder)))
            lists = {one.acl for one in look.folders} if self._lists else ()
            # Where one below a level is to be kept from this account, another need not be.
            if all("l" in acl.rights(one, self._identity, is_owner=True) for one in lists):
                return look
        return roster.look()

    def beside(self, mailbox: Mailbox) -> Iterator[Mailbox]:
        """Give the folders of a mailbox's maildir that this account may know of, sorted.

        Raises:
            OSError: the maildir can't be read.
        """
        assert mailbox.tree is not None
        top = mailbox.name
        if mailbox.folder:
            top = top.removesuffix(f".{mailbox.folder}")
        yield from self._listed_folders(mailbox.space, top, mailbox.tree)

    def has_below(self, mailbox: Mailbox) -> bool:
        """Tell whether there are mailboxes below a name that this account may know of."""
        if mailbox.space is Space.PERSONAL:
            known: dict[str, Acl] = {}
            found = (
                self._seen(
                    mailbox.space, names.mailbox(folder), self._own, folder, known, exists=True
                )
                for folder in self._own.below(mailbox.folder)
            )
            return any(one is not None and one.is_visible for one in found)
        top = mailbox.name + SEPARATOR
        return any(one.name.startswith(top) for one in self.listed(Patterns([top + "*"])))

    def has_unseen(self, mailbox: Mailbox) -> bool:
        """Tell whether a mailbox that exists has messages that have not been seen."""
        if mailbox.tree is None:
            return status.has_unseen(mailbox.directory)
        return self._rosters.of(mailbox.tree).tallies.has_unseen(mailbox.directory)

    def farms(self) -> Iterator[Mailbox]:
        """Give the folders that permissions share and that are subscribed to."""
        for nick, name in link_farm.farms(self._own.path):
            found = self._shared(f"shared.{nick}.{name}")
            if found.farm is not None:
                yield found

    # -- maildirs with lists ---------------------------------------------------------------

    def _in(
        self,
        space: Space,
        name: str,
        where: Tree,
        folder: str,
        known: dict[str, Acl] | None = None,
        *,
        exists: bool | None = None,
    ) -> Mailbox:
        rights = acl.WITHOUT_LISTS
        if self._lists:
            found = AclFiles(where).read(folder, known)
            # Courier: an account in a group of the index belongs to whoever bears the group's name.
            # Here the owner of a maildir is who logs in to it, and nobody else.
            rights = acl.rights(found, self._identity, is_owner=space is Space.PERSONAL)
        is_there = where.exists(folder) if exists is None else exists
        return Mailbox(name, space, where, folder, rights, is_there)

    def _listed_folders(
        self, space: Space, top: str, where: Tree, look: Look | None = None
    ) -> Iterator[Mailbox]:
        look = look or self._rosters.of(where).look()
        is_owner = space is Space.PERSONAL
        known: dict[int, str] = {}  # rights by the identity of lists, few of which differ
        rights: str | None
        for one in look.folders:
            if not self._lists:
                rights = acl.WITHOUT_LISTS
            elif (rights := known.get(id(one.acl))) is None:
                rights = acl.rights(one.acl, self._identity, is_owner=is_owner)
                known[id(one.acl)] = rights
            if "l" in rights and one.exists:
                name = f"{top}.{one.name}" if one.name else top
                yield Mailbox(name, space, where, one.name, rights, True)

    def _seen(
        self,
        space: Space,
        name: str,
        where: Tree,
        folder: str,
        known: dict[str, Acl],
        *,
        exists: bool | None,
    ) -> Mailbox | None:
        """Do what `_in` does, for one of many: None if that folder's disk fails, which the log has."""
        try:
            return self._in(space, name, where, folder, known, exists=exists)
        except OSError as error:
            if error.errno in tree.EXHAUSTED:
                raise
            return None

    # -- folders that permissions share ----------------------------------------------------

    def _shared(self, name: str) -> Mailbox:
        _, nick, folder = (*name.split(".", 2), "", "")[:3]
        path = self._sharable().get(nick)
        if path is None or not folder or not tree.is_name(folder):
            # A level, of which nobody is told that it is there.
            return Mailbox(name, Space.SHARED, None, "", "", exists=False)
        source = Tree(path).directory(folder)
        may_write = os.access(os.path.join(source, "new"), os.W_OK)
        rights = "eilrstwx" if may_write else "lrsw"  # Courier: what permissions come to
        exists = os.path.isdir(os.path.join(source, "cur", "."))
        farm = LinkFarm(self._own.path, nick, folder, source)
        return Mailbox(name, Space.SHARED, None, folder, rights, exists, farm)

    def _sharable(self) -> dict[str, str]:
        own = os.path.join(self._own.path, sharable.NAME)
        found = sharable.definitions(self._sharable_file, own)
        # Courier: a relative path begins at the account's maildir.
        return {nick: os.path.join(self._own.path, path) for nick, path in found.items()}

    def _listed_shared(self) -> Iterator[Mailbox]:
        for nick, path in sorted(self._sharable().items()):
            try:
                folders = Tree(path).folders()[1:]
            except OSError:
                continue
            for folder in folders:
                found = self._shared(f"shared.{nick}.{folder}")
                if found.exists:
                    yield found

    # -- accounts of the index -------------------------------------------------------------

    def _virtual(self, name: str) -> Mailbox:
        components = name.split(".")[1:]
        nothing = Mailbox(name, Space.VIRTUAL, None, "", "", exists=False)
        if not all(components):
            return nothing
        found = self.index.find(components) or self.index.find(_as_courier_had(components))
        if found is None:
            return nothing
        record, rest = found
        if isinstance(record, Group):
            return Mailbox(name, Space.VIRTUAL, None, "", "l", exists=False)
        where = self._tree_of(record)
        folder = ".".join(rest)
        if where is None or (folder and not tree.is_name(folder)):
            return nothing
        return self._in(Space.VIRTUAL, name, where, folder)

    def _tree_of(self, account: Account) -> Tree | None:
        """Give an account's maildir; None for one's own, and for one that can't be looked into."""
        try:
            if os.path.samestat(os.stat(account.maildir), os.stat(self._own.path)):
                return None
        except (OSError, ValueError):
            return None
        found = self._trees.get(account.maildir)
        if found is None:
            found = Tree(account.maildir, trash=self._own.trash, use_locks=self._own.use_locks)
            self._trees[account.maildir] = found
        return found

    def _listed_accounts(
        self, prefix: str, file: str | None, wanted: Patterns, above: tuple[str, ...]
    ) -> Iterator[Mailbox]:
        for shown, record in sorted(self.index.records(file).items()):
            name = prefix + shown
            below = wanted.may_match_below(name)
            if not below and not wanted.matches(name):
                continue
            if isinstance(record, Group):
                yield Mailbox(name, Space.VIRTUAL, None, "", "l", exists=False)
                if below and record.file not in above and len(above) < DEEPEST:
                    yield from self._listed_accounts(
                        f"{name}.", record.file, wanted, (*above, record.file)
                    )
                continue
            where = self._tree_of(record)
            if where is not None:
                yield from self._listed_account(name, where, below=below)

    def _listed_account(self, name: str, where: Tree, *, below: bool) -> Iterator[Mailbox]:
        """Give an account's folders; if none below can be wanted, only as many as to see if there are."""
        try:
            for found in self._listed_folders(Space.VIRTUAL, name, where):
                yield found
                if not below and found.folder:
                    return
        except OSError:
            return  # a maildir that can't be read has no folders for this account


def _as_courier_had(components: list[str]) -> list[str]:
    """Decode names twice: Courier tells names of the index beyond ASCII encoded twice."""
    try:
        return [utf7.decode(one.encode("ascii")) for one in components]
    except ValueError:
        return components
