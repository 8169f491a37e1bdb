"""Beside Debian's Courier, in a root directory of its own: the same requests to both daemons, its
programs against our daemon, our client and tools against its daemon and databases."""

from __future__ import annotations

import dbm.gnu
import os
import re
import select
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from courier.auth import client, userdb, userdb_source
from courier.auth.account import Account, Secret
from courier.auth.reply import Changed, Rejected
from courier.auth.request import Authenticate, ChangePassword, Lookup
from courier.process.service import PidFile
from tests.authdaemond.conftest import ACCOUNTS, write_userdb
from tests.authdaemond.test_daemon import EXCHANGES, RIGHT, auth
from tests.support import authdaemon
from tests.support.authdaemon import Daemon
from tests.support.courier_root import CourierRoot

pytestmark = [pytest.mark.courier, pytest.mark.root, pytest.mark.slow]

SETTINGS = {
    "authmodulelist": "authuserdb authpam",
    "daemons": "2",
    "DEBUG_LOGIN": "2",
    "DEFAULTOPTIONS": "disablewebmail=1,group=all",
}

Start = Callable[..., Daemon]


@pytest.fixture
def start(root: CourierRoot) -> Iterator[Start]:
    daemons: list[Daemon] = []

    def start_daemon(*, ours: bool, **settings: str) -> Daemon:
        daemon = authdaemon.start_inside(root, SETTINGS | settings, ours=ours)
        daemons.append(daemon)
        return daemon

    yield start_daemon
    for daemon in daemons:
        daemon.stop()


SYSTEM = [
    b"PRE . imap alice\n",
    b"PRE authpam imap alice\n",
    b"PRE . imap expired\n",
    auth(b"imap", b"login", b"alice", b"secret"),
    b"TCPREMOTEIP=2001:db8::1\n" + auth(b"imap", b"login", b"alice", b"secret"),
    auth(b"imap", b"login", b"expired", b"secret"),
    auth(b"imap", b"login", b"mustchange", b"secret"),
    auth(b"nosuchservice", b"login", b"alice", b"secret"),
    auth(b"imap", b"login", b"alice@example.com", b"secret"),
    auth(b"imap", b"login", b"alice", b"bad"),
    auth(b"imap", b"cram-md5", b"PDEyMzQuNTY3OEBob3N0Pg==", b"YWxpY2UgMDEyMzQ="),
    b"ENUMERATE\n",
]


def reply_to(daemon: Daemon, request: bytes) -> bytes:
    """Courier's daemon closes with octets unread: that resets the connection."""
    try:
        return daemon.ask(request)
    except ConnectionResetError:
        return b""


def test_both_answer_the_same(start: Start) -> None:
    """All captured exchanges, and those with system users: octet for octet.

    No password change among them: its new hashes have random salts.
    """
    replies = []
    for ours in (False, True):
        daemon = start(ours=ours)
        requests = [*(request for request, _ in EXCHANGES), *SYSTEM]
        replies.append([(request, reply_to(daemon, request)) for request in requests])
        daemon.stop()

    assert replies[1] == replies[0]


LOGGED = [
    b"PRE . imap vm1@example.com\n",
    RIGHT,
    auth(b"imap", b"login", b"vm1@example.com", b"bad"),
    auth(b"imap", b"login", b"nopw", b"bad"),
    auth(b"imap", b"login", b"nohome", b"bad"),
    auth(b"imap", b"login", b"zork", b"bad"),
    auth(b"imap", b"login", b"own@example.com", b"secret"),
    auth(b"imap", b"login", b"alice", b"secret"),
    auth(b"imap", b"login", b"alice", b"bad"),
    auth(b"imap", b"login", b"expired", b"secret"),
    auth(b"imap", b"login", b"mustchange", b"secret"),
    auth(
        b"imap", b"cram-md5", b"PDEyMzQuNTY3OEBob3N0Pg==",
        b"dm0xQGV4YW1wbGUuY29tIDAxMjM2ZDJjZTY0NDliOGFhZmQ5Y2ZjZDc3NDlkMDll",
    ),
    auth(b"imap", b"cram-md5", b"PDEyMzQ=", b"dm0xQGV4YW1wbGUuY29tIDAx"),
    auth(b"imap", b"cram-md4", b"PDEyMzQ=", b"dm0x"),
]  # fmt: skip


