"""courier.maildir.view: what each client is told, held against what its folder really has."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from courier.maildir import changelog, columns
from courier.maildir.filename import Flag
from courier.maildir.folder import FlagChange, Folder, KeywordChange, Options
from courier.maildir.store import Store
from courier.maildir.view import FolderReset, Update, View
from tests.courier.maildir.test_folder import (
    DELETED,
    SEEN,
    opened,
    prepared,
    renamed,
    uids,
    words,
)
from tests.support.maildirs import deliver, make_maildir


def selected(folder: Folder, *, read_only: bool = False) -> View:
    """A session's view right after SELECT or EXAMINE."""
    view = View(folder, read_only=read_only)
    view.refresh()
    view.update(expunge=True)
    return view


def refreshed(view: View, *, expunge: bool = True) -> Update:
    view.refresh()
    return view.update(expunge=expunge)


# --- A model of a client ------------------------------------------------------------------------


@dataclass
class Client:
    """Believes what it is told, and nothing else (RFC 9051 7.5)."""

    view: View
    messages: list[tuple[int, int, tuple[str, ...]]] = field(default_factory=list)
    keywords: set[str] = field(default_factory=set)

    def hear(self, update: Update) -> None:
        """Apply an update in the order in which it is told; fetch what came."""
        for seq in update.expunged:
            del self.messages[seq - 1]
        if update.new_keywords:
            self.keywords = {word.lower() for word in self.view.folder.keywords_in_use()}
        if update.exists is not None:
            assert update.exists > len(self.messages)
            for seq in range(len(self.messages) + 1, update.exists + 1):
                self.messages.append(self._fetched(seq))
        assert list(update.flags) == sorted(set(update.flags))
        for seq in update.flags:
            assert update.recent or self._fetched(seq) != self.messages[seq - 1], "no need to tell"
            self.messages[seq - 1] = self._fetched(seq)
        told = [uid for uid, _, _ in self.messages]
        assert told == sorted(set(told)), "UIDs must ascend"
        assert told == list(self.view.uids)

    def _fetched(self, seq: int) -> tuple[int, int, tuple[str, ...]]:
        view = self.view
        words = view.keyword_words(seq)
        assert {word.lower() for word in words} <= self.keywords, "a keyword not announced"
        return view.uids[seq - 1], view.flags[seq - 1], words


def on_disk(path: Path) -> list[tuple[int, int, tuple[str, ...]]]:
    """The folder as a process that starts now finds it."""
    fresh = opened(path, take_new=False)
    return [
        (uid, fresh.columns.flags[row], words(fresh, uid))
        for row, uid in enumerate(fresh.columns.uids)
    ]


class Simulation:
    """Clients in two processes, and a mail delivery agent, act at random on one folder."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.chance = random.Random(seed)
        self.number = 0
        here, other = Folder(str(path), Options(fsync=False)), opened(path)
        views = [
            View(here, read_only=False),
            View(here, read_only=False),
            View(here, read_only=True),
            View(other, read_only=False),
        ]
        self.clients = [Client(view) for view in views]
        self.uidnext = 1

    def run(self, steps: int) -> None:
        actions = (
            [self.arrive] * 3
            + [self.append, self.flag, self.flag, self.keyword, self.expunge, self.elsewhere]
            + [self.look] * 6
        )
        for _ in range(steps):
            self.chance.choice(actions)()
        for client in self.clients:
            self.hear_all(client)

    def hear_all(self, client: Client) -> None:
        client.view.refresh()
        client.hear(client.view.update(expunge=True))
        assert client.messages == on_disk(self.path)

    def look(self) -> None:
        """A client is told something; with EXPUNGE or without."""
        client = self.chance.choice(self.clients)
        if self.chance.random() < 0.5:
            self.hear_all(client)
            return
        before = [uid for uid, _, _ in client.messages]
        if self.chance.random() < 0.7:
            client.view.refresh()
        client.hear(client.view.update(expunge=False))
        after = [uid for uid, _, _ in client.messages]
        assert after[: len(before)] == before, "sequence numbers have shifted"

    def some(self, client: Client) -> list[int]:
        told = list(client.view.uids)
        return self.chance.sample(told, min(len(told), self.chance.randint(0, 3)))

    def writer(self) -> Client:
        return self.chance.choice([c for c in self.clients if not c.view.read_only])

    def arrive(self) -> None:
        self.number += 1
        flags = self.chance.choice([None, "", "S", "F"])
        deliver(self.path, b"x\n", number=self.number, flags=flags)

    def append(self) -> None:
        folder = self.writer().view.folder
        keywords = self.chance.choice([(), ("one",), ("two", "Three")])
        given = folder.deliver(
            [prepared(self.path, b"x\n", self.chance.choice([0, 8]), keywords) for _ in range(2)]
        )
        assert min(given) >= self.uidnext
        assert sorted(given) == given and folder.uidnext > given[-1]
        self.uidnext = folder.uidnext

    def flag(self) -> None:
        client = self.writer()
        change = FlagChange(
            add=self.chance.choice([0, Flag.SEEN, Flag.DELETED, Flag.FLAGGED]),
            remove=self.chance.choice([0, 0, Flag.SEEN, Flag.DELETED, ~0]),
        )
        done = client.view.folder.change_flags(self.some(client), change)
        if self.chance.random() < 0.5:  # STORE tells its own client at once
            self.tell(client, done, {})

    def keyword(self) -> None:
        client = self.writer()
        change = KeywordChange(
            add=self.chance.choice([(), ("one",), ("Four", "TWO")]),
            remove=self.chance.choice([(), ("one", "three")]),
        )
        done = client.view.folder.change_keywords(self.some(client), change)
        if self.chance.random() < 0.5:
            self.tell(client, {}, done)

    def tell(self, client: Client, flags: dict[int, int], keywords: dict[int, int]) -> None:
        client.view.told(flags, keywords)
        if client.view.learn_keywords():
            client.keywords |= {word.lower() for word in client.view.folder.keywords_in_use()}
        for uid in {*flags, *keywords}:
            seq = client.view.seq(uid)
            if seq is not None:
                client.messages[seq - 1] = client._fetched(seq)

    def expunge(self) -> None:
        client = self.writer()
        folder = client.view.folder
        marked = [
            uid
            for uid, flags in zip(folder.columns.uids, folder.columns.flags, strict=True)
            if flags & Flag.DELETED
        ]
        folder.remove(marked, only_deleted=self.chance.random() < 0.8)

    def elsewhere(self) -> None:
        """A shell user moves, marks and removes files."""
        names = [*os.listdir(self.path / "cur")]
        if not names:
            return
        name = self.chance.choice(names)
        if self.chance.random() < 0.3:
            (self.path / "cur" / name).unlink()
        else:
            base = name.partition(":")[0]
            renamed(self.path, base, self.chance.choice(["", "S", "FT", "RS"]))


@pytest.mark.parametrize("seed", range(12))
def test_clients_believe_what_is_true(
    maildir: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a refresh and an update every client's picture is the folder's; numbers never shift."""
    if seed % 3 == 1:  # some are always far behind
        monkeypatch.setattr(changelog, "_KEPT", 2)
    if seed % 3 == 2:
        monkeypatch.setattr(columns, "_REPACK_AFTER", 2)

    Simulation(maildir, seed).run(60)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 106))
