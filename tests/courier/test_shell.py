"""The reader of shell-style settings files, held against /bin/sh."""

import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from courier import shell, shell_process
from courier.shell import Assignment, Origin, ShellError

Write = Callable[..., Path]
SHELLS = [name for name in ("dash", "bash", "busybox") if shutil.which(name)]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str | bytes, name: str = "imapd") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return written


@pytest.fixture
def no_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if /bin/sh is asked."""

    def asked(*arguments: object) -> list[dict[str, str]]:
        raise AssertionError("/bin/sh was asked")

    monkeypatch.setattr(shell_process, "environments", asked)


def values(files: Iterable[Path], **preset: str) -> dict[str, str]:
    return {name: found.value for name, found in shell.read(list(files), preset).items()}


# --- Read here, without a shell -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("\n  \n\t\n", {}),
        ("# A=1\n #B=2\n", {}),
        ("A=1", {"A": "1"}),
        ("A=", {"A": ""}),
        ("  A=1\n", {"A": "1"}),
        ("A=1\nA=2\n", {"A": "2"}),
        ("A=1 # comment\n", {"A": "1"}),
        ("A=1#no\n", {"A": "1#no"}),
        ("A=#no\n", {"A": "#no"}),
        ("A=1 B=2\tC=$A$B\n", {"A": "1", "B": "2", "C": "12"}),
        ("A='a  $B \"#'\n", {"A": 'a  $B "#'}),
        ("A=\"a  '#' b\"\n", {"A": "a  '#' b"}),
        ('A="\\$x \\` \\" \\\\ \\n \\\' "\n', {"A": "$x ` \" \\ \\n \\' "}),
        ("A=\\$x\\ y\\\\\\'\\#\n", {"A": "$x y\\'#"}),
        ("A=a\\\nb\nB=\"c\\\nd\"\nC='e\\\nf'\n", {"A": "ab", "B": "cd", "C": "e\\\nf"}),
        ('A="one\ntwo"\n', {"A": "one\ntwo"}),
        ("A=a'b c'\"d e\"f\n", {"A": "ab cd ef"}),
        ("A=x\nB=$A-${A}y$A_$Ay\n", {"A": "x", "B": "x-xy"}),
        ("B='$A'\n", {"B": "$A"}),
        ('A=a$\nB="b$"\nC=$ \n', {"A": "a$", "B": "b$", "C": "$"}),
        ("A='$B'\nC=$A\n", {"A": "$B", "C": "$B"}),
        ("A=a=b\n", {"A": "a=b"}),
        ("A=*.?[x]{a,b}!\n", {"A": "*.?[x]{a,b}!"}),
        ("_a9=1\n", {"_a9": "1"}),
        ("A=${prefix}/bin\n", {"A": "/usr/bin"}),
        ("prefix=/opt\nA=$prefix/bin\n", {"prefix": "/opt", "A": "/opt/bin"}),
        ("A=caf\u00e9\u8a9e\n", {"A": "caf\u00e9\u8a9e"}),
        ("A=1 \\\nB=2\n\\\n#C=3\n", {"A": "1", "B": "2"}),
    ],
)
def test_assignments(no_shell: None, write: Write, text: str, expected: dict[str, str]) -> None:
    """Quotes, escapes, expansions and comments are read as the grammar has them."""
    assert values([write(text)], prefix="/usr") == expected


@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize(
    "text",
    [
        "A='a  $B \"#'\nB=\"\\$x \\` \\\" \\\\ \\n \\' \"\nC=\\$x\\ y\\\\\\'\\#\n",
        "A=a\\\nb\nB=\"c\\\nd\"\nC='e\\\nf'\n",
        'A=x B=$A-${A}y$A_$Ay C=a$ D="b$" E=$ F=*\n',
        "A=1 \\\nB=2\n\\\n#C=3\n",
        "A=1#no B=#no C=a=b D= E=1 # comment\n",
    ],
)
def test_all_shells_agree(no_shell: None, write: Write, name: str, text: str) -> None:
    """What is read here means the same to every shell that may be /bin/sh."""
    path = write(text)

    assert values([path]) == sourced(path, name)


def test_undecodable_octets_survive(no_shell: None, write: Write) -> None:
    """A file in ISO 8859-1 is read; its octets come back by surrogateescape."""
    assert values([write(b"A=caf\xe9\n")]) == {"A": "caf\udce9"}


def test_origins(no_shell: None, write: Write) -> None:
    """Each value knows the file and line of the assignment that won, first line of a long one."""
    first = write('A=1\n\nB="x\ny"\nC=3\n', "imapd-ssl")
    second = write("# comment\nA=2 D=$B\n", "imapd")

    assert shell.read([first, second]) == {
        "A": Assignment("2", Origin(str(second), 2)),
        "B": Assignment("x\ny", Origin(str(first), 3)),
        "C": Assignment("3", Origin(str(first), 5)),
        "D": Assignment("x\ny", Origin(str(second), 2)),
    }


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("A=1\nB='x\ny\n", 2, "unterminated ' quote"),
        ('A=1\n\nB=x"y\n', 3, 'unterminated " quote'),
        ("A=1\r\nB=2\r\n", 1, "the line ends in CR LF; write the file with LF alone"),
        ("A=1\nB=\0\n", 2, "a NUL byte; this is no text file"),
        ("A=1\nif true; then\nB=2\n", 4, None),
        ("A=1\n\nB=$(echo x\n", 4, None),
        ("A=1\nB=2; )\n", 2, None),
    ],
)
def test_syntax_error_names_file_and_line(
    write: Write, text: str, line: int, reason: str | None
) -> None:
    """Whether found here or by /bin/sh, whose words differ from one system to the next."""
    path = write(text)

    with pytest.raises(ShellError) as caught:
        shell.read([path])

    assert caught.value.origin == Origin(str(path), line)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert reason in (None, caught.value.reason)


@pytest.mark.skipif("bash" not in SHELLS, reason="no bash")
@pytest.mark.parametrize(("text", "line"), [("A=1\nif true; then\nB=2\n", 4), ("A=1\nB=2; )\n", 2)])
def test_syntax_error_where_sh_is_bash(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: int
) -> None:
    """bash, which is /bin/sh on Fedora, words its message differently."""
    sh = tmp_path / "sh"
    sh.symlink_to(str(shutil.which("bash")))
    monkeypatch.setattr(shell_process, "SHELL", str(sh))
    path = write(text)

    with pytest.raises(ShellError) as caught:
        shell.read([path])

    assert caught.value.origin == Origin(str(path), line)


def test_missing_file(tmp_path: Path) -> None:
    """The system's own error, with the file's name."""
    with pytest.raises(FileNotFoundError, match="imapd"):
        shell.read([tmp_path / "imapd"])


# --- Evaluated by /bin/sh -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=$(echo hello)\n", {"A": "hello"}),
        ("A=`echo hello`\n", {"A": "hello"}),
        ("A=1; B=2\n", {"A": "1", "B": "2"}),
        ("export A=1\n", {"A": "1"}),
        ("A=${B:-default}\n", {"A": "default"}),
        ("A=1\nif [ $A = 1 ]; then B=yes; else B=no; fi\n", {"A": "1", "B": "yes"}),
        ("f() { A=$1; }\nf one\n", {"A": "one"}),
        ("A=$((6 * 7))\n", {"A": "42"}),
        ("A=1\nunset A\nB=2\n", {"B": "2"}),
        ("A='x\ny'; B=\n", {"A": "x\ny", "B": ""}),
        ("A=${prefix}/bin; B=$HOME$AUTH\n", {"A": "/usr/bin", "B": ""}),
        ("A=~nobody-such\n", {"A": "~nobody-such"}),
        ("A=caf\u00e9; true\n", {"A": "caf\u00e9"}),
    ],
)
def test_script(write: Write, text: str, expected: dict[str, str]) -> None:
    """What a shell can do to its variables is done, in an empty environment."""
    assert values([write(text)], prefix="/usr") == expected


def test_script_sources_another_file(write: Write) -> None:
    """`.` works, and a value from there is known by the file that sourced it."""
    local = write("A=local\n", "local")
    path = write(f". {local}\n")

    assert shell.read([path]) == {"A": Assignment("local", Origin(str(path)))}


def test_scripts_share_one_shell(write: Write) -> None:
    """Variables and functions of one file are there in the next, as in Courier's start scripts."""
    first = write('f() { echo "<$1>"; }\nA=1\nB=1\n', "imapd-ssl")
    second = write("\nB=$(f $A)\nC=$B\n", "imapd")

    assert shell.read([first, second]) == {
        "A": Assignment("1", Origin(str(first), 2)),
        "B": Assignment("<1>", Origin(str(second), 2)),
        "C": Assignment("<1>", Origin(str(second), 3)),
    }


