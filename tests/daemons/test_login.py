"""Before the session: log-ins right, wrong and slow, what comes with them, and the log's lines."""

from __future__ import annotations

import base64
import hmac
import os
import re
import shutil
import time

import pytest

from tests.support.daemon import Daemon, Peer, Site, wait_until

TAIL = b"n NOOP\r\no CAPABILITY\r\np LOGOUT\r\n"


def with_what_follows(daemon: Daemon, log_in: bytes, *, starttls: bool = False) -> list[bytes]:
    with daemon.connect() as client:
        if starttls:
            client.start_tls()
        client.send(log_in + TAIL)
        return client.rest().splitlines()


LOG_INS = [
    b"a LOGIN u@example.com pw\r\n",
    b"a LOGIN {13+}\r\nu@example.com {2+}\r\npw\r\n",
    b"a AUTHENTICATE PLAIN " + base64.b64encode(b"\0u@example.com\0pw") + b"\r\n",
    b"a AUTHENTICATE PLAIN\r\n" + base64.b64encode(b"\0u@example.com\0pw") + b"\r\n",
    b"a AUTHENTICATE LOGIN\r\ndUBleGFtcGxlLmNvbQ==\r\ncHc=\r\n",
]


@pytest.mark.parametrize("log_in", LOG_INS)
def test_commands_behind_the_login_are_the_session_s(imapd: Daemon, log_in: bytes) -> None:
    """What is sent in the same segment is answered after the log-in, in order, once."""
    lines = [
        line for line in with_what_follows(imapd, log_in) if not line.startswith((b"+", b"* CAP"))
    ]

    assert lines[0].startswith(b"a OK [CAPABILITY ") and lines[0].endswith(b"] LOGIN Ok.")
    assert lines[1:] == [
        b"n OK NOOP completed",
        b"o OK CAPABILITY completed",
        b"* BYE Courier-IMAP server shutting down",
        b"p OK LOGOUT completed",
    ]


@pytest.mark.parametrize("starttls", [True, False])
def test_the_same_over_tls(site: Site, starttls: bool) -> None:
    """By STARTTLS and on port 993."""
    daemon = site.start("imapd" if starttls else "imapd-ssl")
    lines = with_what_follows(daemon, LOG_INS[0], starttls=starttls)

    assert [line[:5] for line in lines] == [
        b"a OK ",
        b"n OK ",
        b"* CAP",
        b"o OK ",
        b"* BYE",
        b"p OK ",
    ]


@pytest.mark.parametrize("name", ["imapd", "imapd-ssl"])
def test_much_behind_the_login(site: Site, name: str) -> None:
    """Half a megabyte that is sent without waiting belongs to the session, to the last octet."""
    daemon = site.start(name)
    message = b"Subject: x\r\n\r\n" + b"y" * 500_000
    with daemon.connect() as client:
        client.send(
            b"a LOGIN u@example.com pw\r\n"
            + b"b APPEND INBOX {%d+}\r\n" % len(message)
            + message
            + b"\r\nc LOGOUT\r\n"
        )
        lines = client.rest().splitlines()
    assert [line[:4] for line in lines] == [b"a OK", b"b OK", b"* BY", b"c OK"]
    [stored] = (site.homes / "u@example.com/Maildir").glob("[cn][ue][rw]/*")
    assert stored.read_bytes().count(b"y") == 500_000


def test_cram_md5(imapd: Daemon) -> None:
    """The challenge and its answer reach authdaemond as they are."""
    with imapd.connect() as client:
        client.send(b"a AUTHENTICATE CRAM-MD5\r\n")
        challenge = base64.b64decode(client.line()[2:])
        digest = hmac.new(b"pw", challenge, "md5").hexdigest()
        client.send(base64.b64encode(f"u@example.com {digest}".encode()) + b"\r\n")
        assert client.line().endswith(b"] LOGIN Ok.\r\n")


# --- Wrong passwords -----------------------------------------------------------------------------


