"""/etc/shadow."""

from __future__ import annotations

from pathlib import Path

import pytest

from authdaemond.backends import shadow
from authdaemond.backends.shadow import Entry

TEXT = """root:*:19000:0:99999:7:::
alice:$y$x:19001:0:90:7:14:19999:
alicea:wrong:1:0:1:7:::
bob:hash:::::::
short:hash:1:2:3
long:hash:1:2:3:4:5:6:7:8
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shadow"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("alice", Entry(b"$y$x", 19001, 90, 19999)),
        ("root", Entry(b"*", 19000, 99999, None)),
        ("bob", Entry(b"hash", None, None, None)),
        ("short", None),
        ("long", None),
        ("ali", None),
        ("", None),
        ("nosuch", None),
    ],
)
def test_entry(file: Path, name: str, entry: Entry | None) -> None:
    assert shadow.entry(name, file) == entry


@pytest.mark.parametrize(
    ("entry", "account", "password"),
    [
        (Entry(b"", None, None, None), False, False),
        (Entry(b"", 100, 50, None), False, False),
        (Entry(b"", 100, 49, None), False, True),
        (Entry(b"", 0, 99999, None), False, False),
        (Entry(b"", None, 1, 150), False, False),
        (Entry(b"", None, None, 149), True, False),
        (Entry(b"", None, None, 0), False, False),
    ],
)
def test_expiry_on_day_150(entry: Entry, account: bool, password: bool) -> None:
    """The last day still counts; 0 is no day on which an account expires."""
    assert entry.account_has_expired(150) is account
    assert entry.password_has_expired(150) is password


def test_unreadable(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        shadow.entry("alice", tmp_path / "none")
