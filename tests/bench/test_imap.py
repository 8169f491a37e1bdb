"""The parts of the benchmark: its mail, its folders, its verdicts, and a session on a tiny folder."""

from __future__ import annotations

import email
import os
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.connection import NoAnswer, Sample, TooSlow
from bench.imap import contender, goals, mail, maildirs, opening, results, rows, run
from bench.imap.__main__ import _prepared
from bench.imap.figures import Figures


def test_mail_is_the_same_in_every_run_and_no_two_messages_are_alike() -> None:
    """What is generated depends on the seed alone; its size is what we say it is."""
    first = list(mail.generate(500))
    again = list(mail.generate(500))

    assert first == again
    ids = {email.message_from_bytes(one.data)["Message-ID"] for one in first}
    assert len(ids) == 500
    mean = sum(len(one.data) for one in first) / 500
    assert 0.85 * mail.MEAN_SIZE < mean < 1.15 * mail.MEAN_SIZE


def test_mail_has_threads_parts_and_the_words_searched_for() -> None:
    """Replies name messages that exist; the shares of parts and words are as promised."""
    found = [email.message_from_bytes(one.data) for one in mail.generate(400)]
    ids = {one["Message-ID"] for one in found}
    replies = [one for one in found if one["In-Reply-To"]]

    assert 100 < len(replies) < 220
    assert all(one["In-Reply-To"] in ids for one in replies)
    assert all(one["References"].split()[-1] == one["In-Reply-To"] for one in replies)
    assert sum(one.is_multipart() for one in found) == 280
    assert sum(mail.BODY_WORD in one.as_string() for one in found) == 4
    assert 10 < sum(mail.SUBJECT_WORD in str(one["Subject"]) for one in found) < 100
    assert any(mail.SENDER in one["From"] for one in found)


def test_a_folder_larger_than_the_pool_has_links_and_can_be_made_new(tmp_path: Path) -> None:
    """forget leaves the messages alone; the foreigner changes one name and back; the yard takes the rest."""
    owner = contender.owner()
    pool = maildirs.make_pool(tmp_path / "pool", 4, owner)
    maildir = tmp_path / "home" / "Maildir"
    maildirs.fill(maildir, pool, 10, owner)
    names = sorted(os.listdir(maildir / "cur"))
    (maildir / "courierimapuiddb").touch()
    (maildir / ".copies").mkdir()

    assert len(names) == 10
    maildirs.forget(maildir)
    assert sorted(os.listdir(maildir)) == ["cur", "new", "tmp"]

    foreigner = maildirs.Foreigner(maildir, pool, 10)
    foreigner.change_flags()
    assert len(set(names) ^ set(os.listdir(maildir / "cur"))) == 2
    foreigner.change_flags()

    (maildir / "cur" / "1.x,S=1:2,S").touch()
    maildirs.Yard(tmp_path / "yard").purge(maildir)
    assert sorted(os.listdir(maildir / "cur")) == names
    assert len(os.listdir(tmp_path / "yard")) == 1


def _figures(ours: float, dovecot: float) -> Figures:
    figures = Figures()
    for server, seconds in (("ours", ours), ("dovecot", dovecot)):
        for factor in (1, 2, 3):
            sample = Sample(seconds * factor, seconds, 10, b"")
            figures.add(rows.SECOND, rows.SELECT, server, sample)
    figures.give_up(rows.SECOND, "SORT (DATE)", "ours", "no answer")
    return figures


@pytest.mark.parametrize(("ours", "text"), [(0.001, "met"), (0.0021, "missed")])
def test_a_goal_is_met_or_missed_by_the_medians(ours: float, text: str) -> None:
    goal = goals.Goal(rows.SECOND, rows.SELECT, 1.0)

    assert goals.judge(goal, {20_000: _figures(ours, 0.002)}).text == text


def test_a_goal_without_a_figure_says_why() -> None:
    sizes = {20_000: _figures(0.001, 0.002)}

    judged = goals.judge(goals.Goal(rows.SECOND, "SORT (DATE)", 1.0), sizes)
    assert judged.text == "ours: no answer"
    assert goals.judge(goals.Goal(rows.MEMORY, rows.PRIVATE, 60, 1e6), sizes).text == "not measured"


def test_rows_that_were_not_measured_stay(tmp_path: Path) -> None:
    """A run of some parts does not take away what an earlier one found."""
    results.write({1000: _figures(0.1, 1)}, {1000: "run one"}, tmp_path)
    memory = Figures()
    memory.add_value(rows.MEMORY, rows.PRIVATE, "ours", 5e6)
    results.write({1000: memory}, {1000: "run two"}, tmp_path)

    page = (tmp_path / "imap.md").read_text()
    assert "| SELECT | 200 | 2000 | 0.1 |" in page and f"| {rows.PRIVATE} | 5.0 |" in page


def test_results_of_other_sizes_stay(tmp_path: Path) -> None:
    """Page and chart are made of all sizes that have been measured; the last run of a size counts."""
    results.write({20_000: _figures(0.5, 1)}, {20_000: "run one"}, tmp_path)
    results.write({1000: _figures(0.1, 1)}, {1000: "run two"}, tmp_path)
    results.write({1000: _figures(0.3, 1)}, {1000: "run three"}, tmp_path)

    page = (tmp_path / "imap.md").read_text()
    assert "run one" in page and "run three" in page and "run two" not in page
    assert "| SELECT | 1000 | 2000 | 0.5 |" in page and "| SELECT | 600 | 2000 | 0.3 |" in page
    texts = [
        one.text
        for one in ElementTree.parse(tmp_path / "imap.svg").iter("{http://www.w3.org/2000/svg}text")
    ]
    assert "20,000 messages, second opening" in texts
    assert "1 s" in texts and "600 ms" in texts


@pytest.mark.slow
def test_rows_are_measured_with_our_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reading row has a time or says that there is no answer; a limit that is too short is reported."""
    monkeypatch.setattr(run, "SETTLE_S", 0.0)
    with _prepared(30, ["ours"], 30.0) as (measured, _):
        opening.second(measured, 0)
        opening.status(measured, 0)
        opening.memory(measured, 0)
        with (
            pytest.raises(TooSlow),
            measured.contenders[0].open() as session,
        ):
            session.timed("SELECT INBOX", 0.0)
        with (
            pytest.raises(NoAnswer),
            measured.contenders[0].open() as session,
        ):
            session.timed("NONSENSE", 30.0)

    found = measured.figures.sections[rows.SECOND]
    assert list(islice(found, 2)) == [rows.SELECT, "UID FETCH FLAGS"]
    for row, cells in found.items():
        assert cells["ours"].median or cells["ours"].outcome == "no answer", row
    private = measured.figures.find(rows.MEMORY, rows.PRIVATE, "ours")
    assert private and private.median and private.median > 1e6
