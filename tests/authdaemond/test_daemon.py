"""Our authdaemond as a whole: captured exchanges, hostile clients, crashes, reloads."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from courier.auth import client
from courier.auth.account import Account
from courier.auth.reply import Rejected
from courier.auth.request import Lookup
from tests.authdaemond.conftest import StartOurs, write_userdb
from tests.support import authdaemon
from tests.support.authdaemon import LIMIT_S, Daemon, environment, is_root, read_all
from tests.support.daemon import children, is_alive, status, wait_until
from tests.support.exhaustion import exhausted

VM1 = (
    b"UID=5000\nGID=5000\nHOME=/home/vmail/vm1\nADDRESS=vm1@example.com\nNAME=V M One\n"
    b"MAILDIR=/home/vmail/vm1/Maildir\nQUOTA=1000000S\nPASSWD=$1$a7tOQywY$tCGKb4xUORKfgL8666FRu/\n"
)
OPTIONS = b"OPTIONS=disableimap=0,group=staff\n.\n"
CRAM = (
    b"UID=5000\nGID=5000\nHOME=/home/vmail/vm1\nADDRESS=vm1@example.com\n"
    b"MAILDIR=/home/vmail/vm1/Maildir\n" + OPTIONS
)


def command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def auth(*lines: bytes) -> bytes:
    payload = b"".join(line + b"\n" for line in lines)
    return b"AUTH %d\n" % len(payload) + payload


RIGHT = auth(b"imap", b"login", b"vm1@example.com", b"secret")
WRONG = auth(b"imap", b"login", b"vm1@example.com", b"bad")

# As captured between Courier's authdaemond and its clients.
EXCHANGES = [
    (b"TCPREMOTEIP=::ffff:127.0.0.1\n" + RIGHT, VM1 + b"PASSWD2=secret\n" + OPTIONS),
    (b"PRE . imap vm1@example.com\n", VM1 + OPTIONS),
    (b"PRE authuserdb imap vm1@example.com\n", VM1 + OPTIONS),
    (b"PRE authpam imap vm1@example.com\n", b"FAIL\n"),
    (b"PRE   .   imap   vm1@example.com\n", VM1 + OPTIONS),
    (b"PRE . imap vm1@example.com\nPRE . imap nopw\n", VM1 + OPTIONS),
    (b"PRE . imap vm1@example.com\r\n", b"FAIL\n"),
    (b"PRE . imap nohome\n", b"FAIL\n"),
    (b"PRE . imap bare\n", b"FAIL\n"),
    (b"PRE . imap zork\n", b"FAIL\n"),
    (
        b"PRE . imap two words\n",
        b"UID=5004\nGID=5004\nHOME=/h\nADDRESS=two words\nNAME=Two\nPASSWD=secret\n.\n",
    ),
    (b"PRE . imap nopw\n", b"UID=5003\nGID=5003\nHOME=/h\nADDRESS=nopw\n.\n"),
    (auth(b"imap", b"login", b"nopw", b"x"), b"FAIL\n"),
    (auth(b"imap", b"login", b"two words", b"secret"), b"FAIL\n"),  # clear text is no hash
    (
        auth(b"imap", b"login", b"own@example.com", b"secret"),
        b"UID=5001\nGID=5001\nHOME=/h\nADDRESS=own@example.com\n"
        b"PASSWD={SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\nPASSWD2=secret\n.\n",
    ),
    (
        b"AUTH 104\nimap\ncram-md5\nPDEyMzQuNTY3OEBob3N0Pg==\n"
        b"dm0xQGV4YW1wbGUuY29tIDAxMjM2ZDJjZTY0NDliOGFhZmQ5Y2ZjZDc3NDlkMDll\n",
        CRAM,
    ),
    (
        auth(
            b"imap", b"cram-sha1", b"PDEyMzQuNTY3OEBob3N0Pg==",
            b"dm0xQGV4YW1wbGUuY29tIGI0N2JjNmE5MzM2ZWFmZDRmZjYxMGQ3YzNhN2I5NDgzODA5YzhlMDE=",
        ),
        CRAM,
    ),
    (
        auth(
            b"pop3", b"cram-sha256", b"PDEyMzQuNTY3OEBob3N0Pg==",
            b"dm0xQGV4YW1wbGUuY29tIGU1ZmE1N2M0YjE0NWM4MjZhZmU3ODgxNzZhNDFjMzViZDQyMDA4YTU0Y2Fh"
            b"MTA0ZGM2NmQ4ZmFiOWY3NWJhZWE=",
        ),
        CRAM,
    ),
    (auth(b"imap", b"cram-md5", b"PDEyMzQ=", b"dm0xQGV4YW1wbGUuY29tIDAx"), b"FAIL\n"),
    (auth(b"imap", b"cram-md5", b"%%%%", b"%%%%"), b"FAIL\n"),
    (auth(b"imap", b"cram-md4", b"PDEyMzQ=", b"dm0x"), b"FAIL\n"),
    (auth(b"imap", b"x-unknown", b"a", b"b"), b"FAIL\n"),
    (b"AUTH 31\nexim\nlogin\nvm1@example.com\nbad\n", b"FAIL\n"),
    (b"AUTH 28\nsmtp\nlogin\nvm1@example.com\n\n\n", b"FAIL\n"),
    (RIGHT + b"\n", VM1 + b"PASSWD2=secret\n" + OPTIONS),
    (
        b"ENUMERATE\n",
        b"# authuserdb\n\nown@example.com\t5001\t5001\t/h\t\t\n"
        b"vm1@example.com\t5000\t5000\t/home/vmail/vm1\t/home/vmail/vm1/Maildir\t"
        b"disableimap=0,group=staff\nnopw\t5003\t5003\t/h\t\t\ntwo words\t5004\t5004\t/h\t\t\n.\n",
    ),
    (b"PRE . nosuch\n", b""),
    (b"pre . imap vm1@example.com\n", b""),
    (b"HELLO\n", b""),
    (b"\n", b""),
    (b"AUTH 0\n", b""),
    (b"AUTH 8192\n" + b"x" * 8192, b""),
    (b"PASSWD imap\tvm1@example.com\tsecret\n", b""),
    (b"PASSWD imap\tvm1@example.com\tbad\tnew\n", b"FAIL\n"),
    (b"PASSWD imap\tvm1@example.com\tsecret\tn|ew\n", b"FAIL\n"),
    (b"PASSWD imap\tvm1@example.com\tsecret\tn\x01ew\n", b"FAIL\n"),
]  # fmt: skip


@pytest.mark.slow
def test_captured_exchanges(daemon: Daemon) -> None:
    """Octet for octet; and the same for a client that closes its half at once, as Exim does."""
    for request, reply in EXCHANGES:
        assert daemon.ask(request) == reply, request
        assert daemon.ask(request, half_close=True) == reply, request


HOSTILE = [
    b"PRE . imap " + b"x" * 1_000_000 + b"\n",
    b"x" * 1_000_000,
    b"TCPREMOTEIP=" + b"x" * 1_000_000,
    b"X=y\n" * 100_000,
    b"AUTH 99999999999999999999999\n",
    b"AUTH 5000\n" + b"\n" * 5000,
    b"\0" * 5000 + b"\n",
    b"PRE . imap \0\n",
    b"PRE . imap vm1@example.com\0\n",
    b"PRE . im\tap vm1@example.com\n",
    b"PRE . ../../etc vm1@example.com\n",
    b"PRE ../x imap vm1@example.com\n",
    auth(b"imap", b"login", b"vm1@example.com\0", b"secret"),
    auth(b"imap", b"login", b"vm1@example.com", b"secret\0"),
    auth(b"imap", b"login", b"%u' OR 1=1 --", b")(uid=*"),
    auth(b"imap", b"cram-md5", b"=" * 4000, b"=" * 4000),
    b"PASSWD imap\t../x\tsecret\tnew\n",
    b"PASSWD imap\tvm1@example.com\tsecret\tnew\rx\n",
    bytes(range(256)) * 30,
]


@pytest.mark.slow
@pytest.mark.parametrize("request_", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_request(daemon: Daemon, request_: bytes) -> None:
    """It is refused or not answered, changes nothing, and the next client is served."""
    with daemon.connect() as connection:
        try:
            connection.sendall(request_)
            connection.shutdown(socket.SHUT_WR)
            reply = read_all(connection)
        except (BrokenPipeError, ConnectionResetError):
            reply = b""

    assert reply in (b"", b"FAIL\n")
    assert daemon.ask(RIGHT).endswith(OPTIONS)


@pytest.mark.slow
def test_silent_clients_delay_nobody(daemon: Daemon) -> None:
    """A hundred connections that say nothing, or half of something."""
    with contextlib.ExitStack() as stack:
        for number in range(100):
            silent = stack.enter_context(daemon.connect())
            silent.sendall(RIGHT[: number // 4])

        assert daemon.ask(RIGHT).endswith(OPTIONS)


@pytest.mark.slow
def test_client_that_closes_in_the_middle(daemon: Daemon) -> None:
    for length in range(0, len(RIGHT), 7):
        with daemon.connect() as connection:
            connection.sendall(RIGHT[:length])

    assert daemon.ask(RIGHT).endswith(OPTIONS)


@pytest.mark.slow
def test_clients_beyond_the_limit(start: StartOurs, tmp_path: Path) -> None:
    """Where no more files can be open, those that were silent for longest make room."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (160, before[1]))
    try:
        daemon = start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(daemon.connect()) for _ in range(60)]

        assert daemon.ask(RIGHT).endswith(OPTIONS)
        assert silent[0].recv(1) == b""