def test_wrong_passwords_in_flight_do_not_delay_a_right_one(imapd: Daemon) -> None:
    """Twenty answers are held back; who knows his password gets in."""
    imapd.site.authdaemond.behaviour.delay_of_wrong_s = 20.0
    wrong = [imapd.connect() for _ in range(20)]
    for client in wrong:
        client.send(b"a LOGIN u@example.com wrong\r\n")
    wait_until(lambda: len(imapd.site.authdaemond.asked) == 20)

    with imapd.session() as right:
        assert b" OK " in right.command("NOOP")[-1]

    for client in wrong:  # not one was answered meanwhile
        client.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.socket.recv(1)


def test_wrong_password_is_answered_late_and_may_be_followed_by_a_right_one(
    imapd: Daemon,
) -> None:
    """Five seconds, Courier's text, the same connection."""
    with imapd.connect() as client:
        began = time.monotonic()
        assert client.command("LOGIN u@example.com wrong") == [
            b"c1 NO [AUTHENTICATIONFAILED] Login failed.\r\n"
        ]
        assert time.monotonic() - began > 4.9
        client.log_in()


def test_slow_authdaemond_delays_only_who_asked(imapd: Daemon) -> None:
    """Ten seconds for one account are nobody else's."""
    imapd.site.add_account("slow@example.com", "pw")
    imapd.site.authdaemond.behaviour.delays["slow@example.com"] = 10.0
    slow = imapd.connect()
    slow.send(b"a LOGIN slow@example.com pw\r\n")
    wait_until(lambda: len(imapd.site.authdaemond.asked) == 1)

    for _ in range(10):
        imapd.session().close()

    imapd.site.authdaemond.released.set()
    assert slow.line().endswith(b"] LOGIN Ok.\r\n")


def test_authdaemond_away_and_back(imapd: Daemon) -> None:
    """A temporary failure for the client, Courier's lines in the log, and no restart needed."""
    imapd.site.authdaemond.stop()
    with imapd.connect() as client:
        client.send(b"a LOGIN u@example.com pw\r\n")
        assert client.rest() == (
            b"a NO [UNAVAILABLE] Temporary problem, please try again later\r\n"
            b"* BYE Temporary problem, please try again later\r\n"
        )
    imapd.wait_for_log(r"^ERR: authdaemon: s_connect\(\) failed: Connection refused$")
    imapd.wait_for_log(r"^ERR: \[Hint: perhaps authdaemond is not running\?\]$")
    imapd.wait_for_log(r"^ERR: authentication error: Connection refused$")
    assert "LOGIN FAILED" not in imapd.log

    imapd.site.authdaemond.path.unlink()
    with imapd.connect() as client:
        client.send(b"a LOGIN u@example.com pw\r\n")
        assert client.rest() == (
            b"a NO [UNAVAILABLE] Temporary problem, please try again later\r\n"
            b"* BYE Temporary problem, please try again later\r\n"
        )

    imapd.site.authdaemond.start()
    imapd.session().close()


def test_home_that_is_made_from_the_skeleton(site: Site) -> None:
    """With AUTH_MKHOMEDIR_SKEL the first log-in finds a maildir; a disabled account gets no home."""
    skeleton = site.path / "skeleton"
    for name in ("tmp", "new", "cur"):
        (skeleton / "Maildir" / name).mkdir(parents=True)
    for userid, options in (("new@example.com", ""), ("off@example.com", "disableimap=1")):
        shutil.rmtree(site.add_account(userid, "pw", OPTIONS=options).parent)
    daemon = site.start(AUTH_MKHOMEDIR_SKEL=str(skeleton))

    with daemon.connect() as first, daemon.connect() as second, daemon.connect() as off:
        for client in (first, second):  # both at once
            client.send(b"a LOGIN new@example.com pw\r\nb SELECT INBOX\r\n")
        for client in (first, second):
            assert client.until(b"b ")[-1].startswith(b"b OK ")
        off.send(b"a LOGIN off@example.com pw\r\n")
        assert off.line().startswith(b"a NO ")
    daemon.session().close()

    owner = (site.homes / "u@example.com").stat()
    made = (site.homes / "new@example.com/Maildir/cur").stat()
    assert (made.st_uid, made.st_gid) == (owner.st_uid, owner.st_gid)
    assert sorted(os.listdir(site.homes)) == ["new@example.com", "u@example.com"]
    assert "WARN" not in daemon.log