def test_script_that_repeats_a_value(write: Write) -> None:
    """The later of two equal assignments is the origin."""
    first = write("A=1; B=2\n", "imapd-ssl")
    second = write("A=1\n", "imapd")

    assert shell.read([first, second])["A"].origin == Origin(str(second), 1)


def test_script_that_prints_is_logged(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    """Output and a failing command don't spoil the values and reach the log."""
    path = write("echo hello\nno-such-command\nA=1\n")

    assert values([path]) == {"A": "1"}
    logged = capfd.readouterr().err.splitlines()
    assert logged[0] == "WARN: hello"
    assert "no-such-command" in logged[1]


def test_script_that_exits(write: Write) -> None:
    """`exit` would end Courier's start script as well: no half of the settings is used."""
    path = write("A=1\nexit 0\n")

    with pytest.raises(ShellError, match="the shell ended before the end of the file"):
        shell.read([path])


def test_script_that_hangs(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed with its children when its time is up."""
    monkeypatch.setattr(shell_process, "TIMEOUT_S", 0.1)
    path = write("A=1\nsleep 1000 &\nsleep 1000\n")

    with pytest.raises(ShellError, match="not evaluated within"):
        shell.read([path])


def test_script_does_not_see_our_environment(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same file means the same whoever reads it."""
    monkeypatch.setenv("INHERITED", "x")

    assert values([write("A=[$INHERITED]; true\n")]) == {"A": "[]"}
    assert values([write("A=[$INHERITED]\n")]) == {"A": "[]"}


# --- Property: our reader and /bin/sh agree -----------------------------------------------------

NAMES = st.sampled_from(["A", "B", "IMAP_ACL", "_x", "a1"])
PLAIN = st.text("ab1./:,=+-%@^]}{[*?!\u00e9\u8a9e", max_size=4)
PIECES = st.one_of(
    PLAIN,
    st.sampled_from(["#", "\\\\", "\\$", "\\ ", "\\'", '\\"', "\\\n", "\\a", "\\#", "\\~"]),
    NAMES.map(lambda name: f"${{{name}}}"),
    NAMES.map(lambda name: f'"${name}"'),
    st.text('ab $`"\\#~;&|()<>\n\t\u00e9', max_size=5).map(lambda text: f"'{text}'"),
    st.lists(
        st.one_of(
            st.text("ab '#~;&|()<>*\n\t\u00e9", max_size=3),
            st.sampled_from(["\\\\", "\\$", "\\`", '\\"', "\\\n", "\\a", "\\'", "$A ", "${B}"]),
        ),
        max_size=4,
    ).map(lambda pieces: f'"{"".join(pieces)}"'),
)
WORDS = st.lists(PIECES, max_size=4).map("".join)
ASSIGNMENTS = st.tuples(NAMES, WORDS).map("=".join)
SEPARATORS = st.sampled_from(["\n", "\n\n", " ", "\t ", " # x='\n", "\n#A=$(\n", " \\\n", "\n  "])
FILES = st.lists(st.tuples(ASSIGNMENTS, SEPARATORS).map("".join), max_size=6).map("".join)


def sourced(path: Path, name: str = "/bin/sh") -> dict[str, str]:
    """The variables that a shell itself takes from a file."""
    command = [name, "sh"] if name == "busybox" else [name]
    if name == "bash":
        command.append("--posix")
    output = subprocess.run(
        [*command, "-c", 'set -a; . "$1"; /usr/bin/env -0', "sh", str(path)],
        env={},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout.decode("utf-8", "surrogateescape")
    pairs = dict(record.split("=", 1) for record in output.split("\0")[:-1])
    return {name: pairs[name] for name in pairs if name not in {"PWD", "OLDPWD", "SHLVL", "_"}}


@pytest.mark.slow
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=FILES)
def test_reader_and_shell_agree(no_shell: None, write: Write, text: str) -> None:
    """Any file of assignments is read here, and gives what /bin/sh makes of it."""
    path = write(text)

    assert values([path]) == sourced(path)


@pytest.mark.slow
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=st.lists(st.one_of(FILES, st.text("A=$(\"'`){}~;\\ \nx#", max_size=6))).map("".join))
def test_any_text_is_read_or_refused(write: Write, text: str) -> None:
    """What is read is what /bin/sh makes of it; what /bin/sh refuses is refused."""
    path = write(text)
    try:
        expected = sourced(path)
    except subprocess.CalledProcessError:
        with pytest.raises(ShellError):
            shell.read([path])
    else:
        assert values([path]) == expected