@pytest.mark.slow
def test_without_a_descriptor_left(daemon: Daemon) -> None:
    """Clients wait, and so does who accepts them, instead of trying all the time; the log says it once."""
    assert daemon.ask(RIGHT).endswith(OPTIONS)
    [dispatcher] = [pid for pid in children(daemon.process.pid) if "dispatcher" in command(pid)]
    with contextlib.ExitStack() as stack:
        with exhausted(dispatcher):
            waiting = [stack.enter_context(daemon.connect()) for _ in range(3)]
            for connection in waiting:
                connection.sendall(RIGHT)
            wait_until(lambda: "ERR: accept: Too many open files" in daemon.log)
            before = status(dispatcher)["voluntary_ctxt_switches"]
            wait_until(lambda: int(status(dispatcher)["voluntary_ctxt_switches"]) > int(before) + 3)

        assert [read_all(connection)[-2:] for connection in waiting] == [b".\n"] * 3
    assert daemon.log.count("ERR: accept") == 1


@pytest.mark.slow
def test_master_without_a_descriptor_left(daemon: Daemon) -> None:
    """A dispatcher that dies then has a successor once there is room; a reload changes nothing."""
    assert daemon.ask(RIGHT).endswith(OPTIONS)
    [dispatcher] = [pid for pid in children(daemon.process.pid) if "dispatcher" in command(pid)]
    with exhausted(daemon.process.pid):
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "ERR: the settings are as before" in daemon.log)
        os.kill(dispatcher, signal.SIGKILL)
        wait_until(lambda: "ERR: cannot start dispatcher: Too many open files" in daemon.log)

    assert daemon.ask(RIGHT).endswith(OPTIONS)


