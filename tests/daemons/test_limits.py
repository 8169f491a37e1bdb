"""MAXDAEMONS, MAXPERIP, MAXPERC and the access file: over all login processes, and exact again."""

from __future__ import annotations

import dbm.gnu
import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, Peer, Site, descriptors, tcp_of, wait_until


def admitted(daemon: Daemon, sources: list[str]) -> list[socket.socket]:
    """Connect from each address; return the connections that were greeted."""
    waiting = [daemon.raw(source) for source in sources]
    greeted = []
    for connection in waiting:
        if Peer(connection).line().startswith(b"* OK"):
            greeted.append(connection)
        else:
            connection.close()
    return greeted


def storm(daemon: Daemon, sources: list[str], rounds: int) -> int:
    """Connect, log in or not, and vanish, from many threads at once; return who was greeted most."""
    lock = threading.Lock()
    now = most = 0

    def one(source: str, at: int) -> None:
        nonlocal now, most
        for turn in range(rounds):
            try:
                with Peer(daemon.raw(source)) as client:
                    if not client.line().startswith(b"* OK"):
                        continue
                    with lock:
                        now += 1
                        most = max(now, most)
                    try:
                        if (at + turn) % 3 == 0:
                            client.log_in()
                    finally:
                        with lock:  # before closing: the count may only be too low here
                            now -= 1
            except (OSError, AssertionError):
                pass

    threads = [threading.Thread(target=one, args=(source, at)) for at, source in enumerate(sources)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return most


def await_places(daemon: Daemon, sources: list[str], count: int) -> None:
    """Prove that exactly ``count`` of these are let in, once all before have been counted out."""
    held: list[socket.socket] = []

    def refill() -> bool:
        for one in held:
            one.close()
        held[:] = admitted(daemon, sources)
        return len(held) == count

    wait_until(refill, lambda: f"{len(held)} in place of {count}\n{daemon.log[-2000:]}")
    for one in held:
        one.close()


def access_file(site: Site, records: Mapping[str, str]) -> None:
    unfinished = site.etc / "access.unfinished"
    unfinished.unlink(missing_ok=True)
    with dbm.gnu.open(str(unfinished), "n") as database:
        for key, value in records.items():
            database[key] = value
    unfinished.rename(site.etc / "imapaccess.dat")


def test_max_daemons(site: Site) -> None:
    """It counts connections of all login processes and sessions together; the log names it."""
    daemon = site.start(MAXDAEMONS="6")
    sources = [f"127.0.0.{at}" for at in range(2, 12)]
    with daemon.session(), daemon.session():
        wait_until(lambda: len(admitted(daemon, ["127.0.0.2"])) == 1)
        await_places(daemon, sources, 4)
    daemon.wait_for_log(r"^ALERT: 6 maximum active connections\.$")
    await_places(daemon, sources, 6)


@pytest.mark.fast
def test_max_per_ip(site: Site) -> None:
    """It counts each address by itself; the log names limit and address."""
    daemon = site.start(MAXPERIP="3")

    held = admitted(daemon, ["127.0.0.2"] * 6 + ["127.0.0.3"] * 6)

    assert len(held) == 6
    for ip in ("127.0.0.2", "127.0.0.3"):
        daemon.wait_for_log(
            rf"^ALERT: Maximum connection limit reached for ::ffff:{ip} \(MAXPERIP=3\)$"
        )
    for one in held:
        one.close()


def test_max_per_c(site: Site) -> None:
    """It counts a network together."""
    daemon = site.start(IMAP_MAXPERC="4")

    network = [f"127.0.0.{at}" for at in range(2, 10)]
    await_places(daemon, network, 4)
    held = admitted(daemon, network)
    others = admitted(daemon, [f"127.0.1.{at}" for at in range(2, 5)])

    assert len(others) == 3
    daemon.wait_for_log(r"^ALERT: Maximum connection limit reached for \S+ \(-maxperc=4\)$")
    for one in (*held, *others):
        one.close()


@pytest.mark.parametrize(("by_network", "fit"), [("0", 3), ("1", 2)])
def test_ipv6_networks(site: Site, by_network: str, fit: int) -> None:
    """One customer's addresses count together if that is asked for. (A PROXY header brings them.)"""
    daemon = site.start(
        wait=False, TCPDOPTS="-haproxy=30", MAXPERIP="2", IMAP_LIMIT_IPV6_NETWORKS=by_network
    )
    wait_until(lambda: bool(daemon.login_processes()), lambda: daemon.log)
    clients = [daemon.raw() for _ in range(3)]
    for at, client in enumerate(clients):
        client.sendall(f"PROXY TCP6 2001:db8::{at} 2001:db8:1::1 1 143\r\n".encode())

    assert sum(Peer(client).line().startswith(b"* OK") for client in clients) == fit
    for client in clients:
        client.close()


def test_access_file(site: Site) -> None:
    """Denied addresses get nothing; MAXCPERIP replaces MAXPERIP; a new file needs no restart."""
    access_file(site, {"127.0.0.9": "deny", "127.0.0.8": "allow,MAXCPERIP=2", "*": "allow"})
    daemon = site.start(MAXPERIP="4")

    assert admitted(daemon, ["127.0.0.9"]) == []
    assert len(admitted(daemon, ["127.0.0.8"] * 4)) == 2
    assert len(admitted(daemon, ["127.0.0.7"] * 5)) == 4
    daemon.wait_for_log(
        r"^INFO: access denied by 127\.0\.0\.9 of the access file, ip=\[::ffff:127\.0\.0\.9\]$"
    )

    access_file(site, {"127.0.0.7": "deny"})
    assert admitted(daemon, ["127.0.0.7"]) == []
    assert len(admitted(daemon, ["127.0.0.9"])) == 1


def test_access_file_that_was_not_made_yet(site: Site) -> None:
    """The start makes the database, so that nobody comes in who is to be kept out."""
    (site.etc / "imapaccess").write_text("127.0.0.8/30\tdeny\n")

    daemon = site.start()

    assert len(admitted(daemon, ["127.0.0.7", "127.0.0.12"])) == 2
    assert admitted(daemon, ["127.0.0.8", "127.0.0.11"]) == []
    assert "ERR" not in daemon.log


def test_access_file_that_can_t_be_meant(site: Site) -> None:
    """It is a setting like any other: the daemon doesn't start, and says why."""
    (site.etc / "imapaccess").write_text("127.0.0.8/99\tdeny\n")

    daemon = site.start(wait=False)

    assert daemon.process.wait(30) == os.EX_CONFIG
    reason = f"{site.etc}/imapaccess:1: 127.0.0.8/99: no net or range of addresses"
    assert daemon.log == f"ERR: {reason}\n"


def test_access_database_that_is_missing(site: Site) -> None:
    """It is told at the start, not at the first client; all may connect."""
    daemon = site.start(wait=False)

    daemon.wait_for_log(
        rf"^ERR: {site.etc}/imapaccess\.dat: No such file or directory; everybody may connect$"
    )
    daemon.wait_until_it_serves()


def test_limits_hold_in_a_storm_and_are_exact_after_it(site: Site) -> None:
    """Never more than allowed at any time; when all is quiet, exactly as many fit again."""
    daemon = site.start("imapd", MAXDAEMONS="20", MAXPERIP="5", IMAP_LOGIN_PROCESSES="3")
    sources = [f"127.0.0.{2 + at % 8}" for at in range(48)]

    most = storm(daemon, sources, 8)

    assert most <= 20
    await_places(daemon, [f"127.0.0.{2 + at % 8}" for at in range(40)], 20)
    await_places(daemon, ["127.0.0.2"] * 10, 5)
    assert "ALERT: " in daemon.log


def test_descriptors_do_not_leak(site: Site) -> None:
    """Two thousand connections, log-ins right and wrong and given up, and killed children."""
    daemon = site.start(IMAP_LOGIN_PROCESSES="2")
    site.add_account("slow@example.com", "pw")
    # Each in the worker of its shard, which doesn't leave as long as it has a session.
    stay = [daemon.session(userid) for userid in ("u@example.com", "slow@example.com")]
    site.authdaemond.behaviour.delays["slow@example.com"] = 30.0

    def everybody() -> dict[int, int]:
        return {pid: len(descriptors(pid)) for pid in (daemon.pid, *daemon.children())}

    def is_quiet() -> bool:
        """Whether workers alone have clients; one login process may serve before the other has started."""
        logins, workers = daemon.login_processes(), daemon.workers()
        clients = {pid: [one for one in tcp_of(pid) if one[2] != "0A"] for pid in everybody()}
        return (
            all(bool(found) == (pid in workers) for pid, found in clients.items())
            and len({len(descriptors(pid)) for pid in logins}) == 1
        )

    wait_until(is_quiet)
    before = everybody()
    for at in range(1000):
        # Each wrong password is another's, from elsewhere: none is held for longer than the first.
        client = Peer(daemon.raw(f"127.0.1.{at // 4 + 1}"))
        if at % 4 == 1:
            client.send(b"a LOGIN u@example.com pw\r\nb NOOP\r\n")
            client.until(b"b OK")
        elif at % 4 == 2:
            client.send(b"a LOGIN u%d@example.com wrong\r\n" % at)
        elif at % 40 == 3:
            client.send(b"a LOGIN slow@example.com pw\r\n")
        client.close()
        daemon.raw().close()
    site.authdaemond.released.set()

    wait_until(lambda: everybody() == before, lambda: f"{before} {everybody()}")
    for client in stay:
        client.close()


def test_count_of_a_client_that_vanishes_while_it_is_asked_for(site: Site) -> None:
    """A client that has gone when authdaemond answers leaves no session behind."""
    daemon = site.start(MAXDAEMONS="4")  # the one that looked whether it serves may count yet
    site.authdaemond.behaviour.delays["u@example.com"] = 30.0
    for _ in range(3):
        with daemon.connect() as client:
            client.send(b"a LOGIN u@example.com pw\r\n")
    wait_until(lambda: len(site.authdaemond.asked) == 3)
    site.authdaemond.released.set()

    await_places(daemon, ["127.0.0.2"] * 6, 4)


def test_open_files_suffice_for_max_daemons(site: Site) -> None:
    """The limit of open files is raised to what the settings ask for, in every process."""
    daemon = site.start(MAXDAEMONS="3000")
    with daemon.session():
        for pid in (daemon.pid, *daemon.children()):
            lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
            [soft] = [int(line.split()[3]) for line in lines if line.startswith("Max open files")]
            assert soft >= 9000
