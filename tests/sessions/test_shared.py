"""Shared folders between two users of the system: only file permissions join them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from courier import log
from tests.conftest import Start
from tests.imapd.driver import Driven
from tests.support.client import Client
from tests.support.maildirs import deliver, make_maildir
from tests.support.servers import OURS, REAL, Implementation
from tools import maildirmake

root = pytest.mark.root
ALICE, BOB = 12001, 12002


def run_as(uid: int, action: Callable[[], None]) -> None:
    """Run ``action`` in a process of this user; an exception in it fails the test."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            action()
            code = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr)
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def give(uid: int, path: Path) -> None:
    for one in (path, *path.rglob("*")):
        os.chown(one, uid, uid, follow_symlinks=False)


def open_up(path: Path, mode: int = 0o755) -> None:
    """Let others read a directory tree."""
    for one in (path, *path.rglob("*")):
        one.chmod(mode if one.is_dir() else 0o644)


def contents(path: Path) -> list[tuple[str, bytes]]:
    return sorted((str(p), p.read_bytes() if p.is_file() else b"") for p in path.rglob("*"))


@pytest.fixture
def homes() -> Iterator[Path]:
    """Maildirs of two users, and a directory that both may enter (pytest's own is root's alone)."""
    if os.geteuid() != 0:
        pytest.skip("missing: root, to become other users")
    place = Path(tempfile.mkdtemp(prefix="pycourier-"))
    place.chmod(0o755)
    for user, uid in (("alice", ALICE), ("bob", BOB)):
        give(uid, make_maildir(place / user / "Maildir").parent)
    (place / "index").write_text(f"bob\t{BOB}\t{BOB}\t{place}/bob\n")
    (place / "log").touch()
    (place / "log").chmod(0o666)
    yield place
    log.use(2)
    logged = (place / "log").read_text()
    shutil.rmtree(place)
    assert "Traceback" not in logged


def session(homes: Path, user: str = "alice", **settings: str) -> Driven:
    log.use(os.open(homes / "log", os.O_WRONLY | os.O_APPEND))
    environ = {"IMAP_SHAREDINDEXFILE": str(homes / "index"), "IMAP_ACL": "1", **settings}
    return Driven(homes / user / "Maildir", environ, user=user)


def last(driven: Driven, line: str) -> str:
    return driven.ask(line)[-1].line


@root
def test_virtual_folder_that_permissions_let_us_read(homes: Path) -> None:
    """It can be read with the UIDs it has; nothing in it changes, whatever the list permits."""
    bob = homes / "bob" / "Maildir"
    deliver(bob, b"Subject: one\n\nbody\n", number=1, flags="")
    (bob / "courierimapacl").write_text("owner aceilrstwx\nanyone aceilrstwx\n")
    give(BOB, bob)
    run_as(BOB, lambda: session(homes, "bob").send(b"a SELECT INBOX\r\n") and None)
    open_up(bob)
    before = contents(bob)

    def look() -> None:
        alice = session(homes)
        assert [r.line for r in alice.ask('a LIST "" "#shared.*"')][:-1] == [
            '* LIST (\\HasNoChildren) "." "#shared.bob"'
        ]
        opening = [r.line for r in alice.ask("a SELECT #shared.bob")]
        assert "* 1 EXISTS" in opening
        assert opening[-1] == "a OK [READ-ONLY] Ok"
        assert b"Subject: one" in alice.send(b"b FETCH 1 (UID BODY[])\r\n")
        assert last(alice, "c STORE 1 +FLAGS (\\Seen)").startswith("c NO")
        assert last(alice, "d EXPUNGE").startswith("d NO")
        assert last(alice, "e SETACL #shared.bob alice lr").startswith("e NO")
        assert last(alice, "f CREATE #shared.bob.x").startswith("f NO")
        assert last(alice, "g APPEND #shared.bob {1+}\r\nx").startswith("g NO")
        assert last(alice, "h COPY 1 #shared.bob").startswith("h NO")
        assert last(alice, "i COPY 1 INBOX").startswith("i OK")
        assert last(alice, "j STATUS #shared.bob (MESSAGES UNSEEN)").startswith("j OK")
        alice.close()

    run_as(ALICE, look)

    assert contents(bob) == before


