"""courier.maildir.subscriptions: courierimapsubscribed."""

import os
import threading
from pathlib import Path

import pytest

from courier.maildir import old_names, subscriptions
from tests.conftest import Start
from tests.support.servers import Implementation


def test_no_file_and_empty_file(maildir: Path) -> None:
    assert subscriptions.read(str(maildir)) == []
    (maildir / "courierimapsubscribed").touch()
    assert subscriptions.read(str(maildir)) == []


def test_add_and_remove(maildir: Path) -> None:
    """Names are kept in order; a name is added once; only a listed one is removed."""
    assert subscriptions.add(str(maildir), "INBOX.b")
    assert subscriptions.add(str(maildir), "INBOX.Résumé")
    assert not subscriptions.add(str(maildir), "inbox.b")
    assert subscriptions.add(str(maildir), "INBOX.B")
    assert not subscriptions.remove(str(maildir), "INBOX.c")
    assert subscriptions.remove(str(maildir), "Inbox.b")

    text = (maildir / "courierimapsubscribed").read_bytes()
    assert text == "INBOX.Résumé\nINBOX.B\n".encode()
    assert subscriptions.read(str(maildir)) == ["INBOX.Résumé", "INBOX.B"]
    assert os.listdir(maildir / "tmp") == []


def test_lines_that_are_not_ours_stay_as_they_are(maildir: Path) -> None:
    """Octets that are no UTF-8, and a last line without LF, survive a change."""
    (maildir / "courierimapsubscribed").write_bytes(b"INBOX.\xff\xfe\n\nINBOX.a")

    subscriptions.add(str(maildir), "#shared.bob")

    assert (
        maildir / "courierimapsubscribed"
    ).read_bytes() == b"INBOX.\xff\xfe\nINBOX.a\n#shared.bob\n"
    assert subscriptions.remove(str(maildir), subscriptions.read(str(maildir))[0])


@pytest.mark.parametrize("name", ["", "INBOX.a\nINBOX.b", "a\r", "a\0", "a\x7f", "x" * 8192])
def test_names_that_are_no_line(maildir: Path, name: str) -> None:
    with pytest.raises(ValueError):
        subscriptions.add(str(maildir), name)
    assert not (maildir / "courierimapsubscribed").exists()


def test_file_replaced_by_a_link(maildir: Path, tmp_path: Path) -> None:
    """It is an error; the list is not taken for empty and overwritten."""
    (tmp_path / "victim").write_bytes(b"INBOX.a\n")
    (maildir / "courierimapsubscribed").symlink_to(tmp_path / "victim")

    with pytest.raises(OSError):
        subscriptions.add(str(maildir), "INBOX.b")
    assert (tmp_path / "victim").read_bytes() == b"INBOX.a\n"


def test_changes_at_the_same_time(maildir: Path) -> None:
    """Of changes made by several sessions at once none is lost."""

    def subscribe(session: int) -> None:
        for number in range(10):
            subscriptions.add(str(maildir), f"INBOX.{session}-{number}")

    threads = [threading.Thread(target=subscribe, args=(session,)) for session in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(subscriptions.read(str(maildir)))) == 40


@pytest.mark.courier
def test_list_shared_with_courier(maildir: Path, courier: Implementation, start: Start) -> None:
    """Courier lists and removes what we add; we read what it adds."""
    server = start(courier)
    subscriptions.add(str(maildir), "INBOX.Résumé")
    server.client.command("SUBSCRIBE INBOX.b")
    subscriptions.add(str(maildir), "INBOX.c")

    assert subscriptions.read(str(maildir)) == ["INBOX.Résumé", "INBOX.b", "INBOX.c"]
    listed = server.client.command('LSUB "" INBOX.*')
    assert {values[-1] for values in listed.named("LSUB")} == {
        b"INBOX.R&AOk-sum&AOk-",
        b"INBOX.b",
        b"INBOX.c",
    }
    server.client.command("UNSUBSCRIBE INBOX.R&AOk-sum&AOk-")
    assert subscriptions.read(str(maildir)) == ["INBOX.b", "INBOX.c"]


def test_names_from_before_courier_5(maildir: Path) -> None:
    """They are what was meant, once, and stay as they are written; unless the maildir has none."""
    path = maildir / "courierimapsubscribed"
    path.write_text("INBOX.R&AOk-\nINBOX.a&b\nINBOX.x&-y\n")
    top = str(maildir)

    assert subscriptions.read(top) == ["INBOX.Ré", "INBOX.a&b", "INBOX.x&y"]
    assert not subscriptions.add(top, "INBOX.Ré")
    assert subscriptions.remove(top, "INBOX.x&y")
    assert path.read_text() == "INBOX.R&AOk-\nINBOX.a&b\n"

    old_names.note_converted(top)
    assert subscriptions.read(top) == ["INBOX.R&AOk-", "INBOX.a&b"]
