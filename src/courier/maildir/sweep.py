"""One sweep over a folder's directories: what came, what went, what bears another name.

As little is read as the times and the watches allow (`State.current`): mostly only ``new/``. How
it is compared is in `scan`; what follows from it - UIDs, keywords, what is `\\Recent` - is here.
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from courier import log
from courier.maildir import filename, filesystem, keywords, memory, scan
from courier.maildir.columns import EMPTY, Bases, Columns, Names, Row
from courier.maildir.numbering import UidsUsedUp
from courier.maildir.numberset import NumberSet
from courier.maildir.scan import Stamp
from courier.maildir.state import Current, State
from courier.maildir.uiddb import UidDb
from courier.maildir.watch import IN_MOVED_FROM, IN_MOVED_TO

#: A message file's name, and whether it lies in new/.
Entry = tuple[bytes, bool]
#: First readings of folders with so many messages are logged.
_BIG = 10_000


@dataclass(slots=True)
class Found:
    """How the folder differs from the columns known before."""

    renamed: dict[int, Entry] = field(default_factory=dict)  # UID: what it is now
    gone: set[int] = field(default_factory=set)  # UIDs
    came: dict[int, Entry] = field(default_factory=dict)  # UIDs that others gave, or we just now
    unknown: dict[bytes, Entry] = field(default_factory=dict)  # by base: they have no UID
    arrived: dict[bytes, bytes] = field(default_factory=dict)  # base: name; moved to cur/ just now


class Sweep:
    """Reads a folder once. The caller holds its mutex and, without ``refusal``, courier.lock."""

    def __init__(
        self, state: State, stuck: set[bytes], *, take_new: bool, refusal: OSError | None
    ) -> None:
        """``stuck``: names in new/ that can't be moved, and are known for it.

        ``refusal`` says why nothing can be written.
        """
        self._state = state
        self._stuck = stuck
        self._take_new = take_new
        self._refusal = refusal
        self._is_complete = True  # False: something could not be read or written, so try again

    def run(self) -> Sequence[int]:
        """Bring the state up to date.

        Returns: UIDs that are ``\\Recent`` for who takes what is new; see `Folder.synchronise`.
        """
        began = time.monotonic()
        is_first = not self._state.is_begun
        with memory.without_collector():
            claimed = self._run()
        messages = len(self._state.columns)
        if is_first and messages >= _BIG:
            log.index_built(self._state.path, messages, time.monotonic() - began)
            memory.release()
        return claimed

    def _run(self) -> Sequence[int]:
        state = self._state
        state.witness.judge()
        before = scan.stamp(state.path)  # what others change from now on shows against it
        current = state.current(before)
        current.new = current.new and "new" not in state.lacks_messages
        current.cur = current.cur and "cur" not in state.lacks_messages
        known, database = self._numbers(before, current)
        found = self._find(known, current, database)
        self._number(found, database)
        self._note(found, before, current)
        return self._claim(found) if self._take_new else ()

    # -- what is there ---------------------------------------------------------------------

    def _numbers(self, before: Stamp, current: Current) -> tuple[Columns, UidDb | None]:
        """Read courierimapuiddb if it is another one; without its UIDVALIDITY no UID counts."""
        state = self._state
        uidvalidity = state.numbering.uidvalidity
        database = state.numbering.load(state.path, before.uiddb)
        if uidvalidity not in (0, state.numbering.uidvalidity):
            current.new = current.cur = False
            state.start_anew()
        return (state.columns if state.is_begun else EMPTY), database

    def _find(self, known: Columns, current: Current, database: UidDb | None) -> Found:
        """Match the files there are with the messages that are known."""
        found = Found()
        waiting = self._look_into_new(known, current, found)
        in_cur = self._look_into_cur(known, current, found, waiting)
        self._match_new(known, found, waiting, in_cur)
        if database is not None:
            self._obey(known, found, database)
        return found

    def _look_into_new(
        self, known: Columns, current: Current, found: Found
    ) -> dict[bytes, bytes] | None:
        """Give what stays in ``new/``, by base; None if that is what was known."""
        state = self._state
        if not self._take_new:
            if current.new:
                return None
            state.witness.begin("new")
            return {filename.base(name): name for name in scan.listing(state.path, "new")}
        if current.new and not known.in_new:
            return None
        state.witness.begin("new")
        taken = scan.take_new(state.path)
        for name, target in taken.names:
            state.witness.expect([("new", IN_MOVED_FROM, name), ("cur", IN_MOVED_TO, target)])
            found.arrived[filename.base(target)] = target
        self._complain(taken.stuck)
        return {filename.base(name): name for name, _ in taken.stuck}

    def _complain(self, stuck: Sequence[tuple[bytes, OSError]]) -> None:
        """Log files that can't be moved out of ``new/``, each once."""
        for name, error in stuck:
            if name not in self._stuck:
                path = os.path.join(self._state.path, "new", os.fsdecode(name))
                log.error("cannot move new mail to cur/", path, error)
        self._stuck.clear()
        self._stuck.update(name for name, _ in stuck)

    def _look_into_cur(
        self,
        known: Columns,
        current: Current,
        found: Found,
        waiting: Mapping[bytes, bytes] | None,
    ) -> dict[bytes, bytes]:
        """Note what differs in ``cur/``.

        Returns: files there that are of none of the messages known to be in ``cur/``, by base.
        """
        left_new = () if waiting is None else known.in_new
        is_elsewhere = any(
            (base := filename.base(self._name(known, uid))) not in found.arrived
            and (waiting is None or base not in waiting)
            for uid in left_new
        )
        if current.cur and not is_elsewhere:
            return dict(found.arrived)
        self._state.witness.begin("cur")
        names = known.names.listed()
        rows: Sequence[int] = range(len(names))
        if known.in_new:
            rows = [row for row, uid in enumerate(known.uids) if uid not in known.in_new]
            names = [names[row] for row in rows]
        survey = scan.survey(
            self._state.path, names, may_write=self._take_new and self._refusal is None
        )
        for at, name in survey.renamed.items():
            found.renamed[known.uids[rows[at]]] = (name, False)
        found.gone = {known.uids[rows[at]] for at in survey.gone}
        return survey.unknown

    def _name(self, known: Columns, uid: int) -> bytes:
        row = known.row(uid)
        assert row is not None  # it is one of `in_new`
        return known.names[row]

    def _match_new(
        self,
        known: Columns,
        found: Found,
        waiting: Mapping[bytes, bytes] | None,
        in_cur: dict[bytes, bytes],
    ) -> None:
        """Tell messages that were or are in ``new/`` from those nobody has seen."""
        lost = {filename.base(self._name(known, uid)): uid for uid in found.gone}
        expected = {filename.base(self._name(known, uid)): uid for uid in known.in_new}
        for base, uid in expected.items():
            if base in in_cur:
                found.renamed[uid] = (in_cur.pop(base), False)
            elif waiting is not None and base in waiting:
                found.renamed[uid] = (waiting[base], True)
            elif waiting is not None:
                found.gone.add(uid)
        strange = {
            base: name
            for base, name in (waiting or {}).items()
            if base not in expected and base not in in_cur
        }
        for base in [base for base in strange if base in lost]:
            found.gone.discard(lost[base])
            found.renamed[lost[base]] = (strange.pop(base), True)
        bases = Bases(known.names.listed()) if strange else None
        found.unknown = {base: (name, False) for base, name in in_cur.items()}
        for base, name in strange.items():
            assert bases is not None
            if base not in bases:  # else it lies in cur/ as well
                found.unknown[base] = name, True

    def _obey(self, known: Columns, found: Found, database: UidDb) -> None:
        """Have the UIDs be those that courierimapuiddb says, also for messages known before."""
        uid_of = dict(zip(database.bases, database.uids, strict=True))
        stated = [uid_of.get(filename.base(name)) for name in known.names.listed()]
        numbering = self._state.numbering
        if stated != list(known.uids):
            given = frozenset(database.uids)
            for row, (uid, says) in enumerate(zip(known.uids, stated, strict=True)):
                if uid == says or uid in found.gone:
                    continue
                entry = found.renamed.get(uid, (known.names[row], uid in known.in_new))
                if says is not None:
                    found.came[says] = entry
                elif uid in given:
                    found.unknown[filename.base(entry[0])] = entry  # another has its UID
                else:
                    numbering.is_wrong = True  # the file lacks it
                    continue
                found.renamed.pop(uid, None)
                found.gone.add(uid)
        for base in found.unknown.keys() & uid_of.keys():
            found.came[uid_of[base]] = found.unknown.pop(base)
        found.gone -= found.came.keys()
        live = len(known) - len(found.gone) + len(found.came)
        numbering.dead = max(len(uid_of) - live, 0)

    # -- what follows ----------------------------------------------------------------------

    def _number(self, found: Found, database: UidDb | None) -> None:
        """Give UIDs to messages that have none, and have courierimapuiddb say so.

        When that can't be put on disk, messages that only happened to be there stay unknown; all of them
        are known for now in a folder that has no UIDVALIDITY yet and whose disk is full.
        """
        state = self._state
        bases = filename.in_order_of_arrival(found.unknown)
        new = [found.unknown[base] for base in bases]
        state.lacks_messages = frozenset("new" if in_new else "cur" for _, in_new in new)
        if database is None:
            state.numbering.dead += len(found.gone)
        try:
            if self._refusal is not None:
                raise self._refusal
            given = self._give(found, len(new))
            listed = partial(self._listed, found)
            state.numbering.write(state.path, listed, given, bases, sync=False)
        except OSError as error:
            is_unnumbered = state.numbering.is_passing or not state.numbering.uidvalidity
            if is_unnumbered and error.errno not in filesystem.UNWRITABLE:
                raise
            if error is not self._refusal:
                log.recurring("cannot write courierimapuiddb", state.path, error)
                self._is_complete = False
            if not is_unnumbered:
                if new and error.errno in filesystem.UNWRITABLE:
                    self._is_complete = False  # no index may say that this is all there is
                return
            given = state.numbering.give_for_now(len(new))
        state.lacks_messages = frozenset()
        found.came |= dict(zip(given, new, strict=True))
        fresh = {uid for uid, (_, in_new) in zip(given, new, strict=True) if not in_new}
        state.unclaimed |= NumberSet.of(fresh)

    def _give(self, found: Found, count: int) -> range:
        """Give UIDs; if there are not enough left, all messages get new ones."""
        state = self._state
        try:
            return state.numbering.give(count)
        except UidsUsedUp:
            pass
        self._renumber(found)
        return state.numbering.give(count)

    def start_anew(self) -> None:
        """Give all messages that are known new UIDs, because too few are left."""
        found = Found()
        before = scan.stamp(self._state.path)
        self._renumber(found)
        self._number(found, None)
        self._note(found, before, Current(False, False, False, False))

    def _renumber(self, found: Found) -> None:
        """Give all messages new UIDs, under another UIDVALIDITY."""
        state = self._state
        entries = dict(self._present(found))
        state.numbering.renumber()
        state.start_anew()
        found.renamed, found.gone = {}, set()
        found.came = dict(enumerate((entries[uid] for uid in sorted(entries)), 1))
        state.numbering.uidnext = len(found.came) + 1

    def _present(self, found: Found) -> Iterable[tuple[int, Entry]]:
        """Give all messages there are, those without a UID excepted."""
        columns = self._state.columns if self._state.is_begun else EMPTY
        for uid, name in zip(columns.uids, columns.names.listed(), strict=True):
            if uid not in found.gone and uid not in found.renamed:
                yield uid, (name, uid in columns.in_new)
        yield from found.renamed.items()
        yield from found.came.items()

    def _listed(self, found: Found) -> Iterable[tuple[int, bytes]]:
        """Give UIDs and bases of all messages that have a UID, ascending."""
        if self._state.is_begun and not found.gone and not found.came:
            return self._state.listed()
        entries = ((uid, filename.base(name)) for uid, (name, _) in self._present(found))
        return sorted(entries)

    def _note(self, found: Found, before: Stamp, current: Current) -> None:
        """Make the columns say what was found."""
        state = self._state
        stamp = replace(before, uiddb=state.numbering.stamp)
        if state.stamp is not None:  # settled once, settled for ever
            stamp = replace(
                stamp,
                new_settled=before.new_settled or state.stamp.vouches_for_new(before),
                cur_settled=before.cur_settled or state.stamp.vouches_for_cur(before),
            )
        if not state.is_begun:
            state.begin(self._first(found), self._settled(stamp), may_write=self._refusal is None)
            return
        rows = [
            Row(uid, name, in_new, filename.flags(name), self._keywords_of(uid))
            for uid, (name, in_new) in (found.renamed | found.came).items()
        ]
        if self._wants_keywords(found, current):
            rows = self._with_keywords(rows, found)
        state.note(
            rows,
            found.gone,
            self._settled(stamp),
            is_ours=bool(found.arrived),
            may_write=self._refusal is None,
        )

    def _settled(self, stamp: Stamp) -> Stamp:
        """Give a stamp that vouches for nothing if something could not be read or written."""
        if self._is_complete:
            return stamp
        self._state.witness.forget()
        return replace(stamp, new_settled=False, cur_settled=False, keywords_settled=False)

    def _first(self, found: Found) -> Columns:
        """Make the columns of a folder that was not known before."""
        uids = array("I", sorted(found.came))
        entries = [found.came[uid] for uid in uids]
        names = [name for name, _ in entries]
        numbers = array("I", bytes(4 * len(uids)))
        for at, number in (self._load_keywords(names) or {}).items():
            numbers[at] = number
        in_new = frozenset(uid for uid, (_, waits) in found.came.items() if waits)
        flags = filename.flags_of(names)
        modseqs = array("Q", bytes(8 * len(uids)))
        return Columns(uids, Names(names), flags, numbers, modseqs, in_new, 0)

    def _keywords_of(self, uid: int) -> int:
        row = self._state.columns.row(uid)
        return 0 if row is None else self._state.columns.keywords[row]

    def _wants_keywords(self, found: Found, current: Current) -> bool:
        if not self._state.options.keywords:
            return len(self._state.table.sets) > 1 and any(self._state.columns.keywords)
        lost = any(self._keywords_of(uid) for uid in found.gone)
        return not current.keywords or bool(found.came) or lost

    def _with_keywords(self, rows: list[Row], found: Found) -> list[Row]:
        """Read the keywords of all messages; give rows for those whose keywords changed, too."""
        state = self._state
        if len(state.table.sets) == 1 and keywords.stamp(state.path) is None:
            return rows
        columns = state.columns.with_changes(rows, found.gone, 0)
        words = self._load_keywords(columns.names.listed())
        if words is None:
            return rows
        by_uid = {row.uid: row for row in rows}
        for at in [at for at, number in enumerate(columns.keywords) if number and at not in words]:
            words[at] = 0
        for at, number in words.items():
            if columns.keywords[at] != number:
                uid = columns.uids[at]
                row = columns.message(uid)
                assert row is not None
                by_uid[uid] = row._replace(keywords=number)
        return list(by_uid.values())

    def _load_keywords(self, names: Sequence[bytes]) -> dict[int, int] | None:
        """Give the keyword sets of messages that have any, by row; None if they can't be read."""
        state = self._state
        if not state.options.keywords or keywords.stamp(state.path) is None:
            return {}
        bases = Bases(names)
        try:
            loaded = keywords.load_and_merge(
                state.path,
                bases,
                write=self._refusal is None,
                now=time.time(),
                sync=state.options.fsync,
            )
        except OSError as error:
            log.recurring("cannot read keywords", state.path, error)
            self._is_complete = False
            return None
        found = {}
        for base, words in loaded.items():
            row = bases.row(base)
            if row is not None:
                found[row] = state.table.number(words)
        return found

    def _claim(self, found: Found) -> Sequence[int]:
        """Give the UIDs that are ``\\Recent`` for this caller, and for no later one."""
        state = self._state
        claimed = set(state.claim())
        if found.arrived:
            for uid, (name, _) in (found.renamed | found.came).items():
                if filename.base(name) in found.arrived:
                    claimed.add(uid)
        return sorted(claimed.intersection(state.columns.uids)) if claimed else ()
