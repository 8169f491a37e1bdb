"""A Debian machine for tests: a root directory of its own, packages installed, systemd booted in it.

The machine is a container of systemd-nspawn with process numbers and a network of its own: the ports
of a mail server are free there, and nobody outside can reach them. `Machine.connect` connects from
inside. Everything ends with `Machine.stop`, or with the death of the nspawn process.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import TypeVar

T = TypeVar("T")

CHECKOUT = Path(__file__).resolve().parents[2]
ROOTS = CHECKOUT / ".tools/roots"
HOSTNAME = "mail.example.test"
TOOLS = ("debootstrap", "systemd-nspawn", "nsenter", "dpkg-buildpackage", "dh")

#: What hangs is given up after it; a busy machine with a slow disk takes minutes to install packages.
_PATIENCE_S = 300.0
_CLONE_NEWNET = 0x40000000
_ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
    "SYSTEMD_PAGER": "",
}
# No unit of the test machine's own manager; no network; the files as they are in the directory.
_NSPAWN = (
    "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network",
    "--resolv-conf=off", "--timezone=off", "--link-journal=no", f"--hostname={HOSTNAME}",
)  # fmt: skip


def build_packages() -> list[Path]:
    run([CHECKOUT / "tools/build-deb"], timeout_s=300, environment=os.environ)
    return sorted((CHECKOUT / "build/deb").glob("*.deb"))


def dependencies(packages: Iterable[Path]) -> list[str]:
    """What the packages depend on beside each other; of alternatives the first."""
    wanted = set()
    own = {package.name.partition("_")[0] for package in packages}
    for package in packages:
        for dependency in run(["dpkg-deb", "-f", package, "Depends"]).split(","):
            wanted.add(dependency.partition("|")[0].partition("(")[0].strip().partition(":")[0])
    return sorted(wanted - own)


def make_root(packages: Sequence[str], suite: str = "") -> Path:
    """Give a root directory with Debian packages; made once, and not to be written to.

    ``suite``: another release than this machine's.
    """
    root = ROOTS / (suite or "packages")
    ROOTS.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "SUITE": suite}
    run([CHECKOUT / "tools/root", root, *packages], timeout_s=900, environment=environment)
    return root


def make_courier_root(base: Path) -> Path:
    """Give a root directory with Debian's Courier beside what ``base`` has; not to be written to.

    Its packages are in /var/cache/apt/archives.
    """
    root = ROOTS / "courier"
    wanted = ("courier-imap", "courier-pop", "courier-authlib-userdb", "msmtp-mta")
    environment = {**os.environ, "BASE": str(base), "KEEP_ARCHIVES": "1"}
    run([CHECKOUT / "tools/root", root, *wanted], timeout_s=900, environment=environment)
    return root


@contextmanager
def copied(root: Path) -> Iterator[Path]:
    """A copy of a root directory, for as long as it is needed."""
    copy = Path(mkdtemp(prefix="machine.", dir=ROOTS))
    try:
        run(["cp", "-a", "--reflink=auto", f"{root}/.", copy])
        yield copy
    finally:
        shutil.rmtree(copy)


def run_in(root: Path, script: str) -> str:
    """Run a shell script in a root directory that isn't booted; return its output."""
    command = [*_NSPAWN, "--as-pid2", f"--directory={root}", "sh", "-euxc", script]
    return run(command, timeout_s=300)


def run(
    command: Sequence[str | Path],
    given: str = "",
    timeout_s: float = _PATIENCE_S,
    environment: Mapping[str, str] = _ENVIRONMENT,
) -> str:
    """Run a command; return what it writes.

    Raises:
        AssertionError: it failed.
    """
    done = subprocess.run(
        command, input=given, env=environment, text=True, timeout=timeout_s, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout}"
    return done.stdout


@dataclass(frozen=True, slots=True)
class Process:
    """A process of a machine, as the kernel tells of it."""

    pid: int  # in the machine
    outside_pid: int
    unit: str
    uid: int
    gid: int
    groups: frozenset[int]
    capabilities: int  # effective ones, a bit for each
    no_new_privileges: bool
    has_filter: bool  # of system calls

    def root_entries(self) -> list[str]:
        """What stands in the process's root directory."""
        return os.listdir(f"/proc/{self.outside_pid}/root")