@root
def test_virtual_folder_that_permissions_keep_us_out_of(homes: Path) -> None:
    """To whom the system refuses it, it does not exist."""
    (homes / "bob" / "Maildir" / "courierimapacl").write_text("owner al\nanyone lr\n")
    give(BOB, homes / "bob")

    def look() -> None:
        alice = session(homes)
        assert [r.line for r in alice.ask('a LIST "" "#shared.*"')] == ["a OK LIST completed"]
        for command in (
            "SELECT #shared.bob",
            "MYRIGHTS #shared.bob",
            "STATUS #shared.bob (UNSEEN)",
        ):
            assert "does not exist" in last(alice, f"a {command}")
        alice.close()

    run_as(ALICE, look)


def make(arguments: list[str]) -> None:
    assert maildirmake.main(arguments) == 0


def sharable(homes: Path, mode: str) -> Path:
    """A folder of bob's that alice knows of, with two messages, made as administrators do it."""
    pub, own = homes / "pub", homes / "alice" / "Maildir"
    for arguments in (["-S", pub], ["-s", mode, "-f", "news", pub], ["--add", f"pub={pub}", own]):
        # In a process of its own, since root becomes the maildir's owner there.
        run_as(0, partial(make, [str(one) for one in arguments]))
    folder = pub / ".news"
    for number in (1, 2):
        deliver(folder, b"Subject: %d\n\nbody\n" % number, number=number, flags="")
    give(BOB, pub)
    give(ALICE, own)
    return folder


@root
def test_folder_shared_for_reading(homes: Path) -> None:
    """Flags are the reader's own, and can be changed; messages can't."""
    folder = sharable(homes, "read")
    before = contents(folder)

    def look() -> None:
        alice = session(homes)
        opening = [r.line for r in alice.ask("a SELECT shared.pub.news")]
        assert "* OK [PERMANENTFLAGS (\\* \\Draft \\Answered \\Flagged \\Seen)] Limited" in opening
        assert '* OK [MYRIGHTS "lrsw"] ACL' in opening
        assert opening[-1] == "a OK [READ-WRITE] Ok"
        stored = [r.line for r in alice.ask("b STORE 1 +FLAGS (\\Seen \\Deleted)")]
        assert stored[0] == "* 1 FETCH (FLAGS (\\Seen \\Recent))"
        assert last(alice, "c EXPUNGE").startswith("c NO [NOPERM]")
        assert last(alice, "d APPEND shared.pub.news {1+}\r\nx").startswith("d NO [NOPERM]")
        assert last(alice, "e MOVE 1 INBOX").startswith("e NO [NOPERM]")
        alice.close()
        again = session(homes)
        again.ask("a SELECT shared.pub.news")
        assert again.ask("b FETCH 1:2 (UID FLAGS)")[0].line == "* 1 FETCH (UID 1 FLAGS (\\Seen))"
        again.close()

    run_as(ALICE, look)

    assert contents(folder) == before


@root
def test_folder_shared_for_writing(homes: Path) -> None:
    """Everybody adds messages, and removes his own alone."""
    folder = sharable(homes, "write")

    def look() -> None:
        alice = session(homes)
        alice.ask("a SELECT shared.pub.news")
        assert "[APPENDUID" in last(alice, "b APPEND shared.pub.news {1+}\r\nx")
        assert last(alice, "c STORE 1:3 +FLAGS.SILENT (\\Deleted)").startswith("c OK")
        expunged = [r.line for r in alice.ask("d EXPUNGE")]
        assert "* 3 EXPUNGE" in expunged
        assert "* 2 EXISTS" in expunged
        assert [line for line in expunged if "Deleted" in line] == []
        assert "* 1 FETCH (FLAGS (\\Recent))" in expunged  # what stays is marked no more
        alice.close()

    run_as(ALICE, look)

    assert len(os.listdir(folder / "cur")) == 2
    assert not (folder / "courierimapuiddb").exists()