def lines(log: str) -> list[str]:
    """A log without what depends on which worker was asked, or has the same priority."""
    kept = [re.sub(r"^INFO: ", "", line) for line in log.splitlines()]
    return [line for line in kept if "userdb: opened" not in line and "elapsed" not in line]


@pytest.mark.parametrize("level", ["1", "2"])
def test_both_log_the_same(start: Start, level: str) -> None:
    """From starting to stopping, at both levels of DEBUG_LOGIN."""
    logs = []
    for ours in (False, True):
        daemon = start(ours=ours, DEBUG_LOGIN=level, daemons="1")
        daemon.wait_for_log("Installation complete: authpam")
        for request in LOGGED:
            daemon.ask(request)
        daemon.stop()
        logs.append(lines(daemon.log))

    assert logs[1] == logs[0]


def test_pam_gets_service_user_and_address(root: CourierRoot, start: Start) -> None:
    """What PAM's own modules see is the same from both."""
    script = root.path / "tmp/seen"
    script.write_text(
        '#!/bin/sh\necho "$PAM_SERVICE $PAM_USER $PAM_RHOST $PAM_TYPE" >> /tmp/list\n'
    )
    script.chmod(0o755)
    (root.path / "etc/pam.d/imap").write_text(
        "auth required pam_unix.so\nauth required pam_exec.so /tmp/seen\n"
        "account required pam_unix.so\naccount required pam_exec.so /tmp/seen\n"
    )
    for ours in (False, True):
        daemon = start(ours=ours, authmodulelist="authpam")
        daemon.ask(b"TCPREMOTEIP=2001:db8::1\n" + auth(b"imap", b"login", b"alice", b"secret"))
        daemon.ask(auth(b"imap", b"login", b"alice", b"secret"))
        daemon.stop()

    seen = (root.path / "tmp/list").read_text().splitlines()

    assert seen[:4] == seen[4:]
    assert seen[0] == "imap alice 2001:db8::1 auth"


def test_wrong_passwords_hold_up_nobody(start: Start) -> None:
    """Twenty that PAM makes wait, with two workers: a right one is answered before the first."""
    daemon = start(ours=True)
    wrong = [daemon.connect() for _ in range(20)]
    for connection in wrong:
        connection.sendall(auth(b"imap", b"login", b"alice", b"bad"))

    right = daemon.ask(auth(b"imap", b"login", b"alice", b"secret"))

    assert right.startswith(b"USERNAME=alice\n")
    assert select.select(wrong, [], [], 0)[0] == []
    for connection in wrong:
        assert authdaemon.read_all(connection) == b"FAIL\n"
        connection.close()


def test_pam_module_that_crashes_or_hangs(root: CourierRoot, start: Start) -> None:
    """The client's connection is closed, and the next one finds another worker."""
    (root.path / "etc/pam.d/imap").write_text(
        "auth required pam_exec.so /tmp/hang\nauth required pam_unix.so\n"
        "account required pam_unix.so\n"
    )
    script = root.path / "tmp/hang"
    script.write_text('#!/bin/sh\n[ "$PAM_RHOST" ] || kill -9 $PPID\n')
    script.chmod(0o755)
    daemon = start(ours=True, authmodulelist="authpam")
    request = auth(b"imap", b"login", b"alice", b"secret")

    for _ in range(3):
        assert daemon.ask(request) == b""

    assert daemon.ask(b"TCPREMOTEIP=::1\n" + request).startswith(b"USERNAME=alice\n")
    assert "ERR: authpam: worker ended by SIGKILL" in daemon.log


