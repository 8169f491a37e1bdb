"""sysconftool's command line, and how it replaces files."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from courier import replace_file
from tools import sysconftool

OLD = "##VERSION: 1\n##NAME: A:0\n# a\n\nA=1\n"
TEMPLATE = "##VERSION: 2\n##NAME: A:0\n# a\n\nA=9\n##NAME: B:0\n# b\n\nB=9\n"
MERGED = (
    "##VERSION: 2\n##NAME: A:0\n# a\n#\n# DEFAULT SETTING from etc/demo.dist:\n#\n#A=9\n\nA=1\n"
    "##NAME: B:0\n# b\n\nB=9\n"
)


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / "etc"
    directory.mkdir()
    (directory / "demo.dist").write_text(TEMPLATE)
    (directory / "demo").write_text(OLD)
    return directory


def run(*arguments: str) -> int:
    return sysconftool.main(arguments)


@pytest.mark.parametrize("argument", ["etc/demo", "etc/demo.dist"])
def test_merge(etc: Path, capsys: pytest.CaptureFixture[str], argument: str) -> None:
    """The file is merged, the old one is in .bak, and a second time there is nothing to do."""
    assert run(argument) == 0
    assert run(argument) == 0

    assert capsys.readouterr().out == "demo:\n  A: unchanged\n  B: new\n"
    assert (etc / "demo").read_text() == MERGED
    assert (etc / "demo.bak").read_text() == OLD
    assert sorted(os.listdir(etc)) == ["demo", "demo.bak", "demo.dist"]


def test_no_file_yet(etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is the template, with the template's mode; there is nothing to put into .bak."""
    (etc / "demo").unlink()
    (etc / "demo.dist").chmod(0o640)

    assert run("etc/demo") == 0

    assert capsys.readouterr().out == "demo:\n  A: new\n  B: new\n"
    assert (etc / "demo").read_text() == TEMPLATE
    assert stat.S_IMODE((etc / "demo").stat().st_mode) == 0o640
    assert sorted(os.listdir(etc)) == ["demo", "demo.dist"]


