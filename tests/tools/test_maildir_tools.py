"""maildirmake, deliverquota and maildirkw beside Debian's own: output, exit code, and what is on disk."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.support.servers import COURIER, OURS, REAL, Implementation

pytestmark = [pytest.mark.slow, pytest.mark.courier]

MESSAGE = b"Subject: x\n\nbody\n"
_UNIQUE = re.compile(r"\d+\.M\d+P\d+(?:V[0-9A-F]{16}I[0-9A-F]{16})?")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(params=["ours", "courier"])
def implementation(request: pytest.FixtureRequest) -> Implementation:
    if not (COURIER / "usr/bin/maildirmake.courier").exists():
        missing("Debian's courier-base, see `make tools`")
    return OURS if request.param == "ours" else REAL


def commands(implementation: Implementation, name: str) -> list[str]:
    if implementation.is_ours:
        return [sys.executable, "-m", f"tools.{name}"]
    suffix = "" if name == "maildirkw" else ".courier"
    return [str(COURIER / "usr/bin" / (name + suffix))]


def run(
    implementation: Implementation,
    place: Path,
    name: str,
    *arguments: str,
    stdin: bytes | Path = b"",
    environ: Mapping[str, str] | None = None,
) -> tuple[int, str, str]:
    """Run a tool in ``place``; give exit code, output and complaints without its file name."""
    given = stdin.open("rb") if isinstance(stdin, Path) else None
    try:
        done = subprocess.run(
            [*commands(implementation, name), *arguments],
            cwd=place,
            env={
                "PATH": "/usr/bin:/bin",
                "LANG": "C.UTF-8",
                "MAILDIR_TRASHQUOTA": "0",
                "TZ": "UTC",
                **implementation.environment,
                **(environ or {}),
            },
            **({"stdin": given} if given else {"input": stdin}),
            capture_output=True,
            timeout=60,
            check=False,
        )
    finally:
        if given:
            given.close()
    output, complaints = (
        re.sub(rf"(/\S+/)?{name}(\.courier)?", name, text.decode())
        for text in (done.stdout, done.stderr)
    )
    return done.returncode, output, complaints


def tree(top: Path) -> dict[str, tuple[str, bytes]]:
    """Give every file below ``top`` with its mode and content; unique names are made equal."""
    found = {}
    for path in sorted(top.rglob("*")):
        name = _UNIQUE.sub("UNIQUE", str(path.relative_to(top)))
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[name] = (stat.filemode(path.lstat().st_mode), content)
    return found


class Both:
    """The same commands run by both; what they leave must be the same."""

    def __init__(self, place: Path) -> None:
        self.places = {}
        for implementation in (OURS, REAL):
            self.places[implementation.name] = place / implementation.name / "w"
            self.places[implementation.name].mkdir(parents=True)

    def run(
        self, name: str, *arguments: str, stdin: bytes | Path = b"", trees: bool = True
    ) -> tuple[int, str, str]:
        """Run it twice; give what both said, which must be the same."""
        ours, theirs = (
            run(one, self.places[one.name], name, *arguments, stdin=stdin) for one in (OURS, REAL)
        )
        assert ours == theirs, arguments
        if trees:
            left = [tree(self.places[one.name]) for one in (OURS, REAL)]
            assert left[0] == left[1], arguments
        return ours

    def each(self, change: Callable[[Path], object]) -> None:
        for place in self.places.values():
            change(place)


@pytest.fixture
def both(tmp_path: Path) -> Both:
    if not (COURIER / "usr/bin/maildirmake.courier").exists():
        missing("Debian's courier-base, see `make tools`")
    return Both(tmp_path)


def test_maildirmake(both: Both) -> None:
    """Maildirs and folders; what is there already, and what is none."""
    for arguments in (
        [], ["--help"], ["-x", "A"], ["A"], ["A"], ["no/such/B"], ["-f"],
        ["-f", "x", "A"], ["-fy", "A"], ["-f", ".z", "A"], ["-f", "x", "A"], ["-f", "", "A"],
        ["-f", "q", "NONE"], ["-f", "INBOX", "A"], ["--", "C"], ["-f", "é", "A"],
        ["-F", "Ré.x:y/z~\\", "A"], ["-F", "a\tb", "A"], ["-f", "..", "A"],
        ["-S", "S"], ["-S", "-f", "pub", "S"], ["-s", "read", "S"],
        ["-S", "-s", "write", "-f", "d", "S"], ["B", "C"],
    ):  # fmt: skip
        both.run("maildirmake", *arguments)


def test_shared_folders(both: Both) -> None:
    """Who may read and write: the first letters of the words, whatever the umask."""
    both.run("maildirmake", "-S", "S")
    words = ("read", "write", "group", "read,group", "write,group", "write group", "group,write")
    for number, word in enumerate((*words, "foo", "", "r", "wr", "read, write")):
        both.run("maildirmake", "-s", word, "-f", f"n{number}", "S")


def test_quota(both: Both) -> None:
    """-q makes what is missing, counts what is there, and changes nothing for no limit."""
    both.run("maildirmake", "-q", "1000S,10C", "A")
    both.each(lambda place: (place / "A/cur/1.a,S=30:2,S").write_bytes(b"x"))
    for arguments in (
        ["-q", "10C,500S", "A"], ["-q", "0S", "A"], ["-q", "foo", "A"], ["-q10S", "A"],
        ["-f", "Y", "A"], ["-q", "7000S", "A/.Y"], ["-q", "10S", "no/such"], ["-q", "10S"],
    ):  # fmt: skip
        both.run("maildirmake", *arguments)


def test_sharable_maildirs(both: Both) -> None:
    """Lines of shared-maildirs, by their first word."""
    both.run("maildirmake", "A")
    text = b"# comment\nfoo   /bar # more\n\nbad\n"
    both.each(lambda place: (place / "A/shared-maildirs").write_bytes(text))
    for arguments in (
        ["--add", "pub=/tmp", "A"], ["--add", "pub=/usr", "A"], ["--add", "foo=/tmp", "A"],
        ["--add", "pub2", "A"], ["--add", "a.b=/tmp", "A"], ["--add", "a/b=/tmp", "A"],
        ["--add", "rel=tmp", "A"], ["--add", "no=/nonexistent", "A"], ["--add", "x=/tmp", "NONE"],
        ["--add", "x=", "A"], ["--add", "x=/tmp"], ["--add"], ["--del"],
        ["--del", "q", "A"], ["--del", "foo", "A"], ["--del", "foo", "A"], ["--del", "q", "NONE"],
        ["--add", "two=/usr", "A"],
    ):  # fmt: skip
        both.run("maildirmake", *arguments)
    both.each(lambda place: (place / "A/shared-maildirs").chmod(0o644))
    assert (both.places["ours"] / "A/shared-maildirs").read_bytes() == (
        b"# comment\n\nbad\npub\t/tmp\ntwo\t/usr\n"
    )


def old_maildir(place: Path) -> None:
    """A maildir that a Courier before 5.0 has left."""
    run(OURS, place, "maildirmake", "M")
    for name in ("R&AOk-sum&AOk-", "plain", "T&AOk-.sub", "a&-b"):
        run(OURS, place, "maildirmake", "-f", name, "M")
    (place / "M/courierimapsubscribed").write_text(
        "INBOX.R&AOk-sum&AOk-\nINBOX.plain\n#shared.b&AOk-.x\n"
    )


def test_conversion(both: Both) -> None:
    """The same names, in the same words; but Courier's list is in the order of the directory."""
    both.each(old_maildir)
    for option in ("--checkutf8", "--convutf8"):
        said = [run(one, both.places[one.name], "maildirmake", option, "M") for one in (OURS, REAL)]
        assert [one[0] for one in said] == [0, 0]
        assert sorted(said[0][1].splitlines()) == sorted(said[1][1].splitlines())
        assert "Rename INBOX.T&AOk-.sub to INBOX.Té.sub" in said[0][1]
    both.each(lambda place: (place / "M/pycourier-utf8").unlink(missing_ok=True))
    left = [tree(both.places[one.name]) for one in (OURS, REAL)]
    assert left[0] == left[1]