@pytest.mark.parametrize("module", ["authshadow", "authpwd"])
def test_system_users_without_pam(root: CourierRoot, start: Start, module: str) -> None:
    """Courier has these modules too, Debian doesn't build them."""
    if module == "authpwd":
        passwd = root.path / "etc/passwd"
        text = passwd.read_text()
        passwd.write_text(text.replace("alice:x:", "alice:$1$a7tOQywY$tCGKb4xUORKfgL8666FRu/:"))
    daemon = start(ours=True, authmodulelist=module, DEFAULTOPTIONS="")

    right = daemon.ask(auth(b"imap", b"login", b"alice", b"secret"))
    others = [
        daemon.ask(request)
        for request in (
            auth(b"imap", b"login", b"alice", b"bad"),
            auth(b"imap", b"login", b"expired", b"secret"),
            auth(b"imap", b"login", b"courier", b"x"),
            auth(b"imap", b"login", b"nosuch", b"secret"),
        )
    ]

    assert right == (
        b"USERNAME=alice\nGID=1001\nHOME=/home/alice\nADDRESS=alice\nNAME=Alice Example\n"
        b"PASSWD=$1$a7tOQywY$tCGKb4xUORKfgL8666FRu/\nPASSWD2=secret\n.\n"
    )
    assert others == [b"FAIL\n"] * 4


def run_authtest(root: CourierRoot, *arguments: str) -> tuple[int, bytes, bytes]:
    found = root.run(["authtest", *arguments], environment={"TCPREMOTEIP": "::1"})
    return found.returncode, found.stdout, found.stderr


def run_our_authtest(root: CourierRoot, *arguments: str) -> tuple[int, bytes, bytes]:
    found = root.run(["python3", "-m", "tools.authtest", *arguments])
    return found.returncode, found.stdout, found.stderr


AUTHTESTS = [
    ["vm1@example.com"],
    ["-s", "imap", "own@example.com"],
    ["-simap", "own@example.com", "secret"],
    ["vm1@example.com", "secret"],
    ["vm1@example.com", "bad"],
    ["-", "vm1@example.com"],
    ["-simap", "alice", "secret"],
    ["nosuch"],
    ["vm1@example.com", "a\nb"],
    [],
    ["a", "b", "c", "d"],
    ["vm1@example.com", "bad", "new"],
]


@pytest.mark.parametrize("ours", [False, True], ids=["their daemon", "our daemon"])
def test_authtest(root: CourierRoot, start: Start, ours: bool) -> None:
    """Courier's authtest and ours print the same, whichever daemon answers."""
    start(ours=ours)

    for arguments in AUTHTESTS:
        assert run_our_authtest(root, *arguments) == run_authtest(root, *arguments), arguments


def test_authtest_without_a_daemon(root: CourierRoot) -> None:
    """The same first line and exit code; Courier's last line has lost the errno by then."""
    for number, reason in enumerate((b"No such file or directory", b"Connection refused")):
        if number:
            (root.authdaemonvar / "socket").touch()
        theirs, ours = run_authtest(root, "alice"), run_our_authtest(root, "alice")

        assert (theirs[0], theirs[1]) == (ours[0], ours[1]) == (1, b"")
        assert ours[2].splitlines()[0] == theirs[2].splitlines()[0]
        assert ours[2].endswith(b"Authentication FAILED: " + reason + b"\n")


def test_authenumerate_reads_our_list(root: CourierRoot, start: Start) -> None:
    listed = []
    for ours in (False, True):
        daemon = start(ours=ours)
        listed.append([root.run(["authenumerate", *words]) for words in ([], ["-o"], ["-s"])])
        daemon.stop()

    assert [one.stdout for one in listed[1]] == [one.stdout for one in listed[0]]
    assert [one.returncode for one in listed[1]] == [0, 0, 0]
    assert b"vm1@example.com\t5000\t5000\t" in listed[1][0].stdout