@root
def test_several_messages_and_their_replacement(homes: Path) -> None:
    """One's own message is replaced, another's stays and nothing is added; all have lasting identifiers."""
    folder = sharable(homes, "write")
    before = len(os.listdir(folder / "cur"))

    def look() -> None:
        alice = session(homes)
        told = [r.code for r in alice.ask("a SELECT shared.pub.news")]
        (identifier,) = [code for code in told if code.startswith("MAILBOXID")]
        status = alice.ask("b STATUS shared.pub.news (MAILBOXID)")[0].line
        assert identifier in status
        sent = last(alice, "c APPEND shared.pub.news {1+}\r\nx {1+}\r\ny")
        assert re.search(r"\[APPENDUID \d+ 3:4\]", sent), sent
        told = [r.line for r in alice.ask("d UID REPLACE 4 shared.pub.news {1+}\r\nz")]
        assert told[-1].startswith("d OK"), told
        assert "* 4 EXPUNGE" in told
        told = [r.line for r in alice.ask("e UID REPLACE 1 shared.pub.news {1+}\r\nz")]
        assert told[-1].startswith("e NO"), told
        assert not [line for line in told if "EXPUNGE" in line and not line.startswith("* 5")]
        url = '"/shared.pub.news/;UID=3"'
        assert last(alice, f"f APPEND INBOX CATENATE (URL {url} TEXT {{1+}}\r\n!)").startswith(
            "f OK"
        )
        alice.close()

    run_as(ALICE, look)

    assert len(os.listdir(folder / "cur")) == before + 2
    (copied,) = (homes / "alice" / "Maildir" / "cur").iterdir()
    assert copied.read_bytes() == b"x\n!"


@root
@pytest.mark.slow
@pytest.mark.courier
def test_beside_courier(homes: Path, courier: Implementation) -> None:
    """Real Courier and ours in turn on one user's links: UIDs, flags and keywords stay."""
    folder = sharable(homes, "read")
    own = homes / "alice" / "Maildir"

    def real(script: bytes) -> bytes:
        done = subprocess.run(
            REAL.command_line(own),
            input=script,
            capture_output=True,
            env=REAL.variables({"AUTHENTICATED": "alice"}),
            cwd=homes / "alice",
            user=ALICE,
            group=ALICE,
            extra_groups=[],
            timeout=30,
            check=False,
        )
        return done.stdout + done.stderr

    def ours(*lines: str) -> None:
        def look() -> None:
            alice = session(homes)
            for line in lines:
                (homes / "log").open("a").write(alice.send(line.encode() + b"\r\n").decode())
            alice.close()

        run_as(ALICE, look)

    try:
        first = real(b"a SELECT shared.pub.news\r\nb STORE 2 +FLAGS (\\Flagged word)\r\n")
    except PermissionError:
        pytest.skip("missing: Courier where other users may run it")
    assert b"b OK STORE" in first, first
    deliver(folder, b"Subject: 3\n\nbody\n", number=3, flags="")
    ours("a SELECT shared.pub.news", "b FETCH 1:* (UID FLAGS)", "c STORE 3 +FLAGS (\\Seen other)")
    told = (homes / "log").read_text()
    assert "* 2 FETCH (UID 2 FLAGS (\\Flagged word))" in told, told
    assert "c OK STORE completed." in told

    second = real(b"a SELECT shared.pub.news\r\nb FETCH 1:* (UID FLAGS)\r\n")

    assert b"* 2 FETCH (UID 2 FLAGS (\\Flagged word))" in second, second.decode()
    assert b"* 3 FETCH (UID 3 FLAGS (\\Seen other))" in second, second.decode()


