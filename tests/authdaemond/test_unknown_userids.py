"""An unknown userid costs what a wrong password costs: the hashes made are counted, not timed."""

from __future__ import annotations

import pwd
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from authdaemond import chain
from authdaemond.backends import (
    authcustom,
    authpam,
    authsqlite,
    authuserdb,
    authvchkpw,
    shadow,
)
from authdaemond.backends.authshadow import AuthShadow
from authdaemond.backends.backend import Backend
from authdaemond.chain import Answer, Ask, Reply, Usual
from authdaemond.success_cache import SuccessCache
from authdaemond.worker import _Worker
from courier.auth import libcrypt, passwords, scram
from courier.auth.account import Secret
from courier.auth.challenge import Challenges
from courier.auth.request import Authenticate
from tests.authdaemond.conftest import write_userdb
from tests.support.databases import rc_file

YESCRYPT = libcrypt.crypt(b"secret", libcrypt.setting(b"$y$", 1)).decode()
SHA512 = libcrypt.crypt(b"secret", b"$6$rounds=1000$abcdefgh").decode()
BCRYPT = libcrypt.crypt(b"secret", libcrypt.setting(b"$2b$", 4)).decode()
SCRAM = scram.write(scram.made(b"SCRAM-SHA-256", b"secret")).decode()
STORED = {"known": YESCRYPT, "locked": f"!{YESCRYPT}", "without": ""}


def userdb(place: Path) -> Backend:
    lines = "".join(
        f"{name}\tuid=1|gid=1|home=/h{'|systempw=' * bool(stored)}{stored}\n"
        for name, stored in STORED.items()
    )
    write_userdb(place / "userdb", lines.encode())
    return authuserdb.AuthUserdb(place / "userdb")


def sqlite(place: Path) -> Backend:
    with sqlite3.connect(place / "db") as made:
        made.execute("CREATE TABLE passwd (id, crypt, uid, gid, home)")
        made.executemany("INSERT INTO passwd VALUES (?, ?, 1, 1, '/h')", [*STORED.items()])
    settings = {
        "SQLITE_DATABASE": str(place / "db"),
        "SQLITE_USER_TABLE": "passwd",
        "SQLITE_CRYPT_PWFIELD": "crypt",
    }
    rc_file(place / "authsqliterc", [*settings.items()])
    return authsqlite.AuthSqlite(place / "authsqliterc")


def vchkpw(place: Path) -> Backend:
    (place / "users").mkdir()
    lines = "".join(f"{name}:{stored}:0:0:x:/h:NOQUOTA\n" for name, stored in STORED.items())
    (place / "users/vpasswd").write_text(lines)
    return authvchkpw.AuthVchkpw(place, place / "assign")


def custom(place: Path) -> Backend:
    file = place / "authcustom.py"
    file.write_text(
        f"stored = {STORED!r}\n"
        "def lookup(service, userid):\n"
        "    if userid in stored:\n"
        "        found = {'ADDRESS': userid, 'HOME': '/h', 'UID': 1, 'GID': 1}\n"
        "        return found | ({'PASSWD': stored[userid]} if stored[userid] else {})\n"
    )
    file.chmod(0o600)
    place.chmod(0o700)
    return authcustom.AuthCustom(file)


def system(place: Path) -> Backend:
    lines = "".join(f"{name}:{stored}:19000:0:99999:7:::\n" for name, stored in STORED.items())
    (place / "shadow").write_text(lines)
    return AuthShadow()


class Pam:
    """PAM with a module that compares hashes, as pam_unix does."""

    handle = None
    code = 0
    messages: tuple[str, ...] = ()

    def pam_start(self, *_: object) -> int:
        return 0

    pam_authenticate = pam_acct_mgmt = pam_set_item = pam_start

    def authenticate(self, userid: bytes, password: bytes, service: bytes, **_: object) -> bool:
        stored = STORED[userid.decode()].encode()
        try:
            return libcrypt.crypt(password, stored) == stored
        except libcrypt.CryptError:
            return False


def pam(place: Path) -> Backend:
    system(place)
    made = authpam.AuthPam()
    made._prototype = Pam()
    return made


BACKENDS: Mapping[str, Callable[[Path], Backend]] = {
    "authuserdb": userdb,
    "authsqlite": sqlite,
    "authvchkpw": vchkpw,
    "authcustom": custom,
    "authshadow": system,
    "authpam": pam,
}


class Daemon:
    """The chain with its workers, in this process; it counts the hashes that they make."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, usual: Usual, **backends: Backend) -> None:
        self.usual = usual
        self.hashes: list[bytes] = []
        self.replies: list[Reply] = []
        self._workers = {
            name: _Worker(None, name, backend, "")  # type: ignore[arg-type]
            for name, backend in backends.items()
        }
        real = libcrypt.crypt

        def crypt(password: bytes, setting: bytes) -> bytes:
            made = real(password, setting)  # raises for what is no setting
            self.hashes.append(setting)
            return made

        monkeypatch.setattr(libcrypt, "crypt", crypt)

    def log_in(self, userid: str, password: str) -> int:
        """Give the number of hashes that an attempt costs."""
        self.hashes.clear()
        request = Authenticate(b"imap", b"login", userid.encode(), Secret(password.encode()))
        steps = chain.steps(
            request, [*self._workers], SuccessCache(0), Challenges(b"key"), self.usual
        )
        answer: Answer | None = None
        self.replies.clear()
        while True:
            try:
                step = next(steps) if answer is None else steps.send(answer)
            except StopIteration:
                return len(self.hashes)
            answer = None
            if isinstance(step, Ask):
                answer = self._workers[step.module]._answer(step.request)
            else:
                self.replies.append(step)


@pytest.fixture(autouse=True)
def system_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The users of /etc/passwd and /etc/shadow, and vpopmail."""

    def getpwnam(name: str) -> pwd.struct_passwd:
        if name not in (*STORED, "vpopmail"):
            raise KeyError(name)
        return pwd.struct_passwd((name, "x", 1, 1, "", "/h", "/bin/sh"))

    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    real = shadow.entry
    monkeypatch.setattr(shadow, "entry", lambda name: real(name, tmp_path / "shadow"))