def test_our_client_and_their_daemon(start: Start) -> None:
    path = start(ours=False).path

    found = client.ask(Lookup(b"imap", b"alice"), path)
    login = Authenticate(b"imap", b"login", b"vm1@example.com", Secret(b"secret"))
    change = ChangePassword(b"imap", b"vm1@example.com", Secret(b"secret"), Secret(b"new"))

    assert isinstance(found, Account) and found.username == "alice"
    assert isinstance(client.ask(login, path), Account)
    assert client.ask(change, path) == Changed()
    assert client.ask(login, path) == Rejected()
    assert "alice" in [account.address for account in client.enumerate_accounts(path)]


def test_password_changed_by_either_is_known_to_both(root: CourierRoot, start: Start) -> None:
    """Their daemon uses its own userdb and makeuserdb, ours does without: the files are the same."""
    words = [b"secret", b"second", b"third", b"fourth"]
    for ours, old, new in zip((True, False, True), words, words[1:], strict=False):
        daemon = start(ours=ours)
        request = b"PASSWD imap\tvm1@example.com\t%s\t%s\n" % (old, new)
        assert daemon.ask(request) == b"OK\n", daemon.log
        assert daemon.ask(auth(b"pop3", b"login", b"vm1@example.com", old)) == b"FAIL\n"
        assert daemon.ask(auth(b"pop3", b"login", b"vm1@example.com", new)).startswith(
            b"UID=5000\n"
        )
        daemon.stop()


def contents(path: Path) -> dict[bytes, bytes]:
    with dbm.gnu.open(str(path), "r") as database:
        return {name: database[name] for name in database.keys()}  # noqa: SIM118  (no mapping)


SOURCES = [
    ACCOUNTS,
    b"",
    b"a@b\tuid=1|systempw=x|gid=2|home=/h\nnotab\nempty\t\n# c\n\n5000=\tvmail\nx y\tuid=1||gid=2|\n"
    b"pwonly\tsystempw=q\nflag\tsystempw|disable\ntwo\tuid=1\tgid=2\n.\tuid=9\nlast\tuid=1",
    b"\xff\xfe\tuid=1|xpw=\xff\n",
    b"|\t|\na\t=\nb\tpw=\nc\tpw=|pw=\n",
    b"s\tuid=1|imap-scram-sha-1pw={SCRAM-SHA-1}4096,c2FsdA==,AAA=,BBB=|systempw={SCRAM-SHA-256}4096,c2FsdA==,A=,B=\n",
]


@pytest.mark.parametrize("text", SOURCES)
def test_makeuserdb(root: CourierRoot, text: bytes) -> None:
    """Both compile a text to the same records."""
    source = root.configuration / "userdb"
    write_userdb(source, text)
    ours = [contents(path) for path in (userdb.compiled(source), userdb.compiled_shadow(source))]

    made = root.run(["makeuserdb"])

    theirs = [contents(path) for path in (userdb.compiled(source), userdb.compiled_shadow(source))]
    assert (made.returncode, made.stderr) == (0, b"")
    assert ours == theirs


def test_makeuserdb_of_a_directory(root: CourierRoot) -> None:
    source = root.configuration / "userdb"
    source.unlink()
    (source / "sub").mkdir(parents=True)
    source.chmod(0o700)
    (source / "default").write_bytes(b"d1\tuid=1|systempw=x\n")
    (source / "sub/f").write_bytes(b"s1\tuid=2")
    (source / ".hidden").write_bytes(b"h1\tuid=3\n")
    userdb_source.build(source)
    ours = contents(userdb.compiled(source))

    assert root.run(["makeuserdb"]).returncode == 0

    assert contents(userdb.compiled(source)) == ours