@root
def test_shared_folder_that_is_closed_for_a_while(homes: Path) -> None:
    """It does not exist meanwhile. Then it is there again, with the reader's UIDs and flags."""
    folder = sharable(homes, "read")

    def asked(*lines: str) -> Callable[[], None]:
        def ask() -> None:
            alice = session(homes)
            for line, end in zip(lines[::2], lines[1::2], strict=True):
                assert last(alice, line).startswith(end), line
            alice.close()

        return ask

    run_as(ALICE, asked("a SELECT shared.pub.news", "a OK", "b STORE 2 FLAGS (\\Flagged)", "b OK"))
    os.utime(folder / "cur")
    folder.parent.chmod(0o700)
    run_as(
        ALICE,
        asked("a SELECT shared.pub.news", "a NO", "b STATUS shared.pub.news (UNSEEN)", "b NO"),
    )
    folder.parent.chmod(0o755)

    def look() -> None:
        alice = session(homes)
        alice.ask("a SELECT shared.pub.news")
        told = [r.line for r in alice.ask("b FETCH 1:2 (UID FLAGS)")][:-1]
        assert told == ["* 1 FETCH (UID 1 FLAGS ())", "* 2 FETCH (UID 2 FLAGS (\\Flagged))"]
        alice.close()

    run_as(ALICE, look)


@pytest.mark.slow
@pytest.mark.courier
def test_lists_beside_courier(tmp_path: Path, courier: Implementation, start: Start) -> None:
    """Lists that one of the two servers writes are those that the other goes by."""
    for user in ("alice", "bob"):
        make_maildir(tmp_path / user / "Maildir")
    (tmp_path / "index").write_text(f"bob\t1\t1\t{tmp_path}/bob\n")

    def session_of(user: str, which: Implementation) -> Client:
        settings = {
            "AUTHENTICATED": user,
            "IMAP_SHAREDINDEXFILE": str(tmp_path / "index"),
            "IMAP_EXTENSIONS": "0",
            "OPTIONS": "group=staff" if user == "alice" else "",
        }
        return start(which, settings, tmp_path / user / "Maildir").client

    ours, real = (session_of("bob", which) for which in (OURS, courier))
    alice = [session_of("alice", which) for which in (OURS, courier)]
    ours.command("CREATE INBOX.a")
    ours.command("CREATE INBOX.a.b")
    real.command("CREATE INBOX.c")
    real.command('LIST "" "*"')

    def rights(name: str) -> list[str]:
        found = []
        for client in alice:
            reply = client.try_command(f"MYRIGHTS #shared.bob{name}")
            found.append(reply.lines[0].split('"')[3] if reply.status == "OK" else "")
        return found

    assert rights(".a") == ["", ""]
    ours.command("SETACL INBOX alice lr")
    assert rights("") == ["lr", "lr"]
    assert rights(".a") == rights(".a.b") == rights(".c") == ["", ""]
    real.command("SETACL INBOX.a alice lrswi")
    ours.command("ACL STORE INBOX.a group=staff +d")
    ours.command("SETACL INBOX.a -alice s")
    assert rights(".a") == ["dilrw", "dilrw"]
    assert rights(".a.b") == ["", ""]
    real.command("DELETE INBOX.a")
    ours.command("CREATE INBOX.a")
    assert rights(".a") == ["dilrw", "dilrw"]  # the level kept its list
    ours.command("RENAME INBOX.a INBOX.c.a")
    assert rights(".c.a") == ["dilrw", "dilrw"]
    assert rights(".c.a.b") == ["", ""]
    ours.command("DELETE INBOX.c.a")
    real.command("CREATE INBOX.c.a")
    assert rights(".c.a") == ["dilrw", "dilrw"]
    real.command("DELETEACL INBOX.c.a alice")
    real.command("DELETEACL INBOX.c.a -alice")
    assert rights(".c.a") == ["d", "d"]


@root
def test_copy_that_its_reader_can_read(homes: Path) -> None:
    """What is copied into another user's folder is no link to a file that only we may read."""
    folder = sharable(homes, "write")
    own = homes / "alice" / "Maildir"
    deliver(own, b"Subject: mine\n\nbody\n", number=9, flags="")
    give(ALICE, own)
    for file in (own / "cur").iterdir():
        file.chmod(0o644)

    def copy() -> None:
        alice = session(homes)
        alice.ask("a SELECT INBOX")
        assert "[COPYUID" in last(alice, "b COPY 1 shared.pub.news")
        alice.close()

    run_as(ALICE, copy)

    (mine,) = [file for file in (folder / "cur").iterdir() if file.stat().st_uid == ALICE]
    assert mine.stat().st_nlink == 1
    run_as(BOB, lambda: mine.read_bytes() and None)


