"""Reading steps: the first opening, the second one, STATUS, memory, with cold caches."""

from __future__ import annotations

import os
import time

from bench import process_tree
from bench.imap import rows
from bench.imap.contender import Contender
from bench.imap.maildirs import drop_page_cache, forget
from bench.imap.run import Opener, Run, say, settle
from bench.imap.session import Session

_LOOK_S = 0.05
_BUILD_PATIENCE = 4  # the first build may take so many times as long as other commands


def first(run: Run, number: int, titles: list[str]) -> None:
    """SELECT and the first build in one new process; then each row in one, all kept being removed."""
    for contender in run.in_turn(number):
        forget(contender.maildir)
    settle()
    for contender in run.in_turn(number):
        _build(run, contender)
    for title in titles:
        for contender in run.in_turn(number):
            forget(contender.maildir)
            with run.session(contender) as session:
                run.prepare(session)
                _read(run, session, contender, rows.FIRST, title)


def _build(run: Run, contender: Contender) -> None:
    with run.session(contender) as session:
        if not run.select(session, contender, rows.FIRST):
            return
        _note_peak(run, session, contender, rows.PEAK_FIRST)
        run.command(rows.FIRST, rows.BUILD, contender, session, rows.BUILD_COMMAND, _BUILD_PATIENCE)
        _note_peak(run, session, contender, rows.PEAK_BUILD)
        command = rows.READING[rows.THREAD]
        run.command(rows.FIRST, rows.THREAD_ONCE, contender, session, command)


def second(
    run: Run, number: int, section: str = rows.SECOND, opener: Opener = Contender.open
) -> None:
    """SELECT and all rows in one new process; in another one what comes behind a row that was too slow."""
    settle()
    for contender in run.in_turn(number):
        left = list(run.reading)
        with run.session(contender, opener) as session:
            run.select(session, contender, section)
            _read_all(run, session, contender, section, left)
        before = len(run.reading)
        while left and len(left) < before:
            before = len(left)
            with run.session(contender, opener) as session:
                run.prepare(session)
                _read_all(run, session, contender, section, left)


def _read_all(
    run: Run, session: Session, contender: Contender, section: str, left: list[str]
) -> None:
    """Take the rows that are left, one by one, so that the list says where it ended."""
    while left:
        _read(run, session, contender, section, left.pop(0))


def status(run: Run, number: int) -> None:
    """STATUS of a folder that the new process has not selected."""
    for contender in run.in_turn(number):
        with run.session(contender) as session:
            run.command(rows.SECOND, rows.STATUS, contender, session, rows.STATUS_COMMAND)


def build_fulltext(run: Run) -> None:
    """Have the full-text index built, where there is one: the first search starts a process for it."""
    for contender in run.contenders:
        if contender.fulltext is None:
            continue
        with run.session(contender, Contender.open_with_fulltext) as session:
            run.prepare(session)
            began = time.monotonic()
            session.timed(rows.READING[rows.SEARCH_BODY], run.limit_s)
            while _has_children(session):
                if time.monotonic() - began > run.limit_s * _BUILD_PATIENCE:
                    outcome = f"not within {run.limit_s * _BUILD_PATIENCE:g} s"
                    run.figures.give_up(rows.FULLTEXT, rows.FULLTEXT_BUILD, contender.name, outcome)
                    return
                time.sleep(_LOOK_S)
            took = time.monotonic() - began
            run.figures.add_value(rows.FULLTEXT, rows.FULLTEXT_BUILD, contender.name, took)


def fulltext(run: Run, number: int) -> None:
    """SEARCH BODY in a new process, of all servers."""
    for contender in run.in_turn(number):
        with run.session(contender, Contender.open_with_fulltext) as session:
            run.prepare(session)
            _read(run, session, contender, rows.FULLTEXT, rows.SEARCH_BODY)


def _has_children(session: Session) -> bool:
    assert session.pid is not None
    return any(
        process_tree.is_running(pid)
        for pid in process_tree.pids([session.pid])
        if pid != session.pid
    )


def memory(run: Run, number: int) -> None:
    """Memory of a new process that has selected and fetched all flags.

    The disk is synchronised before: a file's page that waits to be written counts as private otherwise.
    """
    for contender in run.in_turn(number):
        with run.session(contender) as session:
            run.prepare(session)
            session.timed(rows.FETCH_FLAGS_COMMAND, run.limit_s)
            os.sync()
            assert session.pid is not None
            private, _ = process_tree.memory(session.pid)
            if run.counts:
                run.figures.add_value(rows.MEMORY, rows.PRIVATE, contender.name, private)
            _note_peak(run, session, contender, rows.PEAK)


def cold(run: Run) -> None:
    """The first build, and the second opening, each after the kernel forgot the disk."""
    if not drop_page_cache():
        say("cold rows: skipped, the kernel's caches can't be emptied")
        return
    for contender in run.contenders:
        forget(contender.maildir)
        drop_page_cache()
        with run.session(contender) as session:
            run.select(session, contender, rows.COLD, f"{rows.SELECT}, first")
            title = f"{rows.BUILD}, first"
            run.command(rows.COLD, title, contender, session, rows.BUILD_COMMAND, _BUILD_PATIENCE)
        settle()
        drop_page_cache()
        with run.session(contender) as session:
            run.select(session, contender, rows.COLD, f"{rows.SELECT}, second")
            for title in rows.READ_COLD:
                run.command(rows.COLD, f"{title}, second", contender, session, rows.READING[title])


def _read(run: Run, session: Session, contender: Contender, section: str, title: str) -> None:
    run.command(section, title, contender, session, rows.READING[title])


def _note_peak(run: Run, session: Session, contender: Contender, title: str) -> None:
    assert session.pid is not None
    _, peak = process_tree.memory(session.pid)
    if run.counts:
        run.figures.add_value(rows.MEMORY, title, contender.name, peak)