@pytest.mark.slow
def test_storm(start: StartOurs) -> None:
    """More clients at the same moment than are served at once: they wait, none is turned away."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (160, before[1]))
    try:
        daemon = start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(daemon.connect()) for _ in range(300)]
        for connection in clients:
            connection.sendall(RIGHT)

        assert [read_all(connection)[-2:] for connection in clients] == [b".\n"] * 300


@pytest.mark.slow
def test_default_options_and_reload(start: StartOurs, tmp_path: Path) -> None:
    """SIGHUP applies everything that the file says; a bad file changes nothing."""
    daemon = start()
    request = b"PRE . imap vm1@example.com\n"
    file = tmp_path / "etc/authdaemonrc"
    assert daemon.ask(request).endswith(OPTIONS)

    for text, log, options in (
        ('authmodulelist="authuserdb"\ndaemons=2\nDEFAULTOPTIONS="group=x,new=1"\nDEBUG_LOGIN=1\n',
         'INFO: modules="authuserdb", daemons=2', b"OPTIONS=disableimap=0,group=staff,new=1\n.\n"),
        ("daemons=many\n", "ERR: the settings are as before",
         b"OPTIONS=disableimap=0,group=staff,new=1\n.\n"),
        ('authmodulelist="authuserdb"\ndaemons=1\n', 'INFO: modules="authuserdb", daemons=1', OPTIONS),
    ):  # fmt: skip
        file.write_text(text)
        os.kill(daemon.process.pid, signal.SIGHUP)
        daemon.wait_for_log(log)
        daemon.wait_for_log("Installation complete", count=daemon.log.count("INFO: modules="))
        give_up = time.monotonic() + LIMIT_S
        while not daemon.ask(request).endswith(options):
            assert time.monotonic() < give_up

    assert "DEBUG: received userid lookup request: vm1@example.com" in daemon.log
    assert "INFO: stopping authdaemond children" in daemon.log
    assert "INFO: Uninstalling authuserdb" in daemon.log


def test_reload_before_all_is_loaded(start: StartOurs) -> None:
    """SIGHUP as soon as there is a socket is a reload; it ends nobody."""
    program = (
        "import os, signal, sys; from authdaemond import __main__ as daemon; bind = daemon._bind;"
        "daemon._bind = lambda path: (bind(path), os.kill(os.getpid(), signal.SIGHUP))[0];"
        "sys.exit(daemon.main([]))"
    )

    daemon = start(("-c", program))

    assert daemon.ask(RIGHT).endswith(b".\n")
    daemon.wait_for_log("INFO: stopping authdaemond children")


@pytest.mark.slow
def test_reload_turns_nobody_away(daemon: Daemon) -> None:
    """Requests all along while one generation takes over from another."""
    failed = []
    for _ in range(5):
        os.kill(daemon.process.pid, signal.SIGHUP)
        failed += [
            reply for reply in (daemon.ask(RIGHT) for _ in range(20)) if reply[-2:] != b".\n"
        ]

    assert failed == []


@pytest.mark.slow
def test_changed_userdb_is_used_at_once(daemon: Daemon, tmp_path: Path) -> None:
    assert daemon.ask(b"PRE . imap new\n") == b"FAIL\n"

    write_userdb(tmp_path / "etc/userdb", b"new\tuid=1|gid=2|home=/h\n")

    assert daemon.ask(b"PRE . imap new\n") == b"UID=1\nGID=2\nHOME=/h\nADDRESS=new\n.\n"
    assert daemon.ask(RIGHT) == b"FAIL\n"


@pytest.mark.slow
def test_change_of_a_password(daemon: Daemon, tmp_path: Path) -> None:
    """Every field that held the old one: systempw and the three secrets of CRAM."""
    assert daemon.ask(b"PASSWD pop3\tvm1@example.com\tsecret\tnew one\n") == b"OK\n"

    assert daemon.ask(RIGHT) == b"FAIL\n"
    changed = daemon.ask(auth(b"imap", b"login", b"vm1@example.com", b"new one"))
    assert b"PASSWD=$1$" in changed and b"PASSWD2=new one\n" in changed
    text = (tmp_path / "etc/userdb").read_bytes()
    assert b"hmac-md5pw=cd3ba7de" not in text and b"hmac-sha256pw=5a84072a" not in text
    assert text.count(b"pw=") == 8 and text.startswith(b"vm1@example.com\tuid=5000|gid=5000|")


@pytest.mark.slow
def test_killed_processes_are_replaced(daemon: Daemon) -> None:
    """Workers and the dispatcher, idle or not: the next request is answered, and it is logged."""
    assert daemon.ask(RIGHT).endswith(OPTIONS)
    for _ in range(2):
        before, started = daemon.children(), daemon.log.count("another one is started")
        assert before
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        daemon.wait_for_log("another one is started", started + 1)

        give_up = time.monotonic() + LIMIT_S
        while not daemon.ask(RIGHT).endswith(OPTIONS):
            assert time.monotonic() < give_up, daemon.log
        wait_until(lambda: not set(before) & set(daemon.children()))  # noqa: B023

    daemon.wait_for_log("ERR: authuserdb: worker ended by SIGKILL")


@pytest.mark.slow
def test_killed_master_leaves_nobody(tmp_path: Path) -> None:
    """Its children end by themselves, so that another daemon may start at once."""
    write_userdb(tmp_path / "etc/userdb")
    settings = {"authmodulelist": "authuserdb", "daemons": "5"}
    daemon = authdaemon.start_ours(tmp_path, settings)
    assert daemon.ask(RIGHT).endswith(OPTIONS)
    children = daemon.children()

    daemon.process.kill()
    daemon.process.wait()

    give_up = time.monotonic() + LIMIT_S
    while any(is_alive(pid) for pid in children):
        assert time.monotonic() < give_up
        time.sleep(0.02)
    again = authdaemon.start_ours(tmp_path, settings)
    assert again.ask(RIGHT).endswith(OPTIONS)
    assert again.stop() == 0


@pytest.mark.slow
def test_worker_that_stands_still_delays_nobody_else(start: StartOurs) -> None:
    """While one is stopped in the middle of a request, another one answers."""
    daemon = start(daemons="2")
    assert daemon.ask(RIGHT).endswith(OPTIONS)
    worker = daemon.children()[-1]
    os.kill(worker, signal.SIGSTOP)
    try:
        with daemon.connect() as waiting:
            waiting.sendall(RIGHT)
            assert daemon.ask(RIGHT).endswith(OPTIONS)
            os.kill(worker, signal.SIGCONT)
            assert read_all(waiting).endswith(OPTIONS)
    finally:
        os.kill(worker, signal.SIGCONT)


HASTY = (
    "from authdaemond import pool; pool.ANSWER_S = 2.0\n"
    "from authdaemond.__main__ import main; raise SystemExit(main([]))"
)


@pytest.mark.slow
def test_worker_that_hangs_is_replaced(start: StartOurs) -> None:
    """It is killed, its client's connection closed, and the only place for a worker is free again."""
    daemon = start(program=("-c", HASTY), daemons="1")
    assert daemon.ask(RIGHT).endswith(OPTIONS)
    worker = daemon.children()[-1]
    os.kill(worker, signal.SIGSTOP)

    assert daemon.ask(RIGHT) == b""

    assert daemon.ask(RIGHT).endswith(OPTIONS)
    daemon.wait_for_log("ERR: authuserdb: worker ended by SIGKILL")
    assert worker not in daemon.children()


