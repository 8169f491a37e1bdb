"""The benchmark of POP3: its goals, where responses end, and rounds on a tiny maildrop."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from bench.connection import Connection, NoAnswer, Sample, TooSlow
from bench.imap import run as imap_run
from bench.imap.figures import Figures
from bench.pop3 import measure, rows
from bench.pop3.__main__ import prepared
from bench.pop3.goals import GOALS
from bench.pop3.measure import Unequal
from bench.pop3.report import report
from bench.pop3.session import Session

LIMIT_S = 10.0


class Peer:
    """The server's end of a session: what it will say is there before it is asked."""

    def __init__(self) -> None:
        near, self.end = socket.socketpair()
        self.connection = Connection(near, near.close)

    def session(self, *, greets: bool = True) -> Session:
        return Session(self.connection, greets=greets)

    def says(self, text: bytes) -> None:
        self.end.sendall(text)


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    with made.end:
        yield made
        made.connection.end()


def test_a_session_begins_when_noop_was_answered(peer: Peer) -> None:
    """A greeting alone is not the end of a log-in where a greeting is sent, and the end where none is."""
    peer.says(b"+OK logged in.\r\n")
    with pytest.raises(TooSlow):
        peer.session().begin(0.0)
    peer.session(greets=False).begin(LIMIT_S)

    peer.says(b"+OK logged in.\r\n+OK\r\n")
    peer.session().begin(LIMIT_S)
    assert peer.end.recv(100) == b"NOOP\r\n" * 3


def test_responses_are_counted_up_to_the_line_with_the_dot(peer: Peer) -> None:
    responses = [b"+OK\r\n..\r\n.\r\n", b"+OK\r\n" + b"x" * 9000 + b"\r\n.\r\n"]
    session = peer.session()

    peer.says(responses[0])
    first = session.timed(["RETR 1"], LIMIT_S)
    peer.says(responses[1])
    second = session.timed(["RETR 2"], LIMIT_S)

    assert [first.octets, second.octets] == [len(one) for one in responses]
    peer.says(b"+OK\r\n..\r\n")
    with pytest.raises(TooSlow):
        session.timed(["RETR 3"], 0.01)


def test_a_refusal_is_no_figure_and_a_message_that_looks_like_one_is(peer: Peer) -> None:
    peer.says(b"+OK\r\n-ERR\r\n.\r\n")
    assert peer.session().timed(["RETR 1"], LIMIT_S).octets == 14

    peer.says(b"-ERR no such message\r\n")
    with pytest.raises(NoAnswer, match="no such message"):
        peer.session().timed(["RETR 2"], LIMIT_S)
    peer.end.close()
    with pytest.raises(NoAnswer):
        peer.session().timed(["RETR 3"], LIMIT_S)


def _figures(octets: int = 1000) -> Figures:
    """Ours takes half of the time of others for everything, and twice the processor's."""
    figures = Figures()
    for goal in GOALS:
        for server, seconds, size in (("ours", 0.5, octets), ("courier", 1.0, 1000)):
            figures.add(goal.section, goal.row, server, Sample(seconds, 1 / seconds, size, b""))
        figures.add(goal.section, goal.row, "dovecot", Sample(1.0, 1.0, 1000, b""))
    return figures


def test_goals_are_judged_by_time_and_by_the_processor() -> None:
    page = report(_figures(), "", [])

    lines = [line for line in page.splitlines() if "<=" in line]
    assert len(lines) == len(GOALS)
    assert all("| 500 | 0.5 |" in line and line.endswith("| met | 2 | missed |") for line in lines)


def test_servers_that_send_other_messages_are_not_compared() -> None:
    measure.compare(_figures(1005))
    with pytest.raises(Unequal):
        measure.compare(_figures(900))


@pytest.mark.slow
def test_rounds_are_measured_with_our_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row has a figure of each round that counts, and messages are those there are."""
    monkeypatch.setattr(imap_run, "SETTLE_S", 0.0)
    monkeypatch.setattr(rows, "FETCHED", 10)
    monkeypatch.setattr(rows, "LARGE_SIZE", 760_000)
    with prepared(30, ["ours"]) as (run, work):
        for number in range(2):
            run.counts = number > 0
            measure.first(run, number)
            measure.later(run, number)
        measure.add_large(run, work)
        measure.fetching(run, 1)
        with pytest.raises(NoAnswer):
            measure.fetching(run, 3)

    found = run.figures.sections
    assert list(found) == [rows.FIRST, rows.START, rows.WARM, rows.FETCHING]
    for section, cells in found.items():
        for row, of in cells.items():
            assert len(of["ours"].values) == 1, (section, row)
    large = found[rows.FETCHING][rows.RETR_LARGE]["ours"]
    assert large.octets > 760_000 and found[rows.WARM][rows.LIST]["ours"].octets > 30 * 8
