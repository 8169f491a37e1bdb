from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.message import facts, objectid


@given(st.binary(max_size=20), st.integers(-(1 << 40), 1 << 40))
def test_email_id(data: bytes, date: int) -> None:
    """It can be taken apart again, and is of its content and date alone."""
    content = objectid.digest(data)

    identifier = objectid.email_id(content, date)

    assert objectid.read_email_id(identifier) == (content, date)
    assert objectid.email_id(objectid.digest(data + b"x"), date) != identifier
    assert objectid.email_id(content, date + 1) != identifier


@pytest.mark.parametrize(
    "text", [b"", b"M", b"M" + b"0" * 40, b"T" + b"0" * 40 + b"1", b"M" + b"0" * 40 + b"0_1"]
)
def test_what_no_message_has(text: bytes) -> None:
    assert objectid.read_email_id(text) is None


def message(own: str, *, references: str = "", reply: str = "", subject: str = "x") -> bytes:
    header = f"Subject: {subject}\n"
    header += f"Message-ID: <{own}>\n" if own else ""
    header += f"References: {references}\n" if references else ""
    header += f"In-Reply-To: {reply}\n" if reply else ""
    return f"{header}\nbody\n".encode()


def test_thread_id() -> None:
    """A thread is that of the oldest message referred to, in whatever mailbox that is."""
    first, second = message("1@x"), message("2@x", references="<1@x>", reply="<1@x>")
    third = message("3@x", references="<1@x> <2@x>")
    fourth = message("4@x", reply="<1@x>", subject="another")

    found = {facts.thread_id(one) for one in (first, second, third, fourth)}

    assert len(found) == 1
    assert facts.thread_id(message("5@x")) not in found


def test_thread_id_without_message_id() -> None:
    """Then it goes by subject and people."""
    assert facts.thread_id(message("")) == facts.thread_id(message("", subject="Re: x"))
    assert facts.thread_id(message("")) != facts.thread_id(message("", subject="y"))