@pytest.mark.slow
def test_stop_ends_everything(start: StartOurs) -> None:
    """Also a worker that stands still, and with a client in the middle of its request."""
    daemon = start()
    assert daemon.ask(RIGHT).endswith(OPTIONS)
    children = daemon.children()
    os.kill(children[-1], signal.SIGSTOP)
    with daemon.connect() as silent:
        silent.sendall(b"PRE . im")

        assert daemon.stop() == 0

        assert silent.recv(1) == b""
    assert not any(Path(f"/proc/{pid}/cmdline").exists() for pid in children)


@pytest.mark.slow
def test_damaged_database_is_a_temporary_failure(daemon: Daemon, tmp_path: Path) -> None:
    """The connection is closed without a word, the log names the file, once repaired it works."""
    (tmp_path / "etc/userdb.dat").write_bytes(b"damaged" * 3000)

    assert daemon.ask(RIGHT) == b""

    assert "ERR: authuserdb: " in daemon.log and "userdb.dat" in daemon.log
    write_userdb(tmp_path / "etc/userdb")
    assert daemon.ask(RIGHT).endswith(OPTIONS)


@pytest.mark.slow
def test_long_list_for_a_slow_reader(daemon: Daemon, tmp_path: Path) -> None:
    """Tens of thousands of accounts, all of them, while others are served."""
    text = b"".join(
        b"u%05d\tuid=%d|gid=5|home=/home/u%05d\n" % (n, n + 1, n) for n in range(30_000)
    )
    write_userdb(tmp_path / "etc/userdb", text)

    with daemon.connect() as slow:
        slow.sendall(b"ENUMERATE\n")
        head = slow.recv(1000)
        assert daemon.ask(b"PRE . imap u00007\n").startswith(b"UID=8\n")
        listed = head + read_all(slow)

    assert listed.startswith(b"# authuserdb\n\n") and listed.endswith(b"\n.\n")
    assert listed.count(b"\n") == 30_003
    with daemon.connect() as gone:
        gone.sendall(b"ENUMERATE\n")
        gone.recv(1000)
    assert daemon.ask(b"PRE . imap u00007\n").startswith(b"UID=8\n")


