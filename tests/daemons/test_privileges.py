"""Which process runs as whom, and what it holds: read from the system's lists, as root."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.daemon import Daemon, Site, descriptors, status, tcp_of, wait_until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root"),
]

NO_CAPABILITIES = "0" * 16


def kinds(pid: int) -> list[str]:
    """What a process has open, but for its standard descriptors."""
    found = descriptors(pid)
    return sorted(re.sub(r"\[\d+\]|:\d+$", "", text) for at, text in found.items() if at > 2)


LOOP = ["anon_inode:[eventpoll]", "pipe:", "pipe:"]
LOGIN_PROCESS = [*LOOP, "socket:", "socket:"]  # the listening one, the channel
WORKER = [*LOOP, "socket:", "socket:"]  # the channel, a client; no watch, as nothing is selected


def has_no_core_dumps(pid: int) -> bool:
    limits = Path(f"/proc/{pid}/limits").read_text()
    return re.search(r"^Max core file size +0 +0 ", limits, re.M) is not None


def memory(pid: int) -> bytes:
    """All that a process can write to: its heap and what else it has made."""
    found = []
    with open(f"/proc/{pid}/mem", "rb", 0) as file:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *_ = line.split()
            if not rights.startswith("rw"):
                continue
            start, end = (int(one, 16) for one in span.split("-"))
            try:
                file.seek(start)
                found.append(file.read(end - start))
            except OSError:
                pass
    return b"".join(found)


def test_login_processes(imapd: Daemon) -> None:
    """Own user, empty root directory, no groups, no new privileges, no core, no capability."""
    processes = imapd.login_processes()

    assert len(processes) == 2
    # That is what a process does last; one may serve before the other has started.
    wait_until(lambda: all(map(has_no_core_dumps, processes)))
    for pid in processes:
        found = status(pid)
        assert found["Uid"].split() == ["65534"] * 4
        assert found["Gid"].split() == ["65534"] * 4
        assert found["Groups"] == ""
        assert found["NoNewPrivs"] == "1"
        assert {found[name] for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {
            NO_CAPABILITIES
        }
        assert os.readlink(f"/proc/{pid}/root") == str(imapd.site.run / "empty")
        assert os.listdir(f"/proc/{pid}/root/") == []
        assert os.stat(f"/proc/{pid}/mem").st_uid == 0  # not dumpable: not its user's to look into


def test_what_ps_shows(imapd: Daemon) -> None:
    """Each process says what it is, and workers of whom."""
    with imapd.session():
        [worker] = imapd.wait_for_workers(1)
        uid = status(worker)["Uid"].split()[0]
        login_processes = imapd.login_processes()
        assert {*imapd.children()} == {worker, *login_processes}

        assert shown(imapd.pid) == "imapd: master"
        assert shown(worker) == f"imapd: worker, uid {uid}"
        # One may serve before the other has started.
        wait_until(
            lambda: [shown(pid) for pid in login_processes] == ["imapd: login process"] * 2,
            lambda: [shown(pid) for pid in login_processes],
        )


def shown(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()


def test_descriptors_of_a_login_process(imapd: Daemon) -> None:
    """The listening socket, its channel, its event loop's three, its clients; no file."""
    imapd.session()
    for pid in imapd.login_processes():
        # Clients that have gone, and a start that is not over yet, are waited for.
        wait_until(lambda: kinds(pid) == LOGIN_PROCESS, lambda: kinds(pid))  # noqa: B023
        assert [state for *_, state in tcp_of(pid)] == ["0A"]