def twice(root: CourierRoot, program: str, prepare: Callable[[Path], None], *arguments: str,
          stdin: bytes = b"") -> None:  # fmt: skip
    """Run Courier's program and ours on the same configuration: same output, code and text."""
    results = []
    for command in ([program], ["python3", "-m", f"tools.{program}"]):
        shutil.rmtree(root.configuration)
        root.configuration.mkdir()
        prepare(root.configuration)
        found = root.run([*command, *arguments], stdin)
        source = root.configuration / "userdb"
        text = source.read_bytes() if source.is_file() else b""
        # Courier writes an account's fields in any order.
        text = b"\n".join(
            b"|".join(sorted(re.split(rb"[|\t]", line))) for line in text.split(b"\n")
        )
        # The program's own path stands in its usage; Perl adds where it was at.
        shown = re.sub(rb"(?m)^(Usage:|      ) \S+ ", rb"\1 X ", found.stdout)
        errors = re.sub(rb" at \S+ line \d+\.$", b"", found.stderr, flags=re.MULTILINE)
        results.append((found.returncode, shown, errors, text))
    assert results[1] == results[0], arguments


def plain(configuration: Path) -> None:
    (configuration / "userdb").write_bytes(b"# mine\na\tuid=1|gid=2\nb\n\nc@d\tuid=3\n")
    (configuration / "userdb").chmod(0o600)


def directory(configuration: Path) -> None:
    (configuration / "userdb/sub").mkdir(parents=True)
    (configuration / "userdb").chmod(0o700)
    (configuration / "userdb/default").write_bytes(b"d\tuid=1\n")


def linked(configuration: Path) -> None:
    plain(configuration)
    (configuration / "userdb").rename(configuration / "other")
    (configuration / "userdb").symlink_to("other")


def nothing(configuration: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("prepare", "arguments", "stdin"),
    [
        (plain, ["a", "set", "uid=7"], b""),
        (plain, ["new", "set", "uid=7"], b""),
        (plain, ["new", "set", "systempw"], b"typed\nmore\n"),
        (plain, ["new", "set", "systempw"], b""),
        (plain, ["new", "set"], b""),
        (plain, ["a", "unset", "gid"], b""),
        (plain, ["a", "unset", "gid", "uid", "none"], b""),
        (plain, ["nosuch", "unset", "gid"], b""),
        (plain, ["a", "del"], b""),
        (plain, ["nosuch", "del"], b""),
        (plain, ["a", "del", "x"], b""),
        (plain, ["a", "frob"], b""),
        (plain, ["a"], b""),
        (plain, [], b""),
        (plain, ["a", "set", "x|y=1"], b""),
        (plain, ["a", "set", "x=1\n2"], b""),
        (plain, ["-show"], b""),
        (plain, ["-show", "c@d"], b""),
        (plain, ["-show", "nosuch"], b""),
        (plain, ["-show", "-f", "/etc/courier/userdb", "c@d"], b""),
        (plain, ["-show", "-f", "/etc/courier/none"], b""),
        (plain, ["-f", "/etc/courier/userdb", "c@d", "set", "uid=4"], b""),
        (nothing, ["a", "set", "uid=1"], b""),
        (linked, ["a", "set", "uid=9"], b""),
        (directory, ["a", "set", "uid=9"], b""),
        (directory, ["-show"], b""),
        (directory, ["-show", "default/d"], b""),
        (directory, ["none/x/a", "set", "uid=9"], b""),
    ],
)
def test_userdb(
    root: CourierRoot, prepare: Callable[[Path], None], arguments: list[str], stdin: bytes
) -> None:
    twice(root, "userdb", prepare, *arguments, stdin=stdin)


def open_to_others(configuration: Path) -> None:
    plain(configuration)
    (configuration / "userdb").chmod(0o640)


def named_twice(configuration: Path) -> None:
    plain(configuration)
    (configuration / "userdb").write_bytes(b"a\tuid=1\na\tuid=2\n")