@pytest.mark.slow
def test_passwords_stand_nowhere(start: StartOurs) -> None:
    """Neither in the log at DEBUG_LOGIN=1 nor in the processes' command lines."""
    daemon = start(DEBUG_LOGIN="1")
    secret = b"Tr0ub4dor"

    daemon.ask(auth(b"imap", b"login", b"vm1@example.com", secret))
    daemon.ask(b"PASSWD imap\tvm1@example.com\t" + secret + b"\tx\n")

    assert secret.decode() not in daemon.log
    assert "supplied password does not match encrypted password" in daemon.log
    for pid in (daemon.process.pid, *daemon.children()):
        assert secret not in Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.slow
def test_control_characters_make_no_line_of_the_log(start: StartOurs) -> None:
    daemon = start(DEBUG_LOGIN="2")

    daemon.ask(b"PRE . imap a\rERR: forged\x1b[2J\n")
    daemon.ask(auth(b"imap", b"login", b"vm1@example.com", b"a\rERR: forged"))

    assert "\nERR: forged" not in daemon.log.replace("\r", "\n")
    assert "received userid lookup request: a.ERR: forged.[2J" in daemon.log


@pytest.mark.slow
def test_our_client(daemon: Daemon) -> None:
    found = client.ask(Lookup(b"imap", b"nopw"), daemon.path)
    unknown = client.ask(Lookup(b"imap", b"nosuch"), daemon.path)

    assert found == Account("nopw", 5003, "/h", uid=5003)
    assert unknown == Rejected()
    assert [account.address for account in client.enumerate_accounts(daemon.path)] == [
        "own@example.com",
        "vm1@example.com",
        "nopw",
        "two words",
    ]


