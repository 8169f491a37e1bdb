"""maildiracl, sharedindexinstall and sharedindexsplit, and Courier's own beside them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.support.maildirs import make_folder, make_maildir
from tests.support.servers import COURIER, OURS, REAL

BESIDE = ["ours", pytest.param("courier", marks=pytest.mark.courier)]


def ours(name: str, *arguments: str, stdin: bytes = b"", **environ: str) -> Result:
    command = [sys.executable, "-m", f"tools.{name}", *arguments]
    return _run(command, stdin, {**OURS.variables(), **environ})


def real(name: str, *arguments: str, stdin: bytes = b"") -> Result:
    path = next(
        (p for p in (COURIER / "usr/bin" / name, COURIER / "usr/sbin" / name) if p.exists()), None
    )
    if path is None:
        missing("Debian's courier-base, see `make tools`")
    return _run([str(path), *arguments], stdin, REAL.variables())


Result = tuple[int, list[str]]


def _run(command: list[str], stdin: bytes, environ: Mapping[str, str]) -> Result:
    done = subprocess.run(
        command,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environ),
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.decode().splitlines()


@pytest.fixture(params=BESIDE)
def tool(request: pytest.FixtureRequest) -> Callable[..., Result]:
    return ours if request.param == "ours" else real


@pytest.mark.slow
def test_maildiracl(tool: Callable[..., Result], tmp_path: Path) -> None:
    """A session with all of its options, line by line."""
    maildir = str(make_maildir(tmp_path / "M"))
    make_folder(Path(maildir), "INBOX.a")
    owners = ["owner\taceilrstwx", "administrators\taceilrstwx"]

    def acl(option: str, *arguments: str) -> Result:
        return tool("maildiracl", option, maildir, *arguments)

    assert acl("-list", "INBOX") == (0, owners)
    assert acl("-list", "INBOX.a") == (0, owners)
    assert acl("-set", "INBOX.a", "user=joe", "lrs") == (0, [])
    assert acl("-set", "INBOX.a", "user=joe", "+w") == (0, [])
    assert acl("-set", "INBOX.a", "user=joe", "-l") == (0, [])
    assert acl("-set", "INBOX.a", "anyone", "lr") == (0, [])
    assert acl("-list", "INBOX.a", "more") == (0, [*owners, "user=joe\trsw", "anyone\tlr"])
    assert acl("-compute", "INBOX.a", "user=joe") == (0, ["lrsw"])
    assert acl("-compute", "INBOX.a", "user=x", "anyone") == (0, ["lr"])
    assert acl("-set", "INBOX.a", "anyone", "") == (0, [])
    assert acl("-compute", "INBOX.a", "user=nobody") == (0, [""])
    assert acl("-compute", "INBOX.a", "owner") == (0, ["aceilrstwx"])
    assert acl("-set", "INBOX.a", "-user=joe", "r") == (0, [])
    assert acl("-compute", "INBOX.a", "user=joe") == (0, ["sw"])
    assert acl("-set", "INBOX.a", "user=k", "dkz") == (0, [])
    assert acl("-delete", "INBOX.a", "-user=joe") == (0, [])
    assert acl("-delete", "INBOX.a", "user=nobody") == (0, [])
    assert (Path(maildir) / ".a/courierimapacl").read_text() == (
        "owner aceilrstwx\nadministrators aceilrstwx\nuser=joe rsw\nanyone \nuser=k dkz\n"
    )
    assert acl("-reset") == (0, [])
    assert acl("-list", "inbox") == (1, ["inbox: Invalid argument"])
    assert acl("-list", "INBOX..a") == (1, [f"{maildir}: Invalid argument"])
    assert acl("-list", "INBOX.a.") == (1, [f"{maildir}: Invalid argument"])
    refusal = "Trying to set invalid access rights for owner"
    assert acl("-set", "INBOX.a", "owner", "r") == (1, [refusal])
    assert acl("-delete", "INBOX.a", "owner") == (1, [refusal])
    assert acl("-set", "INBOX.a", "administrators", "r") == (1, [f"{maildir}: Invalid argument"])
    code, lines = acl("-set", "INBOX.a", "x y", "r")
    assert code == 1
    assert lines[0].endswith(": Invalid argument")
    assert tool("maildiracl", "-list", f"{maildir}/none", "INBOX") == (0, owners)
    assert tool("maildiracl", "-list", f"{maildir}/none", "INBOX.a") == (
        1,
        [f"{maildir}/none: No such file or directory"],
    )
    assert (Path(maildir) / ".a/courierimapacl").read_text().count("\n") == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["-list"],
        ["-list", "M"],
        ["-set", "M", "INBOX", "user=x"],
        ["-delete", "M", "INBOX"],
        ["-compute", "M", "INBOX"],
        ["-foo", "M", "INBOX"],
        ["-reset"],
    ],
)
def test_maildiracl_usage(tool: Callable[..., Result], arguments: list[str]) -> None:
    code, lines = tool("maildiracl", *arguments)

    assert code == 1
    assert lines[0] == "Usage: maildiracl [ options ] maildir [INBOX[.folder] [identifier rights]]"


LIST = (
    "alice\t1\t1\t/h/a\t./M\tsharedgroup=x,group=y\nbob\t1\t1\t/h/b\nal\t1\t1\n# c\n"
    "éric\t1\t1\t/h/e\tM\tgroup=z\tmore\nx # y\t1\t1\t/q\nz\t1\t1\t/h/z\t\tgroup=a,sharedgroup=x\n"
).encode()


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["1"], ["3"], ["0"], ["foo"]])
def test_sharedindexsplit(
    tool: Callable[..., Result], tmp_path: Path, arguments: list[str]
) -> None:
    """The files of each way to split, as Courier's script makes them."""
    (tmp_path / "indexx").write_text("before\n")

    assert tool("sharedindexsplit", str(tmp_path), *arguments, stdin=LIST) == (0, [])

    made = {p.name: sorted(p.read_text().splitlines()) for p in tmp_path.iterdir()}
    alice, bob = "alice\t1\t1\t/h/a\t./M", "bob\t1\t1\t/h/b"
    eric, zoe = "éric\t1\t1\t/h/e\tM\tmore", "z\t1\t1\t/h/z\t"
    if arguments == ["1"]:
        assert made == {
            "indexx": ["before"],
            "index": ["a\t*\tindexa", "b\t*\tindexb", "z\t*\tindexz", "é\t*\tindexé"],
            "indexa": [alice],
            "indexb": [bob],
            "indexé": [eric],
            "indexz": [zoe],
        }
    elif arguments == ["3"]:
        assert made["index"] == ["a\t*\tindexa", "b\t*\tindexb", "z\t*\tindexz", "é\t*\tindexé"]
        assert made["indexz"] == ["z_\t*\tindexz_"]
        assert made["indexz_"] == ["z__\t*\tindexz__"]
        assert made["indexz__"] == [zoe]
        assert made["indexali"] == [alice]
        assert len(made) == 14
    else:
        assert made == {"index": [bob, eric], "indexx": [alice, "before", zoe]}