def test_clients_believe_what_is_true_for_long(maildir: Path, seed: int) -> None:
    """The same, with many more steps."""
    Simulation(maildir, seed).run(400)


# --- What is told, and when ---------------------------------------------------------------------


def test_nothing_to_tell(maildir: Path) -> None:
    deliver(maildir, b"x\n", number=1)
    view = selected(opened(maildir))

    assert refreshed(view) == Update()
    assert view.update(expunge=False) == Update()


def test_expunged_messages_keep_their_numbers_until_told(maildir: Path) -> None:
    """With the flags last told; what came meanwhile stands behind them."""
    for number in range(4):
        deliver(maildir, b"x\n", number=number, flags="S")
    folder = opened(maildir)
    view = selected(folder)
    folder.remove([2, 3], only_deleted=False)
    deliver(maildir, b"x\n", number=9, flags="F")
    folder.change_flags([4], FlagChange(add=Flag.FLAGGED))

    update = refreshed(view, expunge=False)

    assert update == Update(exists=5, flags=(4,), withholds=True)
    assert list(view.uids) == [1, 2, 3, 4, 5]
    assert view.flags[1] == Flag.SEEN
    assert view.is_gone(2) and not view.is_gone(1)
    assert view.seq(5) == 5
    assert view.update(expunge=False) == Update(withholds=True)
    assert view.update(expunge=True) == Update(expunged=(2, 2), vanished=(2, 3))
    assert list(view.uids) == [1, 4, 5]
    assert (view.seq(4), view.seq(3)) == (2, None)


def test_uidnext_is_below_what_is_still_to_tell(maildir: Path) -> None:
    """RFC 9051 2.3.1.1: what the client is told of later has no lower UID, and it never falls back."""
    deliver(maildir, b"x\n", number=1, flags="")
    deliver(maildir, b"x\n", number=2, flags="")
    view = selected(Folder(str(maildir)))
    view.folder.remove([2], only_deleted=False)
    refreshed(view)
    assert view.uidnext == 3

    deliver(maildir, b"x\n", number=3, flags="")
    deliver(maildir, b"x\n", number=4, flags="")
    view.refresh()
    assert (view.uidnext, view.folder.uidnext) == (3, 5)

    view.update(expunge=True)
    assert view.uidnext == 5


def test_own_changes_are_not_told_again(maildir: Path) -> None:
    """STORE and FETCH have told them; the other session hears of them."""
    deliver(maildir, b"x\n", number=1, flags="")
    folder = opened(maildir)
    first, second = selected(folder), selected(folder)

    first.told(folder.change_flags([1], SEEN), folder.change_keywords([1], KeywordChange(("w",))))
    first.learn_keywords()

    assert first.update(expunge=True) == Update()
    assert second.update(expunge=True) == Update(new_keywords=True, flags=(1,))
    assert second.keyword_words(1) == first.keyword_words(1) == ("w",)


