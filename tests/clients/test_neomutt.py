"""NeoMutt through its tunnel, driven by commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.conftest import Run
from tests.conftest import Start
from tests.support.maildirs import deliver, make_folder, message_files
from tests.support.messages import CATALOGUE, REALISTIC

pytestmark = [pytest.mark.slow, pytest.mark.client]


@pytest.fixture
def settings(tmp_path: Path, tunnel: str) -> str:
    """A configuration that reaches the server through the tunnel and asks nothing."""
    path = tmp_path / "neomuttrc"
    path.write_text(
        f"""
set tunnel = "{tunnel}"
set tunnel_is_secure = yes
set folder = imap://demo@localhost/
set spoolfile = imap://demo@localhost/INBOX
set header_cache = "{tmp_path}/cache"
set message_cachedir = "{tmp_path}/cache"
set copy = no
set quit = yes
set delete = yes
set confirmappend = no
set wait_key = no
set beep = no
set sort = mailbox-order
set date_format = ""
set index_format = "%C %s"
"""
    )
    return str(path)


def test_reading_flagging_copying_and_deleting(
    maildir: Path, settings: str, run_in_terminal: Run
) -> None:
    """Opening every message, flagging, copying to a folder and expunging ends as it should."""
    for number, message in enumerate(CATALOGUE.values()):
        deliver(maildir, message, number=number)
    make_folder(maildir, "INBOX.Copies")

    keys = (
        "push '<first-entry><display-message>"
        + "<next-entry>" * (len(CATALOGUE) - 1)
        + "<exit><first-entry><flag-message><first-entry><copy-message>=INBOX.Copies<enter>"
        + "<last-entry><delete-message><sync-mailbox><quit>'"
    )
    run_in_terminal("neomutt", "-F", settings, "-e", keys)

    files = message_files(maildir)
    assert len(files) == len(CATALOGUE) - 1
    assert all("S" in flags for flags in files.values())
    assert [flags for flags in files.values() if "F" in flags] == ["FS"]
    (copied,) = (maildir / ".Copies" / "cur").iterdir()
    assert copied.read_bytes() == CATALOGUE["plain"]


def test_headers_reach_the_index(
    maildir: Path, settings: str, run_in_terminal: Run, start: Start
) -> None:
    """A search by subject, in other scripts too, finds its message and tags it for flagging."""
    for number, message in enumerate(REALISTIC.values()):
        deliver(maildir, message, number=number, flags="S")

    keys = "push '<tag-pattern>~s Grüße<enter><tag-prefix><flag-message><sync-mailbox><quit>'"
    run_in_terminal("neomutt", "-F", settings, "-e", keys)

    client = start().client
    client.command("SELECT INBOX")
    (seq,) = client.search("FLAGGED")
    envelope = client.fetch(str(seq), "ENVELOPE")[seq]["ENVELOPE"]
    assert isinstance(envelope, list)
    assert isinstance(envelope[1], bytes)
    assert envelope[1].startswith(b"=?utf-8?b?R3LDvMOfZSB")


@pytest.mark.parametrize("extension", ["condstore", "qresync"])
def test_what_others_changed_between_two_sessions(
    maildir: Path, settings: str, tmp_path: Path, run_in_terminal: Run, extension: str
) -> None:
    """The header cache of the first session is put right by what MODSEQs tell in the second."""
    for number in range(6):
        deliver(maildir, b"Subject: number %d\n\nbody\n" % number, number=number, flags="S")
    log = tmp_path / "debug"
    program = ["neomutt", "-F", settings, "-d", "2", "-l", str(log)]
    program += ["-e", f"set imap_{extension}=yes"]
    run_in_terminal(*program, "-e", "push '<last-entry><quit>'")
    cur = maildir / "cur"
    files = sorted(cur.iterdir())
    files[1].unlink()
    files[3].rename(cur / files[3].name.replace(":2,S", ":2,FS"))
    deliver(maildir, b"Subject: number 6\n\nbody\n", number=6, flags="S")

    keys = "push '<tag-pattern>~F<enter><tag-prefix><delete-message><sync-mailbox><quit>'"
    run_in_terminal(*program, "-e", keys)

    left = [path.read_bytes().split(b"\n")[0] for path in sorted(cur.iterdir())]
    assert left == [b"Subject: number %d" % number for number in (0, 2, 4, 5, 6)]
    conversation = "".join(path.read_text(errors="replace") for path in tmp_path.glob("debug*"))
    asked = {"condstore": "(CHANGEDSINCE ", "qresync": " VANISHED)"}
    assert asked[extension] in conversation