def test_worker(site: Site) -> None:
    """Exactly the account's uid, gid, groups and umask; not dumpable."""
    site.add_account("other@example.com", "pw", (5001, 5002))
    daemon = site.start(IMAP_UMASK="027")
    session = daemon.session("other@example.com")

    [worker] = daemon.wait_for_workers(1)

    found = status(worker)
    assert found["Uid"].split() == ["5001"] * 4
    assert found["Gid"].split() == ["5002"] * 4
    assert found["Groups"] == "5002"
    assert found["Umask"] == "0027"
    assert {found[name] for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {NO_CAPABILITIES}
    assert os.stat(f"/proc/{worker}/mem").st_uid == 0
    assert has_no_core_dumps(worker)
    session.close()


def test_worker_of_a_system_account(site: Site) -> None:
    """A system account gets the groups that the system says, as at the console."""
    name = "nobody"
    site.add_account(name, "pw", (65534, 65534))
    entry = site.authdaemond.accounts[name]
    entry.attributes["USERNAME"] = entry.attributes.pop("UID") and name
    daemon = site.start()
    daemon.session(name)

    [worker] = daemon.wait_for_workers(1)

    groups = sorted(os.getgrouplist(name, 65534))
    assert sorted(map(int, status(worker)["Groups"].split())) == groups
    assert status(worker)["Uid"].split() == ["65534"] * 4


def test_descriptors_of_a_worker(site: Site) -> None:
    """Its channel, its loop, its one client: nothing of master's and no other worker's client."""
    site.add_account("other@example.com", "pw", (5001, 5001))
    daemon = site.start()
    waiting = [daemon.connect() for _ in range(5)]
    first = daemon.session()
    [one] = daemon.wait_for_workers(1)
    second = daemon.session("other@example.com")
    [other] = set(daemon.wait_for_workers(2)) - {one}

    for worker, client in ((one, first), (other, second)):
        port = client.socket.getsockname()[1]
        assert [remote for _, remote, _ in tcp_of(worker)] == [port]
        assert kinds(worker) == WORKER
    assert len(waiting) == 5


def test_worker_forked_while_others_log_in(site: Site) -> None:
    """Clients and questions that wait in master are not inherited by a new worker."""
    site.add_account("slow@example.com", "pw")
    site.authdaemond.behaviour.delays["slow@example.com"] = 30.0
    daemon = site.start()
    slow = [daemon.connect() for _ in range(3)]
    for client in slow:
        client.send(b"a LOGIN slow@example.com pw\r\n")
    wait_until(lambda: len(site.authdaemond.asked) == 3)

    session = daemon.session()

    [worker] = daemon.wait_for_workers(1)
    assert kinds(worker) == WORKER
    session.close()
    site.authdaemond.released.set()


def test_descriptors_of_master(imapd: Daemon) -> None:
    """A session leaves nothing in master but the channel of its worker."""
    before = kinds(imapd.pid)
    session = imapd.session()
    imapd.wait_for_workers(1)

    expected = sorted([*before, "socket:"])  # once it has closed its copy of the client's
    wait_until(lambda: kinds(imapd.pid) == expected, lambda: kinds(imapd.pid))
    session.close()


def test_key_of_the_certificate_is_in_login_processes_alone(imapd_ssl: Daemon) -> None:
    """Not in master, of which workers are copies, and not in a worker."""
    key = imapd_ssl.site.issued.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    secret = key.private_numbers().private_value.to_bytes(32, "big")
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).splitlines()[1]
    imapd_ssl.session()
    [worker] = imapd_ssl.wait_for_workers(1)

    def holds(pid: int) -> bool:
        found = memory(pid)
        return secret in found or secret[::-1] in found or pem in found

    for pid in imapd_ssl.login_processes():  # the search finds keys; one may still be starting
        wait_until(lambda: holds(pid))  # noqa: B023
    assert not holds(imapd_ssl.pid)
    assert not holds(worker)


def test_password_is_forgotten_by_master(imapd: Daemon) -> None:
    """Once a log-in is decided, what it was shown is not kept in any list or timer."""
    imapd.site.add_account("careful@example.com", "correct-horse-battery")
    clients = [imapd.session("careful@example.com", "correct-horse-battery") for _ in range(20)]
    for _ in range(300):  # memory that is free is used again
        imapd.connect().close()

    assert memory(imapd.pid).count(b"correct-horse-battery") < len(clients)


def test_unprivileged_start(site: Site) -> None:
    """Started by a user it serves that user's own mail, as that user throughout."""
    me = (5000, 5000)
    for path in (site.run, site.run / "authdaemon", site.run / "authdaemon/socket"):
        os.chown(path, *me)
    daemon = site.start(user=me)

    with daemon.session() as client:
        assert client.command("SELECT INBOX")[-1].split()[1] == b"OK"
        for pid in (daemon.pid, *daemon.children()):
            assert status(pid)["Uid"].split() == ["5000"] * 4
    site.add_account("other@example.com", "pw", (5001, 5001))
    with daemon.connect() as client:
        client.send(b"a LOGIN other@example.com pw\r\n")
        assert client.line().startswith(b"a NO [UNAVAILABLE] ")
        assert client.line() == b"* BYE Temporary problem, please try again later\r\n"