def test_conversion_of_what_is_no_name(both: Both) -> None:
    """Nothing is converted."""
    both.each(old_maildir)
    both.each(lambda place: run(OURS, place, "maildirmake", "-f", "x&bad", "M"))
    for option in ("--checkutf8", "--convutf8"):
        for one in (OURS, REAL):
            status, _, complaint = run(one, both.places[one.name], "maildirmake", option, "M")
            assert status == 1
            assert complaint == ("Error: INBOX.x&bad: does not appear to be valid modified-UTF7\n")
    assert (both.places["ours"] / "M/.R&AOk-sum&AOk-").is_dir()


def test_conversion_is_repeatable(tmp_path: Path) -> None:
    """Courier's second run spoils what its first has made; ours does nothing."""
    old_maildir(tmp_path)
    run(OURS, tmp_path, "maildirmake", "-f", "a&-AOk-b", "M")
    assert run(OURS, tmp_path, "maildirmake", "--convutf8", "M")[0] == 0
    before = tree(tmp_path)
    assert {".Résumé", ".a&AOk-b", ".a&b", ".Té.sub"} < {Path(name).name for name in before}

    assert run(OURS, tmp_path, "maildirmake", "--convutf8", "M") == (0, "Checking M:\n", "")

    assert tree(tmp_path) == before