def test_dry_run(etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-n", "etc/demo") == 0

    assert capsys.readouterr().out == "demo:\n  A: unchanged\n  B: new\n"
    assert (etc / "demo").read_text() == OLD
    assert sorted(os.listdir(etc)) == ["demo", "demo.dist"]


def test_same_version_by_force(etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (etc / "demo").write_text(OLD.replace("VERSION: 1", "VERSION: 2"))

    assert run("etc/demo") == 0
    assert (capsys.readouterr().out, "A=9" in (etc / "demo").read_text()) == ("", False)
    assert run("-f", "etc/demo") == 0
    assert (etc / "demo").read_text() == MERGED


def test_failures_go_to_standard_output(etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As sysconftool says them; the other files are merged even so."""
    (etc / "nohdr.dist").write_text("#\n" * 20 + "##VERSION: 1\n")

    assert run("etc/none.dist", "etc/nohdr", "etc/demo") == 9

    assert capsys.readouterr().out == (
        "etc/none.dist: No such file or directory\n"
        "etc/nohdr.dist: configuration header not found.\n"
        "demo:\n  A: unchanged\n  B: new\n"
    )


@pytest.mark.parametrize(
    ("arguments", "status", "out", "err"),
    [
        (["-v"], 0, "0.22\n", ""),
        (["-v", "-r", "0.9"], 0, "0.22\n", ""),
        (["-r", "0.22"], 0, "", ""),
        (["-r", "0.22.1"], 1, "", "sysconftool 0.22.1: Version not supported.\n"),
        (["-r", "0.100"], 1, "", "sysconftool 0.100: Version not supported.\n"),
        (["-x"], 1, "", "sysconftool: option -x not recognized\n" + sysconftool._USAGE),
    ],
)
def test_options(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, out: str, err: str
) -> None:
    assert run(*arguments) == status

    assert capsys.readouterr() == (out, err)


# --- Replacing the file --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("live", "template", "expected"),
    [(0o644, 0o600, 0o600), (0o600, 0o644, 0o600), (0o640, 0o644, 0o640), (0o664, 0o644, 0o644)],
)
def test_mode(etc: Path, live: int, template: int, expected: int) -> None:
    """Never more than either the old file or the template allowed; .bak stays as it was."""
    (etc / "demo").chmod(live)
    (etc / "demo.dist").chmod(template)

    run("etc/demo")

    assert stat.S_IMODE((etc / "demo").stat().st_mode) == expected
    assert stat.S_IMODE((etc / "demo.bak").stat().st_mode) == live


@pytest.mark.root
def test_owner(etc: Path) -> None:
    """The old file's owner and group keep it; the template's get nothing by a merge."""
    if os.geteuid() != 0:
        pytest.skip("not root")
    os.chown(etc / "demo", 1234, 2345)
    os.chown(etc / "demo.dist", 3456, 4567)

    run("etc/demo")

    found = (etc / "demo").stat()
    assert (found.st_uid, found.st_gid) == (1234, 2345)


def test_extended_attributes(etc: Path) -> None:
    """They come along: an access control list or a label is one of them."""
    try:
        os.setxattr(etc / "demo", "user.label", b"secret")
    except OSError:
        pytest.skip("no extended attributes on this file system")

    run("etc/demo")

    assert os.getxattr(etc / "demo", "user.label") == b"secret"


def test_there_is_a_file_at_every_moment(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever call is made, the file is there before it, whole, old or new."""
    seen = []
    for name in ("link", "rename", "fsync", "fchmod", "open"):
        call = getattr(os, name)

        def watched(*arguments: Any, _call: Callable[..., Any] = call, **named: Any) -> Any:
            with open("etc/demo") as file:
                seen.append(file.read())
            return _call(*arguments, **named)

        monkeypatch.setattr(os, name, watched)

    run("etc/demo")

    assert len(seen) >= 6
    assert set(seen) == {OLD, MERGED}


@pytest.mark.parametrize("name", ["link", "rename", "fsync", "fchmod", "fchown"])
def test_failure_leaves_everything_as_it_was(
    etc: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """A full disk, at any call: the old file is in its place, and nothing is left beside it."""

    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device", str(arguments[0]))

    monkeypatch.setattr(os, name, fail)

    assert run("etc/demo") == 9

    assert capsys.readouterr().out.endswith(": No space left on device\n")
    assert (etc / "demo").read_text() == OLD
    assert set(os.listdir(etc)) <= {"demo", "demo.dist", "demo.bak.new"}


def test_leftovers_of_a_crash(etc: Path) -> None:
    """Files and links of that name are removed and never written through."""
    (etc / "victim").write_text("precious")
    (etc / "demo.new").symlink_to("victim")
    (etc / "demo.bak.new").write_text("half")
    os.link(etc / "demo", etc / "demo.bak")

    assert run("etc/demo") == 0

    assert (etc / "victim").read_text() == "precious"
    assert (etc / "demo.bak").read_text() == OLD
    assert sorted(os.listdir(etc)) == ["demo", "demo.bak", "demo.dist", "victim"]


def test_symbolic_link_is_followed(etc: Path) -> None:
    """What it leads to is replaced, the link stays."""
    (etc / "elsewhere").mkdir()
    (etc / "demo").rename(etc / "elsewhere/demo")
    (etc / "demo").symlink_to("elsewhere/demo")

    assert run("etc/demo") == 0

    assert (etc / "demo").is_symlink()
    assert (etc / "elsewhere/demo").read_text() == MERGED
    assert (etc / "elsewhere/demo.bak").read_text() == OLD


def test_symbolic_link_that_leads_nowhere(etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (etc / "demo").unlink()
    (etc / "demo").symlink_to("gone")

    assert run("etc/demo") == 9

    assert "No such file or directory" in capsys.readouterr().out
    assert sorted(os.listdir(etc)) == ["demo", "demo.dist"]


@pytest.mark.root
def test_symbolic_link_of_another_user(etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Root doesn't follow what somebody else has put there."""
    if os.geteuid() != 0:
        pytest.skip("not root")
    (etc / "demo").rename(etc / "real")
    (etc / "demo").symlink_to("real")
    os.chown(etc / "demo", 1234, 1234, follow_symlinks=False)

    assert run("etc/demo") == 9

    assert capsys.readouterr().out.endswith("Symbolic link of another user, not followed\n")
    assert (etc / "real").read_text() == OLD


def test_what_is_no_file(etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A named pipe doesn't stop it, and a directory is left alone."""
    (etc / "demo").unlink()
    os.mkfifo(etc / "demo")

    assert run("etc/demo") == 9

    assert capsys.readouterr().out == "etc/demo: No regular file\n"


def test_no_hard_links(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """.bak is a copy then."""

    def fail(*arguments: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", fail)

    assert run("etc/demo") == 0

    assert (etc / "demo.bak").read_text() == OLD


def test_replace_returns_nothing_to_a_group_it_cannot_give(
    etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may not change owners makes no file that his own group can read instead."""
    live = etc / "demo"
    live.chmod(0o640)
    before = list(live.stat())
    before[5] += 1  # st_gid
    monkeypatch.setattr(Path, "stat", lambda self, **named: os.stat_result(before))

    def fail(*arguments: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", fail)
    replace_file.replace(live, b"new", os.stat_result(before))
    monkeypatch.undo()

    assert stat.S_IMODE(os.stat(live).st_mode) == 0o600


def test_file_in_use_that_is_none(etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory of that name: said by its name, and left alone."""
    (etc / "demo").unlink()
    (etc / "demo").mkdir()

    assert sysconftool.main([str(etc / "demo")]) == 9
    assert capsys.readouterr().out == f"{etc}/demo: No regular file\n"
