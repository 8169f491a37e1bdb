"""imapfilter sorts an account by its owner's rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.conftest import Run
from tests.support.daemon import Site, give
from tests.support.fake_authdaemond import own_ids
from tests.support.maildirs import deliver, make_folder, message_files
from tests.support.messages import CATALOGUE

pytestmark = [pytest.mark.slow, pytest.mark.client]

RULES = """
options.create, options.subscribe, options.starttls = true, true, false
account = IMAP {{ server = '127.0.0.1', port = {port}, username = 'u@example.com', password = 'pw' }}
local mailboxes = account:list_all()
assert(#mailboxes == 1 and mailboxes[1] == 'Old')  -- names below the name space's prefix

inbox = account['INBOX']
local exist, recent, unseen = inbox:check_status()
assert(exist == {count} and unseen == {count})
assert(#inbox:contain_subject('Grüße') == 1 and #inbox:contain_body('München') == 1)
assert(#(inbox:contain_from('john') + inbox:is_larger(50000)) == 2)
assert(#(inbox:is_unseen() * inbox:contain_from('anna')) == 3)

assert(inbox:contain_subject('Report'):move_messages(account['Reports']))
assert(inbox:contain_subject('Minutes'):copy_messages(account['Old']))
inbox:contain_subject('long'):mark_flagged()
inbox:contain_subject('header only'):delete_messages()

local reports = account['Reports']:match_subject('(?i)^report')
assert(#reports == 1)
for _, found in ipairs(reports) do
    local mailbox, uid = table.unpack(found)
    local message = mailbox[uid]
    assert(#message:fetch_message() == message:fetch_size())
    assert(message:fetch_structure()['2'].name == 'report.pdf')
end
"""


def test_rules(site: Site, run: Run, tmp_path: Path) -> None:
    """The rules find what they should, and move, copy, flag and delete it."""
    maildir = site.homes / "u@example.com/Maildir"
    make_folder(maildir, "INBOX.Old")
    for number, message in enumerate(CATALOGUE.values()):
        deliver(maildir, message, number=number)
    give(maildir, *own_ids())
    daemon = site.start()
    rules = tmp_path / "rules.lua"
    rules.write_text(RULES.format(port=daemon.port, count=len(CATALOGUE)))

    said = run("imapfilter", "-c", str(rules))

    (refused,) = [line for line in said.splitlines() if line.startswith("imapfilter:")]
    assert "NO [TRYCREATE]" in refused  # upon which it makes the mailbox
    assert len(message_files(maildir)) == len(CATALOGUE) - 3
    assert sum("F" in flags for flags in message_files(maildir).values()) == 1
    assert len(message_files(maildir / ".Reports")) == 2
    assert len(message_files(maildir / ".Old")) == 2
    daemon.stop()
