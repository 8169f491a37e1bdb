"""A root directory in which Debian's Courier finds its compiled-in paths, nothing being installed.

Each command runs in a mount namespace of its own: this machine's programs and libraries, our source
and `.tools/courier` are bound into the directory, which holds nothing but configuration, users and
sockets. So Courier's programs and ours meet the same users, the same PAM, the same paths.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.support.servers import BYTECODE, COURIER, ROOT

MULTIARCH = f"{os.uname().machine}-linux-gnu"

# Debian's courier-authdaemon and courier-authlib-userdb, beside what the IMAP tests need.
NEEDED = ("usr/lib/courier/courier-authlib/authdaemond", "usr/sbin/makeuserdb")

_BOUND = {
    "usr/bin": "/usr/bin",
    "usr/share": "/usr/share",
    "usr/lib64": "/usr/lib64",
    f"usr/lib/{MULTIARCH}": f"/usr/lib/{MULTIARCH}",
    "usr/lib/courier": f"{COURIER}/usr/lib/courier",
    "usr/lib/courier-authlib": f"{COURIER}/usr/lib/courier-authlib",
    "opt": str(COURIER),
    "src": str(ROOT / "src"),
    "bytecode": str(BYTECODE),
    "dev": "/dev",
    **{f"usr/lib/{path.name}": str(path) for path in Path("/usr/lib").glob("python3*")},
}
_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}

PASSWD = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
courier:x:111:111::/var/lib/courier:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUP = "root:x:0:\ndaemon:x:1:\ncourier:x:111:\nnogroup:x:65534:\n"


@dataclass(frozen=True)
class CourierRoot:
    """``path`` is the directory; every other path here is one inside it."""

    path: Path

    @property
    def authdaemonvar(self) -> Path:
        return self.path / "run/courier/authdaemon"

    @property
    def configuration(self) -> Path:
        return self.path / "etc/courier"

    def command_line(self, command: Sequence[str]) -> list[str]:
        mounts = [
            f"mount --rbind {shlex.quote(source)} {shlex.quote(str(self.path / target))}"
            for target, source in _BOUND.items()
        ]
        mounts.append(f"mount -t proc proc {shlex.quote(str(self.path / 'proc'))}")
        enter = f"exec chroot {shlex.quote(str(self.path))} {shlex.join(command)}"
        return ["unshare", "-m", "sh", "-ec", "\n".join([*mounts, enter])]

    def variables(self, environment: Mapping[str, str] | None = None) -> dict[str, str]:
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LD_LIBRARY_PATH": f"/opt/usr/lib:/opt/usr/lib/{MULTIARCH}:/opt/lib/{MULTIARCH}",
            "PYTHONPATH": "/src",
            "PYTHONPYCACHEPREFIX": "/bytecode",
            **(environment or {}),
        }

    def run(
        self,
        command: Sequence[str],
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self.command_line(command),
            input=stdin,
            capture_output=True,
            timeout=60,
            env=self.variables(environment),
            check=False,
        )

    def start(
        self,
        command: Sequence[str],
        log: IO[bytes],
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program that stays; the caller ends it."""
        return subprocess.Popen(
            self.command_line(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=self.variables(environment),
        )

    def add_user(
        self, name: str, uid: int, stored: str, gecos: str = "", aging: str = "19000:0:99999:7:::"
    ) -> None:
        """Add a system user with a hash in /etc/shadow."""
        with (self.path / "etc/passwd").open("a") as passwd:
            passwd.write(f"{name}:x:{uid}:{uid}:{gecos}:/home/{name}:/bin/sh\n")
        with (self.path / "etc/group").open("a") as group:
            group.write(f"{name}:x:{uid}:\n")
        with (self.path / "etc/shadow").open("a") as shadow:
            shadow.write(f"{name}:{stored}:{aging}\n")


def make(path: Path) -> CourierRoot:
    """Make the directory at ``path``, with a mail user `courier` and no account."""
    BYTECODE.mkdir(parents=True, exist_ok=True)
    for name in (
        *_BOUND,
        "etc/courier",
        "etc/pam.d",
        "run/courier",
        "tmp",
        "proc",
        "var/lib/courier",
    ):
        (path / name).mkdir(parents=True, exist_ok=True)
    for name, target in _LINKS.items():
        (path / name).symlink_to(target)
    (path / "var/run").symlink_to("../run")
    (path / "usr/sbin").mkdir()
    for program in (COURIER / "usr/sbin").iterdir():
        (path / "usr/sbin" / program.name).symlink_to(f"/opt/usr/sbin/{program.name}")
    # Python's ctypes.util looks libraries up by it.
    shutil.copy2("/usr/sbin/ldconfig", path / "usr/sbin/ldconfig")
    shutil.copy2("/etc/ld.so.cache", path / "etc/ld.so.cache")
    (path / "etc/passwd").write_text(PASSWD)
    (path / "etc/group").write_text(GROUP)
    (path / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nshadow: files\n")
    shadow = path / "etc/shadow"
    shadow.write_text("root:*:19000:0:99999:7:::\n")
    shadow.chmod(0o600)
    root = CourierRoot(path)
    root.authdaemonvar.mkdir()
    return root
