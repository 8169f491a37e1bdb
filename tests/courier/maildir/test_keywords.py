"""courier.maildir.keywords: courierimapkeywords/, whatever state others leave it in."""

import errno
import os
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.maildir import keywords
from tests.conftest import NewDirectory, Start
from tests.courier.maildir.test_delivery import ERRORS, calls_of, failed, fresh_maildirs, killed
from tests.support import maildirs
from tests.support.servers import COURIER, Implementation

NOW = 1_795_212_000.0  # the first second of period 5984040
PERIOD = 5984040
MESSAGES = {b"a", b"b", b"c"}


def fill(maildir: Path, files: dict[str, bytes]) -> Path:
    """Make the keyword directory with these files, all of them as old as NOW."""
    directory = maildir / "courierimapkeywords"
    directory.mkdir(exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
        os.utime(directory / name, (NOW, NOW))
    return directory


def load(maildir: Path, write: bool = False, now: float = NOW) -> dict[bytes, tuple[str, ...]]:
    return keywords.load_and_merge(str(maildir), MESSAGES, write=write, now=now, sync=False)


def files_in(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def listed(maildir: Path) -> dict[bytes, tuple[str, ...]]:
    """What :list alone says, read in the simplest way."""
    head, messages = (maildir / "courierimapkeywords" / ":list").read_bytes().split(b"\n\n")
    words = head.decode(errors="surrogateescape").split("\n")
    return {
        base: tuple(sorted(words[int(number)] for number in numbers.split()))
        for base, numbers in (line.split(b":") for line in messages.splitlines())
    }


# --- Reading ------------------------------------------------------------------------------------


def test_no_directory(maildir: Path) -> None:
    assert load(maildir) == load(maildir, write=True) == {}
    assert keywords.stamp(str(maildir)) is None


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, {}),
        ({":list": b""}, {}),
        ({":list": b"\n"}, {}),
        ({":list": b"x\ny\n\na:0 1\nb:1\n"}, {b"a": ("x", "y"), b"b": ("y",)}),
        ({":list": b"x\n\na:0\nunknown:0\n"}, {b"a": ("x",)}),
        ({":list": b"x\n\na:0\n", "a": b"y\nx\n"}, {b"a": ("x", "y")}),
        ({":list": b"x\n\na:0\n", "a": b""}, {}),
        ({":list": b"x\n\na:0\n", ".9.a": b"y\n"}, {b"a": ("y",)}),
        ({".9.a": b"nine\n", ".10.a": b"ten\n"}, {b"a": ("ten",)}),
        ({".99999999.a": b"old\n", "a": b"new\n"}, {b"a": ("new",)}),
        ({"unknown": b"x\n", ".9.unknown": b"x\n"}, {}),
        ({"a": b"x\n\ny\n"}, {b"a": ("x", "y")}),
        ({"a": b"x"}, {b"a": ("x",)}),
        ({"a": b"x\nX\nx\n"}, {b"a": ("x",)}),
        ({":list": b"Kw\n\na:0\n", "b": b"kW\n"}, {b"a": ("Kw",), b"b": ("Kw",)}),
        ({"a": b'a b(c){d%e*f"g\\h]i\rj\0k\n'}, {b"a": ("a_b_c__d_e_f_g_h_i_j_k",)}),
        ({":list": b"\xc3\xa9\xff\n\na:0\n"}, {b"a": ("é\udcff",)}),
    ],
)
def test_what_is_in_effect(
    maildir: Path, files: dict[str, bytes], expected: dict[bytes, tuple[str, ...]]
) -> None:
    """The pending update, else the latest numbered one, else :list; before and after a merge."""
    before = files_in(fill(maildir, files))

    assert load(maildir) == expected
    assert files_in(maildir / "courierimapkeywords") == before
    assert load(maildir, write=True) == expected
    assert load(maildir) == expected
    if expected:
        assert listed(maildir) == expected