def test_deliverquota(both: Both, tmp_path: Path) -> None:
    """A file's size is known before, a pipe's afterwards; the exit code says which."""
    message = tmp_path / "message"
    message.write_bytes(MESSAGE)
    both.run("deliverquota")
    both.run("deliverquota", "A", stdin=message)
    both.run("maildirmake", "A")
    both.run("maildirmake", "-f", "sub", "A")
    for arguments in (
        ["A"], ["-c", "a/b/C"], ["-c", "A"], ["-x", "A"], ["A", "1000S,10C"], ["A", "1000S,10C"],
        ["A", "85S"], ["A", "foo"], ["A", ""], ["A", "1000S", "extra"], ["-w", "A"], ["-w", "10"],
        ["-w10", "A"], ["-w", "200", "A"], ["-w", "-5", "A"], ["A/.sub"], ["A/.sub", "7777S"],
        ["-w"], ["-W"], ["-"],
    ):  # fmt: skip
        both.run("deliverquota", *arguments, stdin=message)
    both.run("deliverquota", "A", "5S", stdin=b"from a pipe")
    assert both.run("deliverquota", "A", stdin=b"from a pipe")[0] == 75
    assert both.run("deliverquota", "A", stdin=message)[0] == 77
    both.each(lambda place: (place / "A/maildirsize").unlink())
    both.run("deliverquota", "A", stdin=b"from a pipe")


def test_quota_warning(both: Both, tmp_path: Path) -> None:
    """Once a day from this percentage on, in the account's INBOX, if there is a text."""
    message = tmp_path / "message"
    message.write_bytes(MESSAGE)
    both.run("maildirmake", "-q", "1000S", "A")
    both.run("maildirmake", "-f", "sub", "A")
    for _ in range(4):  # Courier does not look at the message that is just being delivered
        both.run("deliverquota", "A", stdin=message)
    both.each(lambda place: (place / "text").write_text("Subject: full\n\nNearly.\n"))

    def warnings() -> list[list[bytes]]:
        found = [
            sorted(path.read_bytes() for path in place.glob("A/new/*_warn*"))
            for place in both.places.values()
        ]
        for texts in found:
            for text in texts:
                assert re.fullmatch(
                    rb"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]0000\n"
                    rb"Message-Id: <\d+\.overquota@[^>]+>\nSubject: full\n\nNearly\.\n",
                    text,
                )
        return found

    for arguments, expected in (
        (["-w", "50", "-W", "text", "A"], 0),
        (["-w", "5", "-W", "nothing", "A"], 0),
        (["-w", "5", "-W", "text", "A/.sub"], 1),
        (["-w", "5", "-W", "text", "A"], 1),
    ):
        both.run("deliverquota", *arguments, stdin=message, trees=False)
        assert [len(texts) for texts in warnings()] == [expected] * 2, arguments
    both.each(lambda place: os.utime(place / "A/quotawarn", (0, 0)))
    both.run("deliverquota", "-w", "5", "-W", "text", "A", stdin=message, trees=False)
    assert [len(texts) for texts in warnings()] == [2, 2]
    totals = [
        sum(
            int(line.split()[1]) for line in (place / "A/maildirsize").read_bytes().splitlines()[1:]
        )
        for place in both.places.values()
    ]
    assert totals == [11, 11]


