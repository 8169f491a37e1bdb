"""courier.maildir.annotations: pycourier-metadata."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.maildir import annotations
from courier.maildir.annotations import NAME, AnnotationFile
from tests.imapd.failing import failing_call


def test_change_and_read(maildir: Path) -> None:
    """Values are set, replaced and removed; the file is its owner's, and goes with the last value."""
    file = AnnotationFile(str(maildir))

    assert file.read() == {}
    file.change({"/private/comment": b"one", "/shared/x": b"\0\r\n\xff"})
    file.change({"/private/comment": b"", "/shared/none": None})

    assert file.read() == {"/private/comment": b"", "/shared/x": b"\0\r\n\xff"}
    assert stat.S_IMODE((maildir / NAME).stat().st_mode) == 0o600
    assert os.listdir(maildir / "tmp") == []

    file.change({"/private/comment": None, "/shared/x": None})

    assert not (maildir / NAME).exists()


def test_what_is_no_annotation(maildir: Path) -> None:
    """It is not told, and survives a change."""
    odd = b"# kept\n/private/bad !!!\n/private/bad A\nno-slash QQ==\n"
    (maildir / NAME).write_bytes(odd + b"\n/shared/a QQ==\n/shared/torn QUFB")
    file = AnnotationFile(str(maildir))

    assert file.read() == {"/shared/a": b"A", "/shared/torn": b"AAA"}
    file.change({"/shared/a": None})

    assert (maildir / NAME).read_bytes() == odd + b"/shared/torn QUFB\n"


def test_check(maildir: Path) -> None:
    """What it raises is passed on, and nothing has changed."""
    file = AnnotationFile(str(maildir))
    file.change({"/shared/a": b"A"})

    def refuse(after: annotations.Annotations) -> None:
        assert after == {"/shared/b": b"B"}
        raise KeyError

    with pytest.raises(KeyError):
        file.change({"/shared/a": None, "/shared/b": b"B"}, refuse)

    assert file.read() == {"/shared/a": b"A"}


@pytest.mark.parametrize("key", ["/shared/a\nb", "/shared/\x7f", "none"])
def test_keys_that_are_no_line(maildir: Path, key: str) -> None:
    with pytest.raises(OSError) as caught:
        AnnotationFile(str(maildir)).change({key: b""})

    assert caught.value.errno == errno.EINVAL
    assert not (maildir / NAME).exists()


def test_file_replaced_by_a_link(maildir: Path, tmp_path: Path) -> None:
    """It is an error; annotations are not taken for none and overwritten."""
    (tmp_path / "victim").write_bytes(b"/shared/a QQ==\n")
    (maildir / NAME).symlink_to(tmp_path / "victim")
    file = AnnotationFile(str(maildir))

    with pytest.raises(OSError):
        file.read()
    with pytest.raises(OSError):
        file.change({"/shared/b": b""})


def test_file_too_large(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's enormous file is an error, not so much memory in every look."""
    monkeypatch.setattr(annotations, "_LARGEST", 10)
    (maildir / NAME).write_bytes(b"/shared/a QQ==\n")

    with pytest.raises(OSError):
        AnnotationFile(str(maildir)).read()


def test_changes_at_once(maildir: Path) -> None:
    """None is lost."""

    def change(number: int) -> None:
        AnnotationFile(str(maildir)).change({f"/shared/{number}": b""}, sync=False)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(AnnotationFile(str(maildir)).read()) == 20


def test_with_each_call_failing(maildir: Path) -> None:
    """The old values stay, or the new ones are there; nothing is left in tmp/."""
    file = AnnotationFile(str(maildir))
    before, after = {"/shared/a": b"A"}, {"/shared/a": b"B", "/shared/b": b"B"}
    failed = 0
    for number in range(100):
        file.change({"/shared/a": b"A", "/shared/b": None})
        with failing_call(number) as calls:
            try:
                file.change({"/shared/a": b"B", "/shared/b": b"B"})
            except OSError:
                assert file.read() in (before, after)
        if calls.failed is None:
            break
        failed += 1
        assert os.listdir(maildir / "tmp") == []

    assert failed >= 4
    assert file.read() == after


_KEYS = st.text(st.characters(min_codepoint=0x20, blacklist_characters="\x7f"), max_size=20)


@given(st.dictionaries(_KEYS.map("/".__add__), st.binary(max_size=50), max_size=5))
def test_written_is_read(values: dict[str, bytes]) -> None:
    try:
        text = annotations.write(values)
    except (ValueError, UnicodeEncodeError):
        return
    assert annotations.parse(text) == values


@given(st.binary(max_size=200))
def test_any_file_is_read(text: bytes) -> None:
    annotations.write(annotations.parse(text))