def test_told_of_a_message_that_is_not_in_the_view(maildir: Path) -> None:
    """It is passed over: the client knows no number for it."""
    view = selected(opened(maildir))

    view.told({7: 1}, {7: 1})

    assert (view.flags, list(view.keywords)) == (b"", [])


def test_change_and_back_is_no_news(maildir: Path) -> None:
    base = deliver(maildir, b"x\n", number=1, flags="")
    view = selected(opened(maildir))
    view.folder.change_flags([1], SEEN)
    view.folder.change_flags([1], FlagChange(remove=Flag.SEEN))

    assert refreshed(view) == Update()
    assert uids(view.folder) == {base: 1}


def test_recent(maildir: Path) -> None:
    """One session claims it and keeps it; the next sees none."""
    deliver(maildir, b"x\n", number=1)
    folder = Folder(str(maildir))
    first, second = selected(folder), selected(folder)

    assert (first.recents(), second.recents()) == (1, 0)
    assert first.is_recent(1) and not second.is_recent(1)
    assert refreshed(first) == Update()
    assert first.is_recent(1)
    folder.remove([1], only_deleted=False)
    refreshed(first)
    assert first.recents() == 0


@pytest.mark.parametrize("flags", [None, ""])
def test_recent_is_not_claimed_by_examine(maildir: Path, flags: str | None) -> None:
    """EXAMINE shows it as recent and leaves it so (RFC 9051 6.3.3), wherever the file lay."""
    deliver(maildir, b"x\n", number=1, flags=flags)
    folder = Folder(str(maildir))

    for _ in range(2):
        examining = selected(folder, read_only=True)
        assert examining.recents() == 1 and examining.is_recent(1)
    assert selected(folder).recents() == 1
    refreshed(examining)
    assert examining.recents() == 0


def test_renumbered_folder(maildir: Path) -> None:
    """A view of the old numbers says so at its next update; a new one starts with the new ones."""
    base = deliver(maildir, b"x\n", number=1, flags="")
    store = Store(Options(fsync=False))
    view, idle = selected(store.open(str(maildir))), selected(store.open(str(maildir)))
    text = f"1 {view.folder.uidvalidity + 5} 8\n7 {base}\n"
    (maildir / "courierimapuiddb").write_text(text)

    view.refresh()

    for old in (view, idle):
        with pytest.raises(FolderReset):
            old.update(expunge=False)
    assert list(selected(store.open(str(maildir))).uids) == [7]


def test_uid_given_back_by_another_program(maildir: Path) -> None:
    """A message below the highest UID told can't be told to this client: it stays out of its view."""
    bases = [deliver(maildir, b"x\n", number=number, flags="") for number in range(3)]
    folder = opened(maildir)
    (maildir / "courierimapuiddb").write_text(
        f"1 {folder.uidvalidity} 9\n2 {bases[1]}\n3 {bases[2]}\n"
    )
    (maildir / "cur" / f"{bases[0]}:2,").rename(maildir / f"{bases[0]}:2,")
    other = opened(maildir)
    view = selected(other)
    assert list(view.uids) == [2, 3]
    (maildir / f"{bases[0]}:2,").rename(maildir / "cur" / f"{bases[0]}:2,")
    (maildir / "courierimapuiddb").write_text(
        f"1 {folder.uidvalidity} 9\n1 {bases[0]}\n2 {bases[1]}\n3 {bases[2]}\n"
    )

    update = refreshed(view)

    assert update == Update()
    assert list(view.uids) == [2, 3]
    deliver(maildir, b"x\n", number=9)
    assert refreshed(view) == Update(exists=3)
    assert list(view.uids) == [2, 3, 9]
    assert list(selected(other).uids) == [1, 2, 3, 9]


def test_folder_changes_while_a_view_is_updated(
    maildir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another session's thread may read the folder meanwhile: nothing is lost, nothing told twice."""
    deliver(maildir, b"x\n", number=1, flags="")
    folder = opened(maildir)
    client = Client(View(folder, read_only=False))
    client.view.refresh()
    client.hear(client.view.update(expunge=True))
    folder.change_flags([1], SEEN)
    since = folder.log.since

    def interrupted(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(folder.log, "since", since)
        deliver(maildir, b"x\n", number=2, flags="F")
        folder.synchronise(take_new=True)
        folder.change_flags([1], DELETED)
        return since(*arguments, **options)

    monkeypatch.setattr(folder.log, "since", interrupted)
    client.hear(client.view.update(expunge=True))
    client.hear(client.view.update(expunge=True))

    assert client.messages == on_disk(maildir)


def test_two_folders_are_two_folders(tmp_path: Path) -> None:
    """Views of different folders have nothing to do with each other."""
    store = Store(Options(fsync=False))
    paths = [make_maildir(tmp_path / name) for name in ("a", "b")]
    deliver(paths[0], b"x\n", number=1)
    views = [selected(store.open(str(path))) for path in paths]

    assert _counts(views) == [1, 0]


def _counts(views: Iterable[View]) -> list[int]:
    return [len(view.uids) for view in views]