@pytest.mark.parametrize(
    "text",
    [
        b"x\ny",
        b"x\n\na",
        b"x\n\na:0",
        b"x\n\na:\n:0\n",
        b"x\n\na:1 7 -1 x 99999999999999999999\n",
        b"\n\n\n\n:::\n0\n",
        b"\0\n\n\0:\0\n",
    ],
)
def test_damaged_list(maildir: Path, text: bytes) -> None:
    """What means nothing is skipped, and a merge leaves a sound file."""
    fill(maildir, {":list": text, "b": b"z\n"})

    assert load(maildir, write=True) == {b"b": ("z",)}
    assert listed(maildir) == {b"b": ("z",)}


@pytest.mark.parametrize(
    "name", [".5x.a", ".05.a", ".0.a", "..a", "...", ".5.", ".-1.a", ":a", "::"]
)
def test_odd_names(maildir: Path, name: str) -> None:
    """They are no updates. (Real Courier spins for ever on some of them.)"""
    directory = fill(maildir, {name: b"x\n", ".tmp.1795212000x": b"x\n"})

    assert load(maildir, write=True) == {}
    assert set(files_in(directory)) == {name, ".tmp.1795212000x"}
    assert load(maildir, write=True, now=NOW + 901) == {}
    assert set(files_in(directory)) <= {":a", "::"}


def test_what_is_no_file(maildir: Path, tmp_path: Path) -> None:
    """Directories, FIFOs and links under a message's name say nothing, and stay."""
    (tmp_path / "secret").write_bytes(b"secret\n")
    directory = fill(maildir, {":list": b"x\n\na:0\nb:0\n"})
    (directory / "a").mkdir()
    os.mkfifo(directory / "b")
    (directory / "c").symlink_to(tmp_path / "secret")

    assert load(maildir, write=True, now=NOW + 10_000) == {b"a": ("x",), b"b": ("x",)}
    assert set(os.listdir(directory)) == {":list", "a", "b", "c"}