@pytest.mark.parametrize("wrong", ["locked", "home", "maildir", "owner"])
def test_account_that_can_t_be_served(site: Site, wrong: str) -> None:
    """What the client is told and what the log says are Courier's; it is no failed log-in."""
    maildir = site.add_account("odd@example.com", "pw")
    home = maildir.parent
    said = b"Temporary problem, please try again later"
    if wrong == "locked":
        home.chmod(0o1755)
        said = b"Your account is temporarily unavailable (+t bit set on home directory)."
    elif wrong == "home":
        shutil.rmtree(home)
    elif wrong == "maildir":
        shutil.rmtree(maildir)
        said = b"[ALERT] Fatal error: No such file or directory: No such file or directory"
    else:
        if os.geteuid() != 0:
            pytest.skip("needs root")
        os.chown(maildir, 12345, 12345)
        maildir.chmod(0o755)
        said = (
            b"[ALERT] Fatal error: Account's mailbox directory is not owned by the correct "
            b"uid or gid: "
        )
    daemon = site.start()

    with daemon.connect() as client:
        place = where(client)
        client.send(b"a LOGIN odd@example.com pw\r\n")
        assert client.rest() == b"* BYE " + said + b"\r\n"

    lines = [
        line
        for line in daemon.log.splitlines()
        if "onnect" not in line and "imapaccess" not in line
    ]
    expected = {
        "locked": [rf"INFO: LOCKED, user=odd@example\.com, {place}"],
        "home": [
            rf"WARN: odd@example\.com: chdir\({home}\) failed!!",
            r"WARN: error: No such file or directory",
            r"ERR: authentication error: No such file or directory",
        ],
        "maildir": [
            r"chdir Maildir: No such file or directory",
            r"ERR: odd@example\.com: No such file or directory",
        ],
        "owner": [
            r"ERR: odd@example\.com: Account's mailbox directory is not owned by the correct uid or gid"
        ],
    }[wrong]
    assert len(lines) == len(expected)
    assert all(re.fullmatch(*pair) for pair in zip(expected, lines, strict=True)), lines


def test_disabled_account(imapd: Daemon) -> None:
    """disableimap and disableinsecureimap refuse with their reason, after the password."""
    imapd.site.add_account("off@example.com", "pw", OPTIONS="disableimap=1")
    imapd.site.add_account("tls@example.com", "pw", OPTIONS="disableinsecureimap=1")
    with imapd.connect() as client:
        assert (
            b" NO IMAP access disabled for this account."
            in client.command("LOGIN off@example.com pw")[-1]
        )
    with imapd.connect() as client:
        assert (
            b" NO IMAP access disabled via insecure connection."
            in client.command("LOGIN tls@example.com pw")[-1]
        )
    with imapd.connect() as client:
        client.start_tls()
        client.log_in("tls@example.com")


# --- Clients that don't read or don't speak ------------------------------------------------------


def test_client_that_asks_and_does_not_read(imapd: Daemon) -> None:
    """Its answers don't pile up: after a while no more of its commands are read."""
    with imapd.connect() as client:
        client.socket.settimeout(2.0)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 64 << 20:
                sent += client.socket.send(b"a CAPABILITY\r\n" * 1000)
        client.socket.settimeout(30.0)
        resident = [
            int(re.findall(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read())[0])  # noqa: SIM115
            for pid in imapd.login_processes()
        ]
        assert max(resident) < 200_000
        client.until(b"a OK")
        imapd.session().close()


def test_silent_connections_do_not_keep_others_out(imapd: Daemon) -> None:
    """Two hundred at once, again and again, within the limits; log-ins go on between them."""
    silent = []
    for _ in range(3):
        silent += [imapd.raw(f"127.0.0.{2 + at % 20}") for at in range(200)]
        imapd.session().close()
    for connection in silent:
        connection.close()
    imapd.session().close()


# --- Log lines -----------------------------------------------------------------------------------


def lines_of(daemon: Daemon, pattern: str) -> str:
    daemon.wait_for_log(pattern)
    found = re.search(pattern, daemon.log, re.M)
    assert found is not None
    return found[0]