def linked_result(configuration: Path) -> None:
    plain(configuration)
    (configuration / "userdb.dat").symlink_to("x")


@pytest.mark.parametrize(
    "prepare", [plain, nothing, linked, open_to_others, named_twice, linked_result]
)
def test_makeuserdb_says(root: CourierRoot, prepare: Callable[[Path], None]) -> None:
    twice(root, "makeuserdb", prepare)


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        (["-hmac-md5"], b"secret\n"),
        (["-hmac-sha1"], b"secret"),
        (["-hmac-sha256"], b"x" * 200 + b"\n"),
        (["-md5", "-hmac-md5"], b"secret\n"),
        (["-hmac-md5", "-md5"], b"secret\n"),
        (["-hmac-md5"], b"\n"),
        (["-hmac-md5"], b""),
        ([], b""),
        (["-x"], b"secret\n"),
    ],
)
def test_userdbpw(root: CourierRoot, arguments: list[str], stdin: bytes) -> None:
    twice(root, "userdbpw", nothing, *arguments, stdin=stdin)


def test_imaplogin_and_our_daemon(root: CourierRoot, start: Start) -> None:
    """Courier's log-in program, and the imapd it starts, with an account from our daemon."""
    home = root.path / "home/vmail/vm1"
    for name in ("cur", "new", "tmp"):
        (home / "Maildir" / name).mkdir(parents=True)
    subprocess.run(["chown", "-R", "5000:5000", str(root.path / "home/vmail")], check=True)
    start(ours=True)
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        root.command_line(["/usr/lib/courier/courier/imaplogin", "/opt/usr/bin/imapd", "Maildir"]),
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=root.variables(
            {
                "IMAP_CAPABILITY": "IMAP4rev1",
                "TCPREMOTEIP": "::1",
                "TCPREMOTEPORT": "1",
                "TCPLOCALPORT": "143",
            }
        ),
    )
    theirs.close()
    heard: list[bytes] = []
    try:
        ours.settimeout(authdaemon.LIMIT_S)
        told = ours.makefile("rb")
        for command in (
            b"a LOGIN vm1@example.com bad",
            b"b LOGIN vm1@example.com secret",
            b"c SELECT INBOX",
            b"d LOGOUT",
        ):
            ours.sendall(command + b"\r\n")
            heard.append(next(line for line in told if line.startswith(command[:2])))
        told.close()
    finally:
        ours.close()
        _, log = process.communicate(timeout=authdaemon.LIMIT_S)

    assert heard == [
        b"a NO Login failed.\r\n",
        b"b OK LOGIN Ok.\r\n",
        b"c OK [READ-WRITE] Ok\r\n",
        b"d OK LOGOUT completed\r\n",
    ]
    assert b"LOGIN, user=vm1@example.com, ip=[::1]" in log


def test_control_scripts_stop_each_others_daemon(root: CourierRoot) -> None:
    """Pid file and lock are kept as courierlogger keeps them."""
    (root.configuration / "authdaemonrc").write_text(
        'authmodulelist="authuserdb"\ndaemons="1"\nLOGGEROPTS=""\n'
    )
    pid_file = PidFile(root.authdaemonvar / "pid")
    theirs, ours = ["/usr/sbin/authdaemond"], ["python3", "-m", "authdaemond"]
    try:
        for starting, other in ((theirs, ours), (ours, theirs)):
            assert root.run([*starting, "start"]).returncode == 0
            pid = pid_file.running()
            assert pid is not None
            assert root.run([*other, "start"]).returncode == 0
            assert root.run([*other, "restart"]).returncode == 0
            assert pid_file.running() == pid
            assert root.run([*other, "stop"]).returncode == 0
            assert pid_file.running() is None
    finally:
        if (pid := pid_file.running()) is not None:
            os.kill(pid, signal.SIGKILL)
