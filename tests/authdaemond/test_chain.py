"""In which order modules are asked, and what the client is told."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from authdaemond import chain
from authdaemond.chain import Answer, Ask, Reply, Usual, Verdict
from authdaemond.success_cache import SuccessCache
from courier.auth.account import Secret
from courier.auth.challenge import Challenges
from courier.auth.request import Authenticate, ChangePassword, Enumerate, Lookup, Request

DONE = Answer(Verdict.DONE, b"account\n.\n")
NO = Answer(Verdict.REJECTED)
SLOW_NO = Answer(Verdict.REJECTED, delay_s=2.0)
TEMPORARY = Answer(Verdict.TEMPORARY)

LOGIN = Authenticate(b"imap", b"login", b"alice", Secret(b"secret"))
CHANGE = ChangePassword(b"imap", b"alice", Secret(b"old"), Secret(b"new"))
FAIL = Reply(b"FAIL\n")


def play(
    request: Request, answers: Mapping[str, Answer], cache: SuccessCache | None = None
) -> tuple[list[str], list[Reply]]:
    """Answer for the modules; return whom the chain asked and what it replied."""
    asked: list[str] = []
    replies: list[Reply] = []
    steps = chain.steps(
        request, list(answers), cache or SuccessCache(0), Challenges(b"key"), Usual()
    )
    answer: Answer | None = None
    while True:
        try:
            step = next(steps) if answer is None else steps.send(answer)
        except StopIteration:
            return asked, replies
        answer = None
        if isinstance(step, Ask):
            asked.append(step.module)
            answer = answers[step.module]
        else:
            replies.append(step)


def test_first_that_knows_ends_the_search() -> None:
    assert play(LOGIN, {"a": NO, "b": DONE, "c": DONE}) == (["a", "b"], [Reply(DONE.reply)])


def test_temporary_failure_ends_the_search_without_a_reply() -> None:
    assert play(LOGIN, {"a": NO, "b": TEMPORARY, "c": DONE}) == (["a", "b"], [])


def test_all_reject() -> None:
    assert play(LOGIN, {"a": NO, "b": NO}) == (["a", "b"], [FAIL])
    assert play(LOGIN, {}) == ([], [FAIL])


def test_only_the_reply_is_delayed() -> None:
    """The longest of the delays counts, and only if nobody knows the account."""
    assert play(LOGIN, {"a": SLOW_NO, "b": NO})[1] == [Reply(b"FAIL\n", 2.0)]
    assert play(LOGIN, {"a": SLOW_NO, "b": DONE})[1] == [Reply(DONE.reply)]


CHALLENGE = Authenticate(b"imap", b"scram-sha-256", b"alice", Secret(b"nonce"))


@pytest.mark.parametrize(
    ("answers", "asked", "told"),
    [
        ({"a": NO, "b": NO}, ["a", "b"], b",i=4096\n.\n"),
        ({"a": NO, "b": Answer(Verdict.DONE, b"")}, ["a", "b"], b",i=4096\n.\n"),
        ({"a": Answer(Verdict.DONE, b"5000,AAAA"), "b": NO}, ["a", "b"], b",s=AAAA,i=5000\n.\n"),
        (
            {"a": Answer(Verdict.DONE, b"5000,AAAA"), "b": Answer(Verdict.DONE, b"6000,BBBB")},
            ["a", "b"],
            b",s=AAAA,i=5000\n.\n",
        ),
        ({"a": Answer(Verdict.DONE, b"5000,AAAA"), "b": TEMPORARY}, ["a", "b"], b",i=5000\n.\n"),
        ({"a": TEMPORARY, "b": Answer(Verdict.DONE, b"5000,AAAA")}, ["a"], None),
        ({"a": NO, "b": TEMPORARY}, ["a", "b"], None),
        ({}, [], b",i=4096\n.\n"),
    ],
)
def test_challenge(answers: Mapping[str, Answer], asked: list[str], told: bytes | None) -> None:
    """Everybody gets one, after as many modules were asked; the first that knows the account counts."""
    found, replies = play(CHALLENGE, answers)

    assert found == asked
    assert [
        one.data.startswith(b"SASL=r=nonce") and one.data.endswith(told or b"") for one in replies
    ] == ([] if told is None else [True])


def test_token() -> None:
    """Its module says whose it is, the others who that is; it is asked about nothing else."""
    request = Authenticate(b"imap", b"xoauth2", b"a=", Secret(b"token"))
    whose = Answer(Verdict.DONE, b"alice\n{refusal}")

    assert play(request, {"a": NO, "authoauth2": whose, "b": DONE}) == (
        ["authoauth2", "a", "b"],
        [Reply(DONE.reply)],
    )
    refused = ["authoauth2", "a"], [Reply(b"SASL={refusal}\n.\n")]
    assert play(request, {"a": NO, "authoauth2": whose}) == refused
    no = Answer(Verdict.REJECTED, b"\n{refusal}")
    assert play(request, {"a": DONE, "authoauth2": no}) == (["authoauth2"], refused[1])
    assert play(request, {"a": DONE}) == ([], [FAIL])
    assert play(request, {"a": TEMPORARY, "authoauth2": whose})[1] == []
    assert play(LOGIN, {"authoauth2": DONE, "a": NO})[0] == ["a"]


@pytest.mark.parametrize(("module", "asked"), [(b".", ["a", "b"]), (b"b", ["b"]), (b"x", [])])
def test_lookup_of_one_module(module: bytes, asked: list[str]) -> None:
    assert play(Lookup(b"imap", b"alice", module), {"a": NO, "b": NO}) == (asked, [FAIL])


def test_change_password() -> None:
    """OK once; a temporary failure is told as FAIL here, and asks nobody else."""
    assert play(CHANGE, {"a": NO, "b": Answer(Verdict.DONE)}) == (["a", "b"], [Reply(b"OK\n")])
    assert play(CHANGE, {"a": TEMPORARY, "b": DONE}) == (["a"], [FAIL])
    assert play(CHANGE, {"a": NO}) == (["a"], [FAIL])


def test_enumerate() -> None:
    done = Answer(Verdict.DONE)

    assert play(Enumerate(), {"a": done, "b": done}) == (
        ["a", "b"],
        [Reply(b"# a\n\n"), Reply(b"# b\n\n"), Reply(b".\n")],
    )
    assert play(Enumerate(), {"a": TEMPORARY, "b": done}) == (["a"], [Reply(b"# a\n\n")])


@pytest.mark.parametrize(
    "request_",
    [
        Lookup(b"imap", b"alice\r"),
        Lookup(b"imap", b"al\tice"),
        Lookup(b"im\0ap", b"alice"),
        Lookup(b"imap", b"al\x7fice"),
        Lookup(b"../passwd", b"alice"),
        Authenticate(b"imap", b"login", b"alice", Secret(b"")),
        Authenticate(b"imap", b"login", b"", Secret(b"secret")),
        Authenticate(b"", b"login", b"alice", Secret(b"secret")),
        Authenticate(b"imap", b"login", b"alice", Secret(b"sec\0ret")),
        Authenticate(b"imap", b"login", b"ali\0ce", Secret(b"secret")),
        ChangePassword(b"imap", b"alice", Secret(b""), Secret(b"new")),
        ChangePassword(b"imap", b"alice", Secret(b"old"), Secret(b"")),
        ChangePassword(b"imap", b"alice", Secret(b"old"), Secret(b"n\new")),
        ChangePassword(b"imap", b"al\rice", Secret(b"old"), Secret(b"new")),
    ],
)
def test_no_module_sees_what_it_could_mistake(request_: Request) -> None:
    assert play(request_, {"a": DONE}) == ([], [FAIL])


def test_comparison_that_a_client_asks_for() -> None:
    """What a wrong password costs everybody is not said by who asks."""
    request = Authenticate(b"imap", chain.NOBODY, b"$6$rounds=999999999$x$", Secret(b"x"))
    assert play(request, {"a": DONE}) == ([], [FAIL])


def test_password_that_was_accepted_a_moment_ago() -> None:
    """No module is asked; a change of any password ends that."""
    cache = SuccessCache(60)
    assert play(LOGIN, {"a": DONE}, cache) == (["a"], [Reply(DONE.reply)])

    assert play(LOGIN, {"a": NO}, cache) == ([], [Reply(DONE.reply)])
    assert play(CHANGE, {"a": DONE}, cache) == (["a"], [Reply(b"OK\n")])
    assert play(LOGIN, {"a": NO}, cache) == (["a"], [FAIL])


def test_rejections_and_failures_are_not_kept() -> None:
    cache = SuccessCache(60)
    for answer in (NO, TEMPORARY):
        play(LOGIN, {"a": answer}, cache)

        assert play(LOGIN, {"a": DONE}, SuccessCache(60))[0] == ["a"]
        assert cache.get(LOGIN) is None