def where(client: Peer) -> str:
    ip, port = client.socket.getsockname()[:2]
    return rf"ip=\[::ffff:{re.escape(ip)}\], port=\[{port}\]"


@pytest.mark.fast
def test_log_of_a_session(imapd: Daemon) -> None:
    """Connection, LOGIN and LOGOUT as Courier writes them."""
    with imapd.session() as client:
        place = where(client)
        client.command("LOGOUT")

    lines_of(imapd, rf"^DEBUG: Connection, {place}$")
    lines_of(imapd, rf"^INFO: LOGIN, user=u@example\.com, {place}, protocol=IMAP$")
    lines_of(
        imapd,
        rf"^INFO: LOGOUT, user=u@example\.com, {place}, headers=0, body=0, rcvd=\d+, sent=\d+, "
        r"time=\d+$",
    )
    assert "Disconnected" not in "".join(
        line for line in imapd.log.splitlines() if re.search(place, line)
    )


def test_log_of_a_session_over_tls(imapd_ssl: Daemon) -> None:
    """The same with starttls=1."""
    with imapd_ssl.session() as client:
        place = where(client)
        client.command("LOGOUT")

    lines_of(imapd_ssl, rf"^INFO: LOGIN, user=u@example\.com, {place}, protocol=IMAP, starttls=1$")
    lines_of(imapd_ssl, rf"^INFO: LOGOUT, user=u@example\.com, {place}, .*, time=\d+, starttls=1$")


def test_log_of_failures(imapd: Daemon) -> None:
    """By LOGIN with what was typed, by AUTHENTICATE with the mechanism; logged before the delay."""
    with imapd.connect() as client:
        client.send(b"a LOGIN u@example.com wrong\r\n")
        lines_of(imapd, rf"^INFO: LOGIN FAILED, user=u@example\.com, {where(client)}$")
    with imapd.connect() as client:
        client.send(b"a AUTHENTICATE PLAIN AHgAeA==\r\n")
        lines_of(imapd, rf"^INFO: LOGIN FAILED, method=PLAIN, {where(client)}$")
    with imapd.connect() as client:
        client.send(b"a AUTHENTICATE NONSENSE\r\n")
        lines_of(imapd, rf"^INFO: LOGIN FAILED, method=NONSENSE, {where(client)}$")


def test_log_without_a_login(imapd: Daemon) -> None:
    """LOGOUT and a closed connection before log-in."""
    with imapd.connect() as client:
        client.command("LOGOUT")
        lines_of(imapd, rf"^INFO: LOGOUT, {where(client)}, rcvd=11, sent=\d+$")
    began = time.monotonic()
    with imapd.connect() as client:
        place = where(client)
    told = lines_of(imapd, rf"^DEBUG: Disconnected, {place}, time=\d+$")
    assert int(told.rpartition("=")[2]) <= time.monotonic() - began


@pytest.mark.parametrize(
    "userid",
    [
        b"x\r\nINFO: LOGIN, user=root, ip=[1.2.3.4], port=[1], protocol=IMAP",
        b"x\nERR: forged",
        b"x\rERR: forged",
        b"x, ip=[1.2.3.4], port=[1]",
        b"\xff\xfe",
        "x\u2028y\u0085z".encode(),
        b"x\x1b[2J",
        b"y" * 5000,
    ],
)
def test_nothing_is_forged_by_what_was_typed(imapd: Daemon, userid: bytes) -> None:
    """Whatever the userid, the failure is one line, and fail2ban's filter finds the address."""
    with imapd.connect() as client:
        client.send(b"a LOGIN {%d+}\r\n" % len(userid) + userid + b" pw\r\n")
        place = where(client)
        line = lines_of(imapd, rf"^INFO: LOGIN FAILED, user=.*{place}$")

    assert re.fullmatch(rf"INFO: LOGIN FAILED, (?:(?!ip=)\w+=[^,]*, )*{place}", line)
    assert line.isprintable()
    for one in imapd.log.splitlines():
        assert one.startswith(("INFO: LOGIN FAILED, ", "DEBUG: ", "ERR: ", "WARN: ")), one
        assert "forged" not in one or one == line