def test_maildirkw(both: Both) -> None:
    """Sets, additions and removals; what a listing says of them."""
    both.run("maildirmake", "K")
    both.each(lambda place: (place / "K/cur/1.a:2,S").touch())

    def listing() -> list[str]:
        said = [run(one, both.places[one.name], "maildirkw", "-L", "K")[1] for one in (OURS, REAL)]
        lines = [
            sorted(" ".join(sorted(line.split())) for line in one.splitlines()) for one in said
        ]
        assert lines[0] == lines[1]
        return lines[0]

    for arguments in (
        [], ["-h"], ["-x", "K"], ["K"], ["-a", "K"], ["-L"], ["-c"], ["NONE", "1.a", "x"],
        ["-L", "NONE"],
    ):  # fmt: skip
        both.run("maildirkw", *arguments)
    for arguments, expected in (
        (["K", "1.a:2,S", "kw1", "kw2"], ["1.a kw1 kw2"]),
        (["-a", "K", "1.a", "kw3"], ["1.a kw1 kw2 kw3"]),
        (["-r", "K", "1.a:2,S", "KW1"], ["1.a kw2 kw3"]),
        (["K", "2.b", "foo"], ["1.a kw2 kw3", "2.b foo"]),
        (["K", "1.a"], ["1.a", "2.b foo"]),
        (["-a", "K", "1.a"], ["1.a", "2.b foo"]),
    ):  # fmt: skip
        both.run("maildirkw", *arguments, trees=False)
        assert listing() == expected, arguments


@pytest.mark.parametrize("word", ["bad word", "", "a{b", "a\\b"])
def test_maildirkw_of_what_is_no_keyword(tmp_path: Path, word: str) -> None:
    """Courier writes it, and reads something else."""
    run(OURS, tmp_path, "maildirmake", "K")

    status, _, complaint = run(OURS, tmp_path, "maildirkw", "K", "1.a", word)

    assert (status, complaint) == (1, f"K: no keyword: {word}\n")
    assert not (tmp_path / "K/courierimapkeywords").exists()


@pytest.mark.parametrize("name", ["../x", "a/b", ".x", ":list"])
def test_maildirkw_of_what_is_no_message(tmp_path: Path, name: str) -> None:
    """Courier writes where the name leads."""
    run(OURS, tmp_path, "maildirmake", "K")

    assert run(OURS, tmp_path, "maildirkw", "K", name, "word")[0] == 1

    assert sorted(os.listdir(tmp_path / "K")) == ["cur", "new", "tmp"]


@pytest.mark.parametrize("name", ["a..b", "i.", "a/b", "/x", "\U0001f600"])
def test_names_that_no_folder_should_have(tmp_path: Path, name: str) -> None:
    """Courier makes folders that IMAP can't reach, or that its own LIST dies of."""
    run(OURS, tmp_path, "maildirmake", "A")

    said = run(OURS, tmp_path, "maildirmake", "-f", name, "A")

    assert said == (1, f"Invalid folder name: {name}\n", "")
    assert sorted(os.listdir(tmp_path / "A")) == ["cur", "new", "tmp"]
