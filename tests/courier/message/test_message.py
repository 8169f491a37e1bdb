"""Message: the same answers whatever is asked first."""

from __future__ import annotations

from hypothesis import given

from courier.message import lines
from courier.message.message import Message
from tests.courier.message.strategies import rubbish


@given(rubbish)
def test_answers_do_not_depend_on_order(data: bytes) -> None:
    """What is found from the header alone is what the structure finds."""
    lazy, parsed = Message(data), Message(data)
    root = parsed.root

    assert lazy.body_start == parsed.body_start == root.body_start
    assert lazy.fields == parsed.fields == root.fields
    assert lazy.size == parsed.size == len(lines.wire(data))


def test_header_alone_needs_no_structure() -> None:
    """Fields and size of a message are found without parsing its body."""
    message = Message(b"Subject: a\n\nbody\n")

    assert message.fields == {b"subject": b" a"}
    assert (message.body_start, message.size) == (12, 20)
    assert message._root is None
