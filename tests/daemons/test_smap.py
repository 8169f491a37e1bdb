"""SMAP over the daemon: the log-in, TLS, what follows in the same segment, and the log's lines."""

from __future__ import annotations

from tests.support.daemon import Daemon, Site, anybody

LOGIN = b'\\SMAP1 LOGIN "u@example.com" "pw"\n'
LIST = [
    b'* LIST "INBOX" "New Mail" FOLDER\n',
    b'* LIST "INBOX" "Folders" DIRECTORY\n',
    b'* LIST "public" "Public Folders" DIRECTORY\n',
    b"+OK LIST completed\n",
]
BYE = [b"* BYE Courier-SMAP server shutting down\n", b"+OK LOGOUT completed\n"]


def started(site: Site) -> Daemon:
    return site.start(SMAP_CAPABILITY="SMAP1", IMAP_KEYWORDS="1")


def test_whole_session_in_one_segment(site: Site) -> None:
    """Log-in, commands, an upload, all sent at once."""
    daemon = started(site)
    message = b"Subject: x\n\nLOGOUT\n"
    with daemon.connect() as client:
        client.send(
            LOGIN
            + b'LIST\nADD FOLDER INBOX ""\nADD {%d/%d}\n' % (len(message), len(message))
            + message
            + b"\nSTATUS FULL INBOX\nLOGOUT\n"
        )
        lines = client.rest().splitlines(keepends=True)

    assert lines[0] == b"+OK SMAP1 LOGIN Ok.\n"
    assert lines[1:5] == LIST
    assert lines[5:7] == [b"+OK Will add to this folder\n", b"> Go ahead\n"]
    assert lines[7].startswith(b'* ADD "UID=')
    assert lines[8:] == [
        b"+OK Message saved\n",
        b"* STATUS EXISTS=1 UNSEEN=1\n",
        b"+OK Folder status retrieved\n",
        *BYE,
    ]
    daemon.wait_for_log(r"LOGIN, user=u@example.com, .*protocol=SMAP1\b")
    daemon.wait_for_log(r"LOGOUT, user=u@example.com, ")


def test_starttls(site: Site) -> None:
    """As Cone does it: capabilities, STARTTLS, capabilities again, log-in."""
    daemon = started(site)
    with daemon.connect() as client:
        client.send(b"\\SMAP1 CAPABILITY\r\n")
        assert b" STARTTLS" in client.line()
        assert client.line() == b"+OK CAPABILITY completed\r\n"
        client.send(b"\\SMAP1 STARTTLS\r\n")
        assert client.line() == b"+OK Begin SSL/TLS negotiation now.\r\n"
        client.socket = anybody().wrap_socket(client.socket)
        client.send(b"\\SMAP1 CAPABILITY\n")
        assert b" STARTTLS" not in client.line()
        assert client.line() == b"+OK CAPABILITY completed\r\n"
        client.send(LOGIN + b"LOGOUT\n")
        assert client.rest().splitlines(keepends=True) == [b"+OK SMAP1 LOGIN Ok.\n", *BYE]
    daemon.wait_for_log(r"LOGIN, user=u@example.com, .*protocol=SMAP1, starttls=1")


def test_beside_imap(site: Site) -> None:
    """Both protocols in one worker; what one stores the other tells."""
    daemon = started(site)
    with daemon.session() as imap, daemon.connect() as client:
        imap.command("SELECT INBOX")
        client.send(LOGIN + b'ADD FOLDER INBOX "" {5/5}\na: b\n\n')
        assert client.line() == b"+OK SMAP1 LOGIN Ok.\n"
        assert client.line() == b"> Go ahead\n"
        assert client.line().startswith(b"* ADD ")
        assert client.line() == b"+OK Message saved\n"
        assert b"* 1 EXISTS\r\n" in imap.command("NOOP")