@pytest.mark.slow
def test_sharedindexsplit_usage(tool: Callable[..., Result], tmp_path: Path) -> None:
    for arguments in ([], [str(tmp_path / "none")]):
        code, lines = tool("sharedindexsplit", *arguments)
        assert code == 2
        assert lines[0].endswith("sharedindexsplit outputdir [ letters ]")
        assert lines[0].startswith("Usage: ")


def test_sharedindexsplit_goes_nowhere_else(tmp_path: Path) -> None:
    """A group is a part of a file's name, and no path."""
    (tmp_path / "out").mkdir()
    line = b"x\t1\t1\t/h\t\tsharedgroup=/../../up\n"

    code, lines = ours("sharedindexsplit", str(tmp_path / "out"), stdin=line)

    assert (code, len(lines)) == (1, 1)
    assert list(tmp_path.rglob("*")) == [tmp_path / "out"]


def test_sharedindexinstall(tmp_path: Path) -> None:
    """New files take the places of old ones, what no new one replaces goes."""
    place = {"PYCOURIER_SYSCONFDIR": str(tmp_path)}
    new, old = tmp_path / "shared.tmp", tmp_path / "shared"

    code, lines = ours("sharedindexinstall", **place)
    assert (code, lines[-1]) == (1, f"{new} is empty!")
    new.mkdir()
    assert ours("sharedindexinstall", **place) == (1, [f"{new} is empty!"])
    (new / "index").write_text("new\n")
    (new / "indexa").write_text("a\n")
    assert ours("sharedindexinstall", **place) == (1, [f"{old} does not exist!"])
    old.mkdir()
    (old / "index").write_text("old\n")
    (old / "indexz").write_text("z\n")

    assert ours("sharedindexinstall", **place) == (0, [])

    assert {p.name: p.read_text() for p in old.iterdir()} == {"index": "new\n", "indexa": "a\n"}
    assert os.listdir(new) == []


@pytest.mark.slow
@pytest.mark.courier
@pytest.mark.root
def test_sharedindexinstall_as_courier_does_it(tmp_path: Path) -> None:
    """The same directories, with its script."""
    if not (COURIER / "usr/sbin/sharedindexinstall").exists():
        missing("Debian's courier-base, see `make tools`")
    script = (COURIER / "usr/sbin/sharedindexinstall").read_text()
    (tmp_path / "install").write_text(script.replace("/etc/courier", str(tmp_path)))
    for name in ("shared", "shared.tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "shared" / "indexz").touch()
    assert _run(["sh", str(tmp_path / "install")], b"", os.environ) == (
        1,
        [f"{tmp_path}/shared.tmp is empty!"],
    )
    (tmp_path / "shared.tmp" / "index").touch()

    assert _run(["sh", str(tmp_path / "install")], b"", os.environ) == (0, [])

    assert os.listdir(tmp_path / "shared") == ["index"]