@pytest.mark.slow
def test_unknown_module_is_skipped(start: StartOurs) -> None:
    daemon = start(authmodulelist="authfoo authuserdb")

    assert daemon.ask(RIGHT).endswith(OPTIONS)
    assert "INFO: Installing libauthfoo.so.0\nINFO: file not found\n" in daemon.log
    assert (
        'INFO: modules="authfoo authuserdb", daemons=5\n' in daemon.log
        and "INFO: Installing libauthuserdb.so.0\nINFO: Installation complete: authuserdb\n"
        in daemon.log
    )


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.skipif(not is_root(), reason="needs root")
def test_who_talks_to_clients_has_no_rights(daemon: Daemon) -> None:
    """The dispatcher is another user, without groups, can gain none, and leaves no core dump."""
    assert daemon.ask(RIGHT).endswith(OPTIONS)
    dispatcher, worker = daemon.children()

    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{dispatcher}/status").read_text().splitlines()
        if ":\t" in line
    )

    assert (
        set(status["Uid"].split()) & {"0"} == set() and set(status["Gid"].split()) & {"0"} == set()
    )
    assert status["Groups"].split() == []
    assert status["NoNewPrivs"] == "1"
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    limits = Path(f"/proc/{worker}/limits").read_text()
    assert "Max core file size        0                    0" in limits


@pytest.mark.slow
def test_systemd_hands_over_the_socket_and_is_told(tmp_path: Path) -> None:
    """A socket of the service manager's is used as it is, and READY is sent once it is served."""
    pytest.importorskip("systemd.daemon")
    write_userdb(tmp_path / "etc/userdb")
    (tmp_path / "etc/authdaemonrc").write_text('authmodulelist="authuserdb"\ndaemons=1\n')
    listener, notify = (
        socket.socket(socket.AF_UNIX),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
    )
    listener.bind(str(tmp_path / "given"))
    listener.listen()
    notify.bind(str(tmp_path / "notify"))
    notify.settimeout(LIMIT_S)
    program = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid()); os.execv(sys.executable, [sys.executable, '-m', 'authdaemond'])"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(listener.fileno())],
        pass_fds=[listener.fileno()],
        stderr=subprocess.DEVNULL,
        env=environment(tmp_path) | {"LISTEN_FDS": "1", "NOTIFY_SOCKET": str(tmp_path / "notify")},
    )
    daemon = Daemon(process, tmp_path / "given", tmp_path / "none")

    try:
        told = [notify.recv(1000)]
        while b"READY=1" not in told[-1]:
            told.append(notify.recv(1000))
        assert daemon.ask(RIGHT).endswith(OPTIONS)
        assert not (tmp_path / "run/authdaemon/socket").exists()
    finally:
        assert daemon.stop() == 0
    while b"STOPPING=1" not in told[-1]:
        told.append(notify.recv(1000))
    listener.close()
    notify.close()
