"""NOTIFY through the daemons: told between commands, without a thread or a process for it (RFC 5465)."""

from __future__ import annotations

from tests.support.daemon import Daemon

SET = (
    b"NOTIFY SET (selected (MessageNew (UID) MessageExpunge FlagChange)) "
    b"(personal (MessageNew MessageExpunge MailboxName))"
)


def test_told_between_commands(imapd: Daemon) -> None:
    """Two clients of one worker: each of them is told what the other does, and not what it does itself."""
    with imapd.session() as one, imapd.session() as other:
        for client in (one, other):
            assert client.command(SET.decode())[-1].split()[1] == b"OK"
            client.command("SELECT INBOX")
        other.command("CREATE INBOX.new")
        assert one.line() == b'* LIST (\\HasNoChildren) "." "INBOX.new"\r\n'
        assert one.line() == b'* LIST (\\HasChildren) "." "INBOX"\r\n'
        other.send(b"a APPEND INBOX.new {1+}\r\nx\r\n")
        assert b"APPENDUID" in other.line()
        assert one.line().startswith(b'* STATUS "INBOX.new" (MESSAGES 1 ')
        one.send(b"a APPEND INBOX {1+}\r\nx\r\n")
        lines = [other.line() for _ in range(3)]
        assert lines[0].endswith(b" EXISTS\r\n")
        assert lines[2].split()[2:4] == [b"FETCH", b"(UID"]