def test_update_renamed_while_reading(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that vanishes between listing and opening is looked for again."""
    directory = fill(maildir, {"a": b"x\n"})
    listdir = os.listdir

    def overtaken(path: int) -> list[str]:
        names = listdir(path)
        if "a" in names:
            os.rename(directory / "a", directory / f".{PERIOD}.a")
        return names

    monkeypatch.setattr(os, "listdir", overtaken)
    assert load(maildir) == {b"a": ("x",)}


def test_directory_that_never_rests(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is an end to looking again."""
    fill(maildir, {})
    monkeypatch.setattr(os, "listdir", lambda path: ["a"])

    with pytest.raises(OSError) as refusal:
        load(maildir)
    assert refusal.value.errno == errno.EAGAIN


# --- Merging ------------------------------------------------------------------------------------


def test_merge_of_pending_updates(maildir: Path) -> None:
    """They go into :list and are kept under the number of the next period."""
    directory = fill(maildir, {":list": b"x\n\na:0\nb:0\n", "a": b"y\n", "b": b""})

    load(maildir, write=True)

    assert files_in(directory) == {
        ":list": b"y\n\na:0\n",
        f".{PERIOD + 1}.a": b"y\n",
        f".{PERIOD + 1}.b": b"",
    }


def test_lone_numbered_update_is_merged(maildir: Path) -> None:
    """Newer Courier would use it once and lose it: first :list, then it may go."""
    directory = fill(maildir, {":list": b"x\n\na:0\n", ".7.a": b"y\n", f".{PERIOD}.b": b"z\n"})

    load(maildir, write=True)

    assert listed(maildir) == {b"a": ("y",), b"b": ("z",)}
    assert set(files_in(directory)) == {":list", f".{PERIOD}.b"}


def test_update_numbered_in_the_future(maildir: Path) -> None:
    """A clock that was ahead can't hide later changes."""
    directory = fill(maildir, {f".{PERIOD + 500}.a": b"old\n", "a": b"new\n"})

    assert load(maildir, write=True) == {b"a": ("new",)}
    assert files_in(directory) == {":list": b"new\n\na:0\n"}


def test_several_numbered_updates(maildir: Path) -> None:
    """The latest is in effect, and alone stays."""
    names = {f".{PERIOD - 1}.a": b"1\n", f".{PERIOD}.a": b"2\n", f".{PERIOD + 1}.a": b"3\n"}
    directory = fill(maildir, names)

    assert load(maildir, write=True) == {b"a": ("3",)}
    assert set(files_in(directory)) == {":list", f".{PERIOD + 1}.a"}


def test_unknown_messages(maildir: Path) -> None:
    """Their updates wait 15 minutes for a message that is landing; :list forgets them."""
    directory = fill(maildir, {":list": b"x\n\ngone:0\n", "landing": b"y\n", ".7.landing": b"z\n"})

    load(maildir, write=True, now=NOW + 899)
    assert set(files_in(directory)) == {"landing", ".7.landing"}
    load(maildir, write=True, now=NOW + 901)
    assert files_in(directory) == {}


def test_nothing_to_merge_writes_nothing(maildir: Path) -> None:
    directory = fill(maildir, {":list": b"x\n\na:0\n", f".{PERIOD + 1}.a": b"x\n"})
    before = keywords.stamp(str(maildir)), (directory / ":list").stat().st_ino

    load(maildir, write=True)

    assert (keywords.stamp(str(maildir)), (directory / ":list").stat().st_ino) == before


def test_update_replaced_while_it_is_merged(maildir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Courier's STORE takes no lock: what it puts in the place of a file we read is not lost."""
    directory = fill(maildir, {"a": b"x\n"})
    rename = os.rename
    replaced = []

    def overtaken(source: object, target: object, **options: int) -> None:
        if source == b"a" and not replaced:
            replaced.append(True)
            (maildir / "tmp" / "k").write_bytes(b"y\n")
            rename(maildir / "tmp" / "k", directory / "a")
        rename(source, target, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "rename", overtaken)
    assert load(maildir, write=True) == {b"a": ("y",)}
    assert replaced
    assert listed(maildir) == {b"a": ("y",)}


def test_name_too_long_to_be_numbered(maildir: Path) -> None:
    base = b"x" * 250
    directory = fill(maildir, {base.decode(): b"y\n"})

    for _ in range(2):
        loaded = keywords.load_and_merge(str(maildir), {base}, write=True, now=NOW, sync=False)
        assert loaded == {base: ("y",)}
    assert set(files_in(directory)) == {":list"}


UPDATES = {
    ":list": b"x\ny\n\na:0\nb:0 1\ngone:1\n",
    "a": b"z\n",
    ".7.b": b"old\n",
    f".{PERIOD}.b": b"new\n",
    "c": b"\n",
    ".7.c": b"x\n",
    ".tmp.1x": b"half",
}
MERGED = {b"a": ("z",), b"b": ("new",)}


@pytest.mark.slow
def test_merge_with_each_call_failing_or_killed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same keywords are in effect for us at every point, and the next merge completes it."""
    folders = fresh_maildirs(tmp_path)
    first = next(folders)
    fill(first, UPDATES)

    def merge(folder: Path) -> None:
        keywords.load_and_merge(str(folder), MESSAGES, write=True, now=NOW + 10_000)

    calls = calls_of(lambda: merge(first))
    assert {"rename", "unlink", "fsync", "write"} <= set(calls)
    for at in range(len(calls)):
        for error in (*ERRORS, 0):
            folder = next(folders)
            fill(folder, UPDATES)

            if error:
                failed(lambda folder=folder: merge(folder), at, error)
                assert os.listdir(folder / "tmp") == []
            else:
                killed(lambda folder=folder: merge(folder), at)

            assert load(folder) == MERGED
            merge(folder)
            assert load(folder) == listed(folder) == MERGED


def test_full_disk_does_not_hide_keywords(
    maildir: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The folder can be read; the failure is logged; nothing is lost."""
    before = files_in(fill(maildir, {":list": b"x\n\na:0\n", "a": b"y\n"}))

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        # The log has to be able to say so.
        write = os.write
        patch.setattr(os, "write", lambda fd, data: write(fd, data) if fd == 2 else full(fd, data))
        assert load(maildir, write=True) == {b"a": ("y",)}

    assert "No space left on device" in capfd.readouterr().err
    assert files_in(maildir / "courierimapkeywords") == before


# --- Publishing ---------------------------------------------------------------------------------


def test_publish(maildir: Path) -> None:
    """An update file appears, in a directory as accessible as the folder."""
    maildir.chmod(0o750)
    keywords.publish(str(maildir), b"a", ["x", "é"], sync=True)

    directory = maildir / "courierimapkeywords"
    assert files_in(directory) == {"a": "x\né\n".encode()}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o750
    assert os.listdir(maildir / "tmp") == []


def test_publish_over_a_pending_update(maildir: Path) -> None:
    """It is replaced, or raised so that the caller can take it into account."""
    directory = fill(maildir, {"a": b"theirs\n"})

    with pytest.raises(FileExistsError):
        keywords.publish(str(maildir), b"a", ["ours"], sync=False, replace=False)
    assert files_in(directory) == {"a": b"theirs\n"}
    assert os.listdir(maildir / "tmp") == []

    keywords.publish(str(maildir), b"a", ["ours"], sync=False)
    assert files_in(directory) == {"a": b"ours\n"}


@pytest.mark.parametrize("base", [b"", b".a", b":list", b"../a", b"a/b", b"a\n"])
def test_publish_for_no_message(maildir: Path, base: bytes) -> None:
    with pytest.raises(ValueError):
        keywords.publish(str(maildir), base, ["x"], sync=False)
    assert not (maildir / "courierimapkeywords").exists()


@pytest.mark.parametrize("word", ["", "a b", "a\nb", "a]", "{1}", "\0"])
def test_publish_of_no_keyword(maildir: Path, word: str) -> None:
    with pytest.raises(ValueError):
        keywords.publish(str(maildir), b"a", ["x", word], sync=False)
    assert not (maildir / "courierimapkeywords").exists()


@pytest.mark.slow
def test_publish_with_each_call_failing_or_killed(tmp_path: Path) -> None:
    """No set or the new one, whole; an error that is raised before the last sync changes nothing."""
    folders = fresh_maildirs(tmp_path)
    first = next(folders)

    def publish(folder: Path) -> None:
        keywords.publish(str(folder), b"a", ["new"], sync=True)

    calls = calls_of(lambda: publish(first))
    linked = calls.index("link")
    assert {"mkdir", "chmod", "fsync", "rename", "unlink"} <= set(calls)
    for at, call in enumerate(calls):
        for error in (*ERRORS, 0):
            folder = next(folders)
            expected = {b"a": ("new",)} if at > linked else {}

            if error:
                raised = failed(lambda folder=folder: publish(folder), at, error)
                assert (raised is None) == (call == "unlink")
                assert os.listdir(folder / "tmp") == []
            else:
                killed(lambda folder=folder: publish(folder), at)

            assert load(folder, write=True) == expected


@given(st.text(max_size=5))
def test_valid(keyword: str) -> None:
    """An atom of RFC 9051: none of the atom-specials, no control characters, ASCII, not empty."""
    specials = set('(){ %*"\\]')
    assert keywords.valid(keyword) == (
        keyword != "" and all(" " < c < "\x7f" and c not in specials for c in keyword)
    )


@given(
    st.dictionaries(
        st.sampled_from(sorted(MESSAGES)),
        st.lists(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1)),
    )
)
def test_what_is_written_is_read(new_directory: NewDirectory, sets: object) -> None:
    """Published, merged, read from :list alone: the same set, whichever keywords are in it."""
    assert isinstance(sets, dict)
    wanted = {
        base: {word for word in words if keywords.valid(word)} for base, words in sets.items()
    }
    maildir = next(fresh_maildirs(new_directory("keywords")))
    for base, words in wanted.items():
        keywords.publish(str(maildir), base, sorted(words), sync=False)

    load(maildir, write=True)
    for path in (maildir / "courierimapkeywords").glob(".*"):
        path.unlink()
    read = load(maildir)

    assert {base: _folded(words) for base, words in read.items()} == {
        base: _folded(words) for base, words in wanted.items() if words
    }


def _folded(words: Iterable[str]) -> set[str]:
    return {word.lower() for word in words}


# --- Beside Courier -----------------------------------------------------------------------------


def _bases(maildir: Path) -> list[bytes]:
    return [
        maildirs.deliver(maildir, b"Subject: x\n\nx\n", number=number, flags="").encode()
        for number in range(3)
    ]


@pytest.mark.courier
def test_keywords_of_courier_and_ours(maildir: Path, courier: Implementation, start: Start) -> None:
    """What Courier sets we read; what we publish, merged by us or not, Courier shows."""
    bases = _bases(maildir)
    client = start(courier).client
    client.command("SELECT INBOX")

    client.command("STORE 1 +FLAGS (theirs $Label1)")
    both = keywords.load_and_merge(str(maildir), set(bases), write=True, now=NOW)
    assert both == {bases[0]: ("$Label1", "theirs")}

    keywords.publish(str(maildir), bases[0], ["theirs", "ours"], sync=False)
    keywords.publish(str(maildir), bases[1], ["pending"], sync=False)
    assert _shown(client.fetch("1:3", "FLAGS")) == [{"theirs", "$Label1"}, set(), set()]
    client.command("NOOP")
    assert _shown(client.fetch("1:3", "FLAGS")) == [{"theirs", "ours"}, {"pending"}, set()]

    keywords.publish(str(maildir), bases[2], ["merged"], sync=False)
    keywords.load_and_merge(str(maildir), set(bases), write=True, now=NOW)
    client.command("STORE 2 FLAGS ()")
    client.command("NOOP")
    assert _shown(client.fetch("1:3", "FLAGS")) == [{"theirs", "ours"}, set(), {"merged"}]
    assert keywords.load_and_merge(str(maildir), set(bases), write=False, now=NOW) == {
        bases[0]: ("ours", "theirs"),
        bases[2]: ("merged",),
    }


@pytest.mark.courier
def test_keywords_of_an_appended_message(
    maildir: Path, courier: Implementation, start: Start
) -> None:
    client = start(courier).client
    client.append("INBOX", b"Subject: x\r\n\r\nx\r\n", "(\\Seen $Forwarded)")

    base = next(iter(maildirs.message_files(maildir))).encode()
    assert keywords.load_and_merge(str(maildir), {base}, write=True, now=NOW) == {
        base: ("$Forwarded",)
    }


@pytest.mark.courier
def test_maildirkw(maildir: Path, courier: Implementation) -> None:
    """Courier's tool lists what we wrote and adds to it."""
    bases = _bases(maildir)
    keywords.publish(str(maildir), bases[0], ["ours"], sync=False)
    keywords.load_and_merge(str(maildir), set(bases), write=True, now=NOW)

    def maildirkw(*arguments: str | bytes) -> bytes:
        return subprocess.run(
            [COURIER / "usr/bin/maildirkw", *arguments],
            env=courier.variables(),
            check=True,
            capture_output=True,
            timeout=30,
        ).stdout

    assert maildirkw("-L", "-l", str(maildir)) == bases[0] + b" ours\n"
    maildirkw("-l", "-a", str(maildir), bases[0], "theirs")
    assert keywords.load_and_merge(str(maildir), set(bases), write=True, now=NOW) == {
        bases[0]: ("ours", "theirs")
    }


def _shown(fetched: dict[int, dict[str, object]]) -> list[set[str]]:
    """The keywords in the FLAGS of each message."""
    shown = []
    for items in fetched.values():
        flags = items["FLAGS"]
        assert isinstance(flags, list)
        shown.append({flag.decode() for flag in flags if not flag.startswith(b"\\")})
    return shown
