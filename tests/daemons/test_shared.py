"""What authdaemond tells of accounts, through the daemon: options for shared folders, quotas."""

from __future__ import annotations

import pytest

from tests.support.daemon import Site


def test_shared_folders(site: Site) -> None:
    """Groups, the group's own index, and rights that are taken away while another looks."""
    site.add_account("alice", "pw", OPTIONS="group=staff,sharedgroup=-office")
    site.add_account("bob", "pw", OPTIONS="sharedgroup=-office")
    site.add_account("carol", "pw")
    lines = "".join(f"{name}\t1\t1\t{site.homes}/{name}\n" for name in ("alice", "bob", "carol"))
    (site.etc / "index-office").write_text(lines)
    daemon = site.start(
        IMAP_SHAREDINDEXFILE=str(site.etc / "index"),
        IMAP_ACL="1",
        IMAP_CAPABILITY="IMAP4rev1 ACL",
    )
    peers = [daemon.session(name, "pw") for name in ("alice", "bob", "carol")]
    alice, bob, carol = (peer.imap() for peer in peers)
    bob.command("CREATE INBOX.plans")
    bob.command("SETACL INBOX.plans group=staff lrsi")

    assert alice.command('LIST "" "#shared.*"').lines == [
        '* LIST (\\HasNoChildren) "." "#shared.bob.plans"',
        '* LIST (\\Noselect \\HasChildren) "." "#shared.bob"',
    ]
    assert carol.command('LIST "" "#shared.*"').lines == []
    alice.command("SELECT #shared.bob.plans")
    bob.command("SELECT INBOX.plans")
    alice.append("#shared.bob.plans", b"Subject: x\r\n\r\n", "(\\Seen)")
    assert "* 1 EXISTS" in bob.command("NOOP").lines

    bob.command("DELETEACL INBOX.plans group=staff")

    assert alice.try_command("FETCH 1 FLAGS").status == "NO"
    assert bob.command("FETCH 1 FLAGS").lines == ["* 1 FETCH (FLAGS (\\Seen))"]
    for peer in peers:
        peer.close()


@pytest.mark.parametrize(("setting", "limit"), [("0", 5), ("1", 2)])
def test_quota_of_an_account(site: Site, setting: str, limit: int) -> None:
    """The file counts, as with Courier, unless the setting says that the account's quota does."""
    maildir = site.add_account("alice", "pw", QUOTA="2C")
    (maildir / "maildirsize").write_text("5C\n0 0\n")
    (maildir / "maildirsize").chmod(0o666)
    daemon = site.start(IMAP_ACCOUNT_QUOTA=setting)
    peer = daemon.session("alice", "pw")

    told = peer.imap().command("GETQUOTA ROOT").lines

    assert told == [f'* QUOTA "ROOT" (MESSAGE 0 {limit})']
    peer.close()
