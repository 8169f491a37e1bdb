"""courier.process.privileges: rights that are given up are gone. Each case in a process of its own."""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from courier.process import privileges
from courier.process.privileges import Ids

NOBODY = Ids(65534, 65534)

root = pytest.mark.root
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root")


def in_child(test: Callable[[], object]) -> str:
    """Run in a forked process; return what it returned, or its exception, as text."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, repr(test()).encode())
        except BaseException as error:
            os.write(writing, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    said = b""
    while data := os.read(reading, 4096):
        said += data
    os.close(reading)
    os.waitpid(pid, 0)
    return said.decode()


def refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except OSError:
        return True
    return False


@pytest.fixture
def empty(tmp_path: Path) -> str:
    path = tmp_path / "empty"
    path.mkdir(mode=0o755)
    return str(path)


@root
@as_root
def test_become_takes_all_ids() -> None:
    """Real, effective and saved uid and gid, and exactly the groups that were given."""

    def test() -> object:
        privileges.become(Ids(5000, 5001, (5001, 5002)))
        return os.getresuid(), os.getresgid(), sorted(os.getgroups())

    assert in_child(test) == repr(((5000,) * 3, (5001,) * 3, [5001, 5002]))


@root
@as_root
def test_become_leaves_no_way_back() -> None:
    """No call gives the uid, the gid, a group or a capability back."""

    def test() -> object:
        privileges.become(Ids(5000, 5000))
        lines = Path("/proc/self/status").read_text().splitlines()
        capabilities = {
            name: int(value, 16)
            for name, _, value in (line.partition(":") for line in lines)
            if name in ("CapPrm", "CapEff", "CapInh", "CapAmb")
        }
        return (
            refused(lambda: os.setuid(0)),
            refused(lambda: os.setresuid(-1, 0, -1)),
            refused(lambda: os.seteuid(0)),
            refused(lambda: os.setgid(0)),
            refused(lambda: os.setegid(0)),
            refused(lambda: os.setgroups([0])),
            refused(lambda: os.setresuid(5001, 5001, 5001)),
            set(capabilities.values()),
        )

    assert in_child(test) == repr((*[True] * 7, {0}))


@root
@as_root
def test_become_another_without_being_root() -> None:
    """It is refused; becoming oneself is not."""

    def test() -> object:
        privileges.become(Ids(5000, 5000))
        privileges.become(Ids(5000, 5000))
        privileges.become(Ids(5001, 5001))

    assert in_child(test).startswith("PermissionError")


@root
@as_root
def test_isolate_leaves_no_files(empty: str) -> None:
    """Nothing can be opened, made or executed, by an absolute path or upwards."""

    def test() -> object:
        privileges.isolate(NOBODY, empty)
        up = "../" * 20 + "etc/passwd"
        return (
            os.listdir("/"),
            os.getcwd(),
            [refused(lambda: open(one)) for one in ("/etc/passwd", up, "/proc/self/status")],  # noqa: B023
            refused(lambda: open("/x", "w")),
            refused(lambda: os.mkdir("/x")),
            refused(lambda: os.execv("/bin/true", ["true"])),
            refused(lambda: os.chroot("/")),
            refused(lambda: os.mknod("/x")),
        )

    assert in_child(test) == repr(([], "/", [True] * 3, True, True, True, True, True))


@root
@as_root
def test_isolate_leaves_no_rights(empty: str) -> None:
    """No root, no groups, no core dump, no new privileges, not to be traced by its own user."""

    def test() -> object:
        os.setgroups([0, 4, 6])
        privileges.isolate(NOBODY, empty)
        libc = ctypes.CDLL(None)
        return (
            os.getresuid(),
            os.getresgid(),
            os.getgroups(),
            refused(lambda: os.setuid(0)),
            resource.getrlimit(resource.RLIMIT_CORE),
            libc.prctl(39, 0, 0, 0, 0),  # PR_GET_NO_NEW_PRIVS
            libc.prctl(3, 0, 0, 0, 0),  # PR_GET_DUMPABLE
        )

    nobody = (65534,) * 3
    assert in_child(test) == repr((nobody, nobody, [], True, (0, 0), 1, 0))


@root
@as_root
@pytest.mark.parametrize("ids", [Ids(0, 0), Ids(0, 65534), Ids(65534, 0)])
def test_isolate_as_root(empty: str, ids: Ids) -> None:
    """A root directory holds nobody who is root, so this fails."""
    assert in_child(lambda: privileges.isolate(ids, empty)).startswith("PermissionError")


def test_isolate_without_root() -> None:
    """Who started this stays who he is, and gives up what he can."""

    def test() -> object:
        if os.geteuid() == 0:
            privileges.become(NOBODY)
        privileges.isolate(Ids(os.getuid(), os.getgid()), "/nowhere")
        libc = ctypes.CDLL(None)
        return (
            libc.prctl(39, 0, 0, 0, 0),
            resource.getrlimit(resource.RLIMIT_CORE),
            libc.prctl(3, 0, 0, 0, 0),
        )

    assert in_child(test) == repr((1, (0, 0), 0))


def test_ids_of_a_user_who_is_not_there() -> None:
    """The caller gets a KeyError to complain of."""
    with pytest.raises(KeyError):
        privileges.ids_of("no-such-user-here")
