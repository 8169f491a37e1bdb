"""What a program of one's own does with IMAPClient; run by its Python, with a port of loopback and an authority's file."""

import ssl
import sys
from datetime import UTC, datetime

from imapclient import IMAPClient  # type: ignore[import-not-found]

port, authority = int(sys.argv[1]), sys.argv[2]
context = ssl.create_default_context(cafile=authority)

with IMAPClient("localhost", port=port, ssl=True, ssl_context=context, timeout=30) as client:
    client.login("u@example.com", "pw")
    assert client.has_capability("IDLE") and client.has_capability("MOVE")
    assert client.id_({"name": "IMAPClient"})
    assert client.namespace().personal == (("INBOX.", "."),)

    # Folders, with names that are no ASCII.
    client.create_folder("INBOX.Entwürfe & Co")
    client.subscribe_folder("INBOX.Entwürfe & Co")
    listed = {name: flags for flags, _, name in client.list_folders()}
    assert set(listed) == {"INBOX", "INBOX.Entwürfe & Co"}
    assert "INBOX.Entwürfe & Co" in [name for _, _, name in client.list_sub_folders()]
    client.rename_folder("INBOX.Entwürfe & Co", "INBOX.Drafts")
    assert client.folder_exists("INBOX.Drafts")
    assert not client.folder_exists("INBOX.Entwürfe & Co")
    assert client.folder_status("INBOX", "MESSAGES")[b"MESSAGES"] == 3

    # Reading.
    selected = client.select_folder("INBOX")
    assert (selected[b"EXISTS"], selected[b"READ-WRITE"]) == (3, True)
    uids = client.search("ALL")
    assert len(uids) == 3
    assert client.search(["SUBJECT", "Grüße"], "UTF-8") == [uids[2]]
    assert client.search(["NOT", ["SUBJECT", "one"]]) == uids[1:]
    assert client.sort("REVERSE SUBJECT") == [uids[1], uids[0], uids[2]]
    assert client.thread(algorithm="REFERENCES") == ((uids[0],), (uids[1],), (uids[2],))
    items = client.fetch(
        uids, ["ENVELOPE", "BODYSTRUCTURE", "FLAGS", "INTERNALDATE", "RFC822.SIZE"]
    )
    assert items[uids[0]][b"ENVELOPE"].subject == b"one"
    assert items[uids[0]][b"BODYSTRUCTURE"][:2] == (b"text", b"plain")
    whole = client.fetch(uids[0], ["BODY.PEEK[]", "BODY.PEEK[HEADER.FIELDS (SUBJECT)]"])[uids[0]]
    assert whole[b"BODY[]"] == b"Subject: one\r\n\r\nfirst\r\n"
    assert items[uids[0]][b"RFC822.SIZE"] == len(whole[b"BODY[]"])
    assert whole[b'BODY[HEADER.FIELDS ("SUBJECT")]'] == b"Subject: one\r\n\r\n"

    # Flags and keywords.
    flags = client.add_flags(uids[0], [b"\\Flagged", b"$Label1"])[uids[0]]
    assert {b"\\Flagged", b"$Label1"} <= set(flags)
    flags = client.remove_flags(uids[0], [b"\\Flagged"])[uids[0]]
    assert b"$Label1" in flags and b"\\Flagged" not in flags
    assert client.search(["KEYWORD", "$Label1"]) == [uids[0]]
    modseq = client.fetch(uids[0], ["MODSEQ"])[uids[0]][b"MODSEQ"][0]
    client.add_flags(uids[1], [b"\\Seen"])
    assert list(client.fetch(uids, ["FLAGS"], [f"CHANGEDSINCE {modseq}"])) == [uids[1]]

    # Messages in, elsewhere, and away.
    when = datetime(2020, 2, 29, 12, 30, tzinfo=UTC)
    said = client.append("INBOX.Drafts", b"Subject: four\r\n\r\nx\r\n", [b"\\Draft"], when)
    assert said.startswith(b"[APPENDUID ")
    client.copy(uids[:2], "INBOX.Drafts")
    client.move(uids[2], "INBOX.Drafts")
    client.delete_messages(uids[0])
    client.uid_expunge(uids[0])
    assert client.search() == [uids[1]]
    client.unselect_folder()
    client.select_folder("INBOX.Drafts", readonly=True)
    (draft,) = client.search(["DRAFT"])
    fetched = client.fetch(draft, ["INTERNALDATE", "FLAGS"])[draft]
    assert fetched[b"INTERNALDATE"].astimezone(UTC).replace(tzinfo=UTC) == when
    assert len(client.search()) == 4

    # Waiting, while another session adds a message.
    client.select_folder("INBOX")
    with IMAPClient("localhost", port=port, ssl=True, ssl_context=context, timeout=30) as other:
        other.login("u@example.com", "pw")
        client.idle()
        other.append("INBOX", b"Subject: five\r\n\r\n")
        news = []
        while (2, b"EXISTS") not in news:
            more = client.idle_check(timeout=30)
            assert more, news
            news += more
        client.idle_done()
    assert [who.strip(b'"') for who, _ in client.getacl("INBOX")] == [b"owner", b"administrators"]
    client.delete_folder("INBOX.Drafts")

with IMAPClient("localhost", port=port, ssl=True, ssl_context=context, timeout=30) as client:
    client.plain_login("u@example.com", "pw")
    client.enable("UTF8=ACCEPT")
    client.noop()