@pytest.mark.parametrize("name", BACKENDS)
def test_each_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """One hash for a right password, a wrong one, a locked account, one without a password, and
    nobody; with the method and the cost of the accounts that there are."""
    daemon = Daemon(monkeypatch, Usual(), **{name: BACKENDS[name](tmp_path)})

    assert daemon.log_in("known", "secret") == 1 and daemon.replies[0].data != b"FAIL\n"
    for userid in ("known", "locked", "without", "nobody"):
        assert daemon.log_in(userid, "wrong") == 1, userid
        assert daemon.hashes[0].startswith(YESCRYPT[:6].encode())
        assert daemon.replies == [Reply(b"FAIL\n")]


def test_before_anybody_has_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What new passwords are hashed with is what is usual."""
    best = libcrypt.setting()
    daemon = Daemon(monkeypatch, Usual(best), authuserdb=userdb(tmp_path))

    assert daemon.log_in("nobody", "wrong") == 1
    assert daemon.hashes == [best]


def test_several_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One hash in all, wherever the account is; who logs in pays for no module that comes before."""
    write_userdb(tmp_path / "userdb", f"other\tuid=1|gid=1|home=/h|systempw={SHA512}\n".encode())
    first = authuserdb.AuthUserdb(tmp_path / "userdb")
    daemon = Daemon(monkeypatch, Usual(), authuserdb=first, authsqlite=sqlite(tmp_path))

    assert daemon.log_in("known", "secret") == 1
    for userid in ("known", "other", "nobody", "locked"):
        assert daemon.log_in(userid, "wrong") == 1, userid


def test_cheap_passwords_make_unknown_userids_cheap(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_userdb(tmp_path / "userdb", b"known\tuid=1|gid=1|home=/h|systempw={SHA}x\n")
    backend = authuserdb.AuthUserdb(tmp_path / "userdb")
    daemon = Daemon(monkeypatch, Usual(YESCRYPT.encode()), authuserdb=backend)

    assert daemon.log_in("nobody", "wrong") == 1
    assert daemon.log_in("known", "wrong") == 0
    assert daemon.log_in("nobody", "wrong") == 0


def test_delay_of_a_module_is_everybody_s() -> None:
    """PAM's, for instance: who is unknown waits as long as who is known."""
    usual = Usual()
    usual.saw(Answer(chain.Verdict.REJECTED, delay_s=2.5, compared=b"$1$x$"))
    steps = chain.steps(
        Authenticate(b"imap", b"login", b"nobody", Secret(b"x")),
        ["authpam"],
        SuccessCache(0),
        Challenges(b"key"),
        usual,
    )
    assert isinstance(next(steps), Ask)
    second = steps.send(Answer(chain.Verdict.REJECTED))
    assert isinstance(second, Ask) and second.request == Authenticate(
        b"imap", b"nobody", b"$1$x$", Secret(b"x")
    )
    assert steps.send(Answer(chain.Verdict.REJECTED)) == Reply(b"FAIL\n", 2.5)


@pytest.mark.parametrize(
    "stored", [YESCRYPT, SHA512, BCRYPT, "abNANd1rDfiNc", "{CRYPT}" + SHA512, SCRAM,
               "{SSHA}+RFhsab2AfzZ0VfEdyknXtUT06RhYmNk", "{SHA256}x", "{MD5}x", "{sha}x"],
    ids=["yescrypt", "sha512", "bcrypt", "des", "prefixed", "scram", "ssha", "sha256", "md5", "sha"],
)  # fmt: skip
def test_what_nobody_has(monkeypatch: pytest.MonkeyPatch, stored: str) -> None:
    """It tells method and cost, keeps no hash, and no password fits it."""
    made: list[bytes] = []
    real = libcrypt.crypt

    def crypt(password: bytes, setting: bytes) -> bytes:
        made.append(setting)
        return real(password, setting)

    monkeypatch.setattr(libcrypt, "crypt", crypt)
    nobodys = passwords.nobodys(stored.encode())

    assert nobodys and not passwords.fits(b"secret", nobodys)
    assert stored.encode()[-8:] not in nobodys or stored.endswith("}x")
    count = len(made)
    passwords.fits(b"secret", stored.encode())
    assert len(made) == 2 * count


@pytest.mark.parametrize("stored", ["", "*", "!", "!" + SHA512, "x", "{PLAIN}secret", "secret"])
def test_what_is_no_password(stored: str) -> None:
    assert passwords.nobodys(stored.encode()) == b""
