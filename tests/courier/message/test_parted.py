"""PartedMessage: a message read by its parts says what the whole one says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.message import lines, mime, parted
from courier.message.message import Message
from courier.message.mime import Part
from courier.message.parted import PartedMessage
from tests.courier.message.strategies import Node, rubbish, trees
from tests.support.messages import CATALOGUE


@pytest.fixture(autouse=True, scope="module")
def _small_is_large() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parted, "LARGE", 0)
        patch.setattr(parted, "_BLOCK", 7)
        yield


def places(part: Part | None) -> object:
    if part is None:
        return None
    inside = [places(child) for child in part.children]
    return part.header_start, part.body_start, part.end, inside, places(part.message)


def agrees(data: bytes) -> None:
    root = mime.parse(data)
    structure = parted.structure(root)
    message = PartedMessage(structure, lambda start, count: data[start : start + count])

    assert places(message.root) == places(root)
    assert message.size_on_disk == len(data)
    assert message.wire(0, len(data)) == lines.wire(data)


@pytest.mark.parametrize("name", CATALOGUE)
def test_catalogue(name: str) -> None:
    agrees(CATALOGUE[name])


@given(rubbish)
def test_any_bytes(data: bytes) -> None:
    agrees(data)


@given(trees)
def test_trees(tree: Node) -> None:
    agrees(tree.write())


_TEXT = st.lists(st.sampled_from([b"\n", b"\r\n", b"\r", b"abc", b"\r\r\n"]), max_size=20).map(
    b"".join
)


@given(_TEXT, st.integers(0, 40), st.integers(0, 40), st.integers(0, 60), st.integers(0, 60))
def test_slices(data: bytes, start: int, end: int, offset: int, count: int) -> None:
    """Wherever blocks end, also between CR and LF."""
    start, end = min(start, len(data)), min(end, len(data))
    whole = Message(data)
    message = PartedMessage(
        parted.structure(whole.root), lambda start, count: data[start : start + count]
    )

    assert message.wire_slice(start, end, offset, count) == whole.wire_slice(
        start, end, offset, count
    )


def test_file_that_has_become_shorter() -> None:
    """An error, not fewer octets than were announced."""
    data = CATALOGUE["multipart"]
    structure = parted.structure(mime.parse(data))
    message = PartedMessage(structure, lambda start, count: data[start : start + count - 1])

    with pytest.raises(OSError):
        message.wire(0, len(data))
    with pytest.raises(OSError):
        message.wire_slice(0, len(data), 0, 10)


def test_too_many_parts() -> None:
    """They are not kept."""
    data = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * parted.MAX_ENTITIES

    assert parted.structure(mime.parse(data)) == b""