@root
def test_virtual_folder_that_others_may_write(homes: Path) -> None:
    """What another user does there the owner finds, with the same UIDs; the index is the owner's alone."""
    bob = homes / "bob" / "Maildir"
    deliver(bob, b"Subject: one\n\nbody\n", number=1, flags="")
    (bob / "courierimapacl").write_text("owner aceilrstwx\nuser=alice aceilrstwx\n")
    give(BOB, bob)
    run_as(BOB, lambda: session(homes, "bob").send(b"a SELECT INBOX\r\n") and None)
    for directory in (bob, bob / "new", bob / "cur", bob / "tmp"):
        directory.chmod(0o777)

    def write() -> None:
        alice = session(homes, IMAP_KEYWORDS="0")
        assert last(alice, "a SELECT #shared.bob") == "a OK [READ-WRITE] Ok"
        assert "[APPENDUID" in last(alice, "b APPEND #shared.bob (\\Flagged) {1+}\r\nx")
        assert last(alice, "c STORE 1:2 +FLAGS (\\Seen)").startswith("c OK")
        assert last(alice, "d SETACL #shared.bob carol lr").startswith("d OK")
        alice.close()

    run_as(ALICE, write)

    ours = [path for path in bob.rglob("pycourier-*") if path.stat().st_uid != BOB]
    assert ours == []

    def read() -> None:
        session_of_bob = session(homes, "bob")
        session_of_bob.ask("a SELECT INBOX")
        told = [r.line for r in session_of_bob.ask("b FETCH 1:* (UID FLAGS)")][:-1]
        assert told == [
            "* 1 FETCH (UID 1 FLAGS (\\Seen))",
            "* 2 FETCH (UID 2 FLAGS (\\Flagged \\Seen))",
        ]
        session_of_bob.close()

    run_as(BOB, read)


@root
def test_search_over_virtual_folders(homes: Path) -> None:
    """RFC 7377 2.2: those that may be read, and if they are not named known; nothing changes in them."""
    bob = homes / "bob" / "Maildir"
    for name, rights in (("", "lr"), (".named", "r"), (".listed", "l"), (".open", "lr")):
        folder = make_maildir(bob / name) if name else bob
        if name:
            (folder / "maildirfolder").touch()
        deliver(folder, b"Subject: one\n\nbody\n", number=1, flags="")
        (folder / "courierimapacl").write_text(f"owner aceilrstwx\nanyone {rights}\n")
    give(BOB, bob)
    for name in ("INBOX", "INBOX.named", "INBOX.listed", "INBOX.open"):
        select = f"a SELECT {name}\r\n".encode()
        run_as(BOB, lambda select=select: session(homes, "bob").send(select) and None)  # type: ignore[misc]
    open_up(bob)
    before = contents(bob)

    def look() -> None:
        alice = session(homes)

        def found(sources: str) -> list[object]:
            responses = alice.ask(f"a ESEARCH IN ({sources}) SUBJECT one")
            assert responses[-1].name == "OK"
            return sorted(one.values[1] for one in responses if one.name == "ESEARCH")  # type: ignore[type-var]

        known = [b"#shared.bob", b"#shared.bob.open"]
        assert found("subtree #shared.bob") == known
        assert found("subtree #shared") == known
        assert found("subtree-one #shared.bob") == known
        assert found("mailboxes (#shared.bob.named #shared.bob.listed)") == [b"#shared.bob.named"]
        assert found("personal") == []
        alice.ask("s SUBSCRIBE #shared.bob.open")
        assert found("subscribed") == [b"#shared.bob.open"]
        alice.close()

    run_as(ALICE, look)

    assert contents(bob) == before