class Machine:
    """A root directory, booted. The caller stops it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._log = (root.parent / f"{root.name}.log").open("w+")
        self._nspawn = subprocess.Popen(
            [*_NSPAWN, "--console=pipe", f"--directory={root}", "--boot"],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, env=_ENVIRONMENT,
        )  # fmt: skip
        self._init = 0
        try:
            self._init = self._await_init()
            self._network = ThreadPoolExecutor(1, initializer=self._enter_network)
            self.await_boot()
        except BaseException:
            self.kill()
            raise

    def _await_init(self) -> int:
        """Return the process number, outside, of the machine's init, once it takes orders."""
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")

        def found() -> int:
            assert self._nspawn.poll() is None, self.console()
            for pid in map(int, children.read_text().split()):
                if Path(f"/proc/{pid}/root/run/systemd/private").exists():
                    return pid
            return 0

        return until(found, "the machine's init", self.console)

    def await_boot(self) -> None:
        self.run("sh", "-c", "systemctl is-system-running --wait || true")

    def _enter_network(self) -> None:
        """Let this thread, and no other, connect from inside the machine."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/proc/{self._init}/ns/net") as network:
            if libc.setns(network.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")

    def connect(self, port: int, timeout_s: float = _PATIENCE_S) -> socket.socket:
        """Connect to a port of the machine's loopback address."""
        return self._network.submit(
            socket.create_connection, ("127.0.0.1", port), timeout_s
        ).result()

    def run(self, *command: str) -> str:
        """Run a command inside; return what it writes.

        Raises:
            AssertionError: it failed.
        """
        enter = ["nsenter", f"--target={self._init}", "--mount", "--uts", "--ipc", "--net", "--pid",
                 "--cgroup", "--root", "--wd"]  # fmt: skip
        return run([*enter, *command])

    def show(self, unit: str, name: str) -> str:
        """A property of a unit, as `systemctl show` says it."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def journal(self, *selection: str) -> str:
        """What has been logged by now, by whoever."""
        self.run("journalctl", "--sync")
        return self.run("journalctl", "--no-pager", "--output=short-monotonic", *selection)

    def processes(self, unit: str) -> list[Process]:
        """The processes of a service."""
        found = []
        for directory in Path("/proc").glob("[0-9]*"):
            try:
                if self._has(directory) and f"/{unit}" in (directory / "cgroup").read_text():
                    found.append(_process(directory, unit))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                pass  # has just ended, or is of those that no machine's root may look at
        return sorted(found, key=lambda process: process.pid)

    def _has(self, directory: Path) -> bool:
        ours = os.readlink(f"/proc/{self._init}/ns/pid")
        return os.readlink(directory / "ns/pid") == ours

    def console(self) -> str:
        self._log.flush()
        return Path(self._log.name).read_text(errors="replace")

    def stop(self) -> int:
        """Power off; return nspawn's exit code, 0 if all went as it should."""
        # The order may end together with the machine, before its own exit code is told.
        self._network.shutdown()
        os.kill(self._init, signal.SIGRTMIN + 4)
        try:
            return self._nspawn.wait(_PATIENCE_S)
        finally:
            self.kill()

    def kill(self) -> None:
        """Leave no process, whatever the machine is doing."""
        if self._nspawn.poll() is None:
            if self._init:
                os.kill(self._init, signal.SIGKILL)  # the kernel ends all others with it
            self._nspawn.terminate()
            try:
                self._nspawn.wait(10)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait()
        self._log.close()
        Path(self._log.name).unlink(missing_ok=True)


def _process(directory: Path, unit: str) -> Process:
    lines = (directory / "status").read_text().splitlines()
    status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    return Process(
        pid=int(status["NSpid"][-1]),
        outside_pid=int(directory.name),
        unit=unit,
        uid=int(status["Uid"][1]),
        gid=int(status["Gid"][1]),
        groups=frozenset(map(int, status["Groups"])),
        capabilities=int(status["CapEff"][0], 16),
        no_new_privileges=status["NoNewPrivs"] == ["1"],
        has_filter=status["Seccomp"] == ["2"],
    )


def until(look: Callable[[], T], what: str, say: Callable[[], str] = str) -> T:
    """Look until there is something to see."""
    give_up = time.monotonic() + _PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < give_up, f"{what}: not in {_PATIENCE_S} s\n{say()}"
        time.sleep(0.05)
    return found
