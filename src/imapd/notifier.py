"""NOTIFY: what a client is told of mailboxes that it has not selected, also between commands (RFC 5465).

Watches are armed first, and then it is looked what there is, so that nothing is missed in between. What
the system lets nobody watch, and other people's rights, are looked at every IMAP_IDLE_TIMEOUT seconds.
What the client has done itself it is not told, as far as that can be told from what others did (RFC 5465 5).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Generator, Iterable
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from courier import log
from courier.maildir import acl_files, link_farm, subscriptions
from courier.maildir.annotations import NAME, OF_ACCOUNT
from courier.maildir.linked_folder import landing_directory
from courier.maildir.tally import Found
from courier.maildir.view import View
from courier.maildir.watcher import Watched, WatchGroup
from courier.process.request import Work
from imapd import name_events, number_events, observed, status_items
from imapd.annotation_events import AnnotationEvents
from imapd.completion import CommandFailed, No
from imapd.mailboxes import Mailbox
from imapd.notify_request import NotifyRequest
from imapd.observed import Observed, Picture, TooMany
from imapd.request import Step

if TYPE_CHECKING:
    from imapd.session import Session

#: What changes in a maildir, beside messages, when names, rights, subscriptions or annotations do.
_NAMES = frozenset(
    (
        acl_files.NAME,
        acl_files.HIERARCHY,
        NAME,
        OF_ACCOUNT,
        link_farm.DIRECTORY,
        subscriptions.NAME,
    )
)
#: Mailboxes that are looked at before others get their turn.
_SLICE = 50
#: Where to look for names takes so many seconds, there is a rest after it, so many times as long.
_LONG_S = 0.1
_REST = 4
#: Keys in the group of watches, beside the names of mailboxes.
_TOPS, _SELECTED = 0, 1
TOO_MANY = No("There are too many mailboxes to tell of.", "NOTIFICATIONOVERFLOW")
_OVERFLOW = b"* OK [NOTIFICATIONOVERFLOW] There are too many mailboxes to tell of.\r\n"


class Notifier:
    """What one session's client is told by NOTIFY."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._request: NotifyRequest | None = None
        self._group: WatchGroup | None = None
        self._picture = Picture({}, frozenset(), frozenset())
        self._tops: frozenset[str] = frozenset()  # maildirs that are watched for names
        self._rests_until = 0.0  # before that it is not looked for names again, by time.monotonic
        self._unwatched: set[str] = set()
        self._selected_directory: str | None = None
        self._looked = 0.0
        self._own_names = name_events.Own()
        self._own_messages: Counter[str] = Counter()
        self._annotations = AnnotationEvents(session)

    # -- what commands say -----------------------------------------------------------------

    def begin(self, request: NotifyRequest) -> Generator[Step, Any, None]:
        """Tell as a client asks from here on, and at once what it has to know first.

        Raises:
            CommandFailed: there is too much to tell; what was asked for before holds.
        """
        group = WatchGroup(self._session.store.watcher)
        armed = self._watch_tops(group, {self._session.tree.path})
        try:
            picture = yield Work(partial(observed.look, self._session, request))
            yield from self.end_in_slices()
        except TooMany:
            group.close()
            raise CommandFailed(TOO_MANY) from None
        except BaseException:
            group.close()
            raise
        self._request, self._group, self._picture, self._tops = request, group, picture, armed
        self._looked = time.monotonic()
        mailboxes = picture.mailboxes.values()
        yield from self._arm(mailboxes)
        for one in mailboxes:
            if one.is_refused:
                yield name_events.no_access(self._session, one.mailbox)
        yield from number_events.first(self._session, mailboxes, tells=request.status)
        yield from self._annotations.first(mailboxes)
        if request.tells_server:
            yield from self._annotations.begin()

    def end_in_slices(self) -> Generator[Step, Any, None]:
        """Do what `end` does, and give others their turn meanwhile."""
        group = self._group
        while group is not None and group.close(_SLICE):
            yield b""
        self.end()

    def end(self) -> None:
        """Watch nothing any more."""
        if self._group is not None:
            self._group.close()
        self._group = self._request = self._selected_directory = None
        self._picture, self._tops = Picture({}, frozenset(), frozenset()), frozenset()
        self._unwatched.clear()
        self._rests_until = 0.0

    def left(self, mailbox: Mailbox, view: View) -> None:
        """Take what the client was told of a mailbox, which is not selected any more, as known."""
        known = self._picture.mailboxes.get(mailbox.name)
        if known is not None:
            numbers = status_items.numbers_of(view)
            known.found = Found(numbers, view.highest if view.folder.keeps_modseqs else 0)

    def made(self, *names: str) -> None:
        """Know that this client has made, removed or subscribed to mailboxes, or changed rights."""
        if self._request is not None:
            self._own_names.names.update(names)

    def renamed(self, old: str, new: str) -> None:
        """Know that this client has renamed a mailbox, and those below it."""
        if self._request is not None:
            self._own_names.renames.add((old, new))

    def added(self, name: str, count: int) -> None:
        """Know that this client has put messages into a mailbox."""
        if self._request is not None:
            self._own_messages[name] += count

    def annotated(self, name: str, entries: Iterable[str]) -> None:
        """Know that this client has set annotations."""
        if self._request is not None:
            self._annotations.own.update((name, entry) for entry in entries)

    # -- waiting ---------------------------------------------------------------------------

    @property
    def is_active(self) -> bool:
        """Whether the client is told of anything but the selected mailbox."""
        return self._group is not None

    def watch(self) -> WatchGroup | None:
        """Give what to wait for besides the client; None if there is nothing."""
        self._follow_selected()
        return self._group or None

    def timeout_s(self) -> float:
        """Seconds after which `tell` is due, whatever is watched."""
        due = float("inf")
        if self._polls:
            due = self._looked + self._patience_s
        changed = self._group.changed if self._group is not None else ()
        if _TOPS in changed:
            due = min(due, self._rests_until)
        if any(key != _TOPS for key in changed):
            return 0.0  # it was noted while this session did not wait
        return max(0.0, due - time.monotonic())

    @property
    def _patience_s(self) -> float:
        return self._session.settings.idle_timeout

    @property
    def _polls(self) -> bool:
        return self._group is not None and (
            bool(self._unwatched)
            or not self._tops >= self._picture.tops
            or (self._selected_directory is not None and _SELECTED not in self._group)
            or (self._request is not None and self._request.concerns_others)
        )

    def _follow_selected(self) -> None:
        """Watch the selected mailbox, if the client is told of it between commands."""
        session, group = self._session, self._group
        wanted = None
        if session.view is not None and session.changes.wanted.is_immediate:
            wanted = landing_directory(session.view.folder)
        if group is None or wanted == self._selected_directory:
            return
        group.discard(_SELECTED)
        self._selected_directory = wanted
        if wanted is not None:
            try:
                group.add(_SELECTED, [session.store.watcher.watch(wanted)])
                group.changed.add(_SELECTED)  # what came before it was watched
            except OSError as error:
                log.recurring("cannot watch folder, polling instead", wanted, error)

    # -- telling ---------------------------------------------------------------------------

    def tell(self) -> Generator[Step, Any, bool]:
        """Tell what has changed; tell the caller whether the selected mailbox may have, too."""
        group, request = self._group, self._request
        if group is None or request is None:
            return False
        changed = group.take()
        is_due = self._polls and time.monotonic() >= self._looked + self._patience_s
        if is_due:
            self._looked = time.monotonic()
            changed.update(self._unwatched, ((name,) for name in self._unwatched), (_TOPS,))
        inside = {str(key[0]) for key in changed if isinstance(key, tuple)}
        try:
            if _TOPS in changed or self._have_rights_changed(inside):
                yield from self._tell_names(request)
            mailboxes = self._picture.mailboxes
            if _TOPS in changed:
                yield from self._annotations.of_account(request, mailboxes.values())
            yield from self._annotations.changed(
                [one for name in inside if (one := mailboxes.get(name)) is not None]
            )
            names = [key for key in changed if isinstance(key, str)]
            yield from number_events.changed(
                self._session,
                [one for name in names if (one := mailboxes.get(name)) is not None],
                self._own_messages,
            )
        except TooMany:
            self.end()
            yield _OVERFLOW
            self._session.changes.overflow()
        except OSError as error:
            log.recurring("cannot notify", error.filename or self._session.tree.path, error)
        if _TOPS not in group.changed:  # else it has yet to be looked for names
            self._own_names = name_events.Own()
        self._own_messages.clear()
        self._annotations.own.clear()
        return _SELECTED in changed or (is_due and _SELECTED not in group)

    def _have_rights_changed(self, names: Iterable[str]) -> bool:
        for name in set(names):
            known = self._picture.mailboxes.get(name)
            if known is None:
                return True
            found = self._session.mailboxes.now(known.mailbox)
            if found is None or not found.exists:
                return True
            if found.rights != known.mailbox.rights:
                return True
        return False

    def _tell_names(self, request: NotifyRequest) -> Generator[Step, Any, None]:
        """Look anew at what there is, tell what came and went, and follow it.

        Where that takes long, it is not done again for some time.
        """
        assert self._group is not None
        began = time.monotonic()
        if began < self._rests_until:
            self._group.changed.add(_TOPS)
            return
        before = self._picture
        now: Picture = yield Work(partial(observed.look, self._session, request))
        for name, one in now.mailboxes.items():
            known = before.mailboxes.get(name)
            if known is not None and known.identity == one.identity:
                one.found, one.annotations = known.found, known.annotations
        self._picture = now
        yield (
            yield Work(
                partial(name_events.told, self._session, request, before, now, self._own_names)
            )
        )
        for name, known in before.mailboxes.items():
            left = now.mailboxes.get(name)
            if left is None or left.identity != known.identity or _has_other_duties(left, known):
                self._forget(name)
        fresh = [one for name, one in now.mailboxes.items() if (name,) not in self._group]
        yield from self._arm(fresh)
        for one in fresh:
            known = before.mailboxes.get(one.mailbox.name)
            if one.is_refused and (known is None or not known.is_refused):
                yield name_events.no_access(self._session, one.mailbox)
        others = (name for name in now.mailboxes if not self._own_names.covers(name))
        came = frozenset(others).difference(before.mailboxes)
        yield from number_events.first(self._session, fresh, tells=False, came=came)
        yield from self._annotations.first(fresh)
        took_s = time.monotonic() - began
        if took_s > _LONG_S:
            self._rests_until = time.monotonic() + _REST * took_s

    def _forget(self, name: str) -> None:
        assert self._group is not None
        self._unwatched.discard(name)
        self._group.discard(name)
        self._group.discard((name,))

    def _arm(self, mailboxes: Iterable[Observed]) -> Generator[Step, Any, None]:
        """Watch maildirs for names, and mailboxes for messages and what else is in them."""
        group, watcher = self._group, self._session.store.watcher
        assert group is not None
        if self._tops != self._picture.tops:
            armed, self._tops = self._tops, self._watch_tops(group, self._picture.tops)
            if self._tops - armed:
                group.changed.add(_TOPS)  # something may have come before it was watched
        rest = iter(list(mailboxes))
        while slice_ := list(islice(rest, _SLICE)):
            for one in slice_:
                name = one.mailbox.name
                self._unwatched.discard(name)
                try:
                    group.add((name,), [watcher.watch_names(one.directory, _NAMES)])
                    if one.watches_messages:
                        group.add(name, [watcher.watch(one.directory)])
                except OSError:
                    self._unwatched.add(name)
            yield b""

    def _watch_tops(self, group: WatchGroup, tops: Collection[str]) -> frozenset[str]:
        """Watch maildirs for names that come and go, instead of others; give those that are watched."""
        watches: dict[str, Watched] = {}
        for top in tops:
            try:
                watches[top] = self._session.store.watcher.watch_names(top, _NAMES)
            except OSError:
                continue  # looked at now and then
        group.discard(_TOPS)
        group.add(_TOPS, watches.values())
        return frozenset(watches)


def _has_other_duties(one: Observed, before: Observed) -> bool:
    """Tell whether something else has to be watched of a mailbox than before."""
    return one.watches_messages != before.watches_messages
