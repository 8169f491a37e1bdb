"""Messages between authdaemond's own processes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authdaemond import message
from authdaemond.chain import Answer, Verdict
from authdaemond.message import Bad, Order
from courier.auth.account import Secret
from courier.auth.request import Authenticate, ChangePassword, Enumerate, Lookup, Request

REQUESTS: list[Request] = [
    Lookup(b"imap", b"two words", remote_ip=b"::1"),
    Authenticate(b"imap", b"login", b"a\tb", Secret(b"p\0w\n"), b"::1"),
    ChangePassword(b"imap", b"alice", Secret(b"old"), Secret(b"new")),
    Enumerate(b"::1"),
]


@pytest.mark.parametrize("request_", REQUESTS)
def test_request(request_: Request) -> None:
    """No octet of a field can make another field."""
    assert message.read_request(message.write_request(request_)) == request_


@pytest.mark.parametrize(
    "answer",
    [
        Answer(Verdict.DONE, b"x\n"),
        Answer(Verdict.REJECTED, delay_s=1.5),
        Answer(Verdict.REJECTED, b"refusal", compared=b"$1$x$"),
        Answer(Verdict.DONE, b"x\n", compared=b""),
        Answer(Verdict.TEMPORARY),
    ],
)
def test_answer(answer: Answer) -> None:
    assert message.read_answer(message.write_answer(answer)) == answer
    assert message.read_answer(message.write_part(b"piece")) == b"piece"


@pytest.mark.parametrize(("sent", "read"), [(-5.0, 0.0), (31.0, 30.0), (1e9, 30.0)])
def test_delay_is_bounded(sent: float, read: float) -> None:
    """No module makes a client wait for ever."""
    found = message.read_answer(message.write_answer(Answer(Verdict.REJECTED, delay_s=sent)))

    assert isinstance(found, Answer) and found.delay_s == read


def test_order() -> None:
    assert message.read_order(message.order(Order.STARTED, 1, 2)) == (Order.STARTED, [1, 2])


@given(st.lists(st.binary(max_size=12), max_size=7))
def test_nonsense(fields: list[bytes]) -> None:
    """Whatever a process sends that was taken over, Bad is all that is raised."""
    for read in (message.read_request, message.read_answer, message.read_order):
        try:
            read(fields)  # type: ignore[operator]
        except Bad:
            pass
