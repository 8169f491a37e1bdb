"""SCRAM on the socket: every module's accounts, and those that don't exist."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest

from authdaemond import key
from courier.auth import challenge, scram
from tests.authdaemond.conftest import ACCOUNTS, StartOurs, write_userdb
from tests.support.authdaemon import Daemon
from tests.support.scram import ScramClient, secret

HASHES = {"scram-sha-1": "sha1", "scram-sha-256": "sha256"}
SALT = b"0123456789abcdef"


def line(name: str, fields: Mapping[str, str]) -> bytes:
    own = {"uid": "5000", "gid": "5000", "home": "/h", **fields}
    return (name + "\t" + "|".join(f"{one}={value}" for one, value in own.items()) + "\n").encode()


USERDB = (
    ACCOUNTS
    + line(
        "both@example.com",
        {
            "systempw": "$1$a7tOQywY$tCGKb4xUORKfgL8666FRu/",
            "scram-sha-1pw": secret("sha1", b"secret", SALT, 4096),
            "scram-sha-256pw": secret("sha256", b"secret", SALT, 5000),
            "imap-scram-sha-256pw": secret("sha256", b"of imap", SALT, 4096),
        },
    )
    + line("only@example.com", {"systempw": secret("sha256", b"secret", SALT, 4096)})
)


def ask(daemon: Daemon, authtype: str, first: str, second: bytes, service: str = "pop3") -> bytes:
    payload = f"{service}\n{authtype}\n{first}\n".encode() + second + b"\n"
    return daemon.ask(b"AUTH %d\n" % len(payload) + payload)


def challenge_of(
    daemon: Daemon, client: ScramClient, authtype: str = "scram-sha-256", service: str = "pop3"
) -> bytes:
    client.hash_name = HASHES[authtype]
    client.first()
    told = ask(daemon, authtype, client.userid, client.nonce, service)
    assert told.startswith(b"SASL=r=") and told.endswith(b"\n.\n"), told
    return told[len(b"SASL=") : -len(b"\n.\n")]


def messages(client: ScramClient, told: bytes) -> bytes:
    final = client.final(told)
    return b",".join((client.first().removeprefix(client.header), told, final))


def outcome(
    daemon: Daemon,
    userid: str,
    password: str,
    authtype: str = "scram-sha-256",
    service: str = "pop3",
) -> bytes:
    client = ScramClient(userid, password)
    told = challenge_of(daemon, client, authtype, service)
    said = ask(daemon, authtype + "-proof", userid, messages(client, told), service)
    if said != b"FAIL\n":
        *_, last, end = said.removesuffix(b"\n").split(b"\n")
        assert end == b"." and client.believes(last.removeprefix(b"SASL="))
    return said


@pytest.fixture
def daemon(start: StartOurs, tmp_path: Path) -> Daemon:
    write_userdb(tmp_path / "etc/userdb", USERDB)
    return start()


@pytest.mark.parametrize(
    ("userid", "password", "authtype", "service", "is_let_in"),
    [
        ("both@example.com", "secret", "scram-sha-256", "pop3", True),
        ("both@example.com", "secret", "scram-sha-1", "pop3", True),
        ("both@example.com", "secret", "scram-sha-1", "imap", True),
        ("both@example.com", "of imap", "scram-sha-256", "imap", True),
        ("both@example.com", "secret", "scram-sha-256", "imap", False),
        ("both@example.com", "Secret", "scram-sha-256", "pop3", False),
        ("only@example.com", "secret", "scram-sha-256", "imap", True),
        ("only@example.com", "secret", "scram-sha-1", "imap", False),
        ("vm1@example.com", "secret", "scram-sha-256", "pop3", False),  # a hash of crypt's
        ("nopw", "", "scram-sha-256", "pop3", False),
        ("nobody@example.com", "secret", "scram-sha-256", "pop3", False),
    ],
)
def test_userdb(
    daemon: Daemon, userid: str, password: str, authtype: str, service: str, is_let_in: bool
) -> None:
    """A service's own secret counts alone for it; a password's secret is one of SCRAM's, too."""
    said = outcome(daemon, userid, password, authtype, service)

    assert (said != b"FAIL\n") == is_let_in
    if is_let_in:
        assert f"\nADDRESS={userid}\n".encode() in said


def test_log_in_by_password_where_only_scram_s_secret_is_stored(daemon: Daemon) -> None:
    assert b"ADDRESS=only@example.com" in ask(daemon, "login", "only@example.com", b"secret")
    assert ask(daemon, "login", "only@example.com", b"Secret") == b"FAIL\n"


def test_change_of_password(daemon: Daemon) -> None:
    """All secrets of the old password change; another password's don't."""
    asked = b"PASSWD pop3\tboth@example.com\tsecret\tnew\n"
    assert daemon.ask(asked) == b"OK\n"

    for authtype in HASHES:
        assert outcome(daemon, "both@example.com", "new", authtype) != b"FAIL\n"
        assert outcome(daemon, "both@example.com", "secret", authtype) == b"FAIL\n"
    assert outcome(daemon, "both@example.com", "of imap", service="imap") != b"FAIL\n"


def test_sqlite(start: StartOurs, tmp_path: Path) -> None:
    """A clear text serves both mechanisms, a secret its own."""
    database = tmp_path / "users.db"
    with sqlite3.connect(database) as made:
        made.execute("CREATE TABLE passwd (id, crypt, clear, name, uid, gid, home, maildir)")
        for name, crypt, clear in (
            ("clear@example.com", "", "secret"),
            ("stored@example.com", secret("sha1", b"secret", SALT, 4096), ""),
            ("empty@example.com", "", ""),
        ):
            made.execute(
                "INSERT INTO passwd VALUES (?, ?, ?, '', 5000, 5000, '/h', '')",
                (name, crypt, clear),
            )
    (tmp_path / "etc").mkdir(exist_ok=True)
    (tmp_path / "etc/authsqliterc").write_text(
        f"##NAME: MARKER:\nSQLITE_DATABASE {database}\nSQLITE_USER_TABLE passwd\n"
        "SQLITE_CRYPT_PWFIELD crypt\nSQLITE_CLEAR_PWFIELD clear\n"
    )
    daemon = start(authmodulelist="authuserdb authsqlite")

    assert outcome(daemon, "clear@example.com", "secret", "scram-sha-1") != b"FAIL\n"
    assert outcome(daemon, "clear@example.com", "secret") != b"FAIL\n"
    assert outcome(daemon, "clear@example.com", "wrong") == b"FAIL\n"
    assert outcome(daemon, "stored@example.com", "secret", "scram-sha-1") != b"FAIL\n"
    assert outcome(daemon, "stored@example.com", "secret") == b"FAIL\n"
    assert outcome(daemon, "empty@example.com", "") == b"FAIL\n"


@pytest.mark.slow
def test_challenges_tell_nothing_of_who_exists(start: StartOurs, tmp_path: Path) -> None:
    """The same salt at each attempt and after a restart, and as many iterations, for all."""
    write_userdb(tmp_path / "etc/userdb", USERDB)

    def told(daemon: Daemon) -> list[tuple[bytes, int]]:
        found = []
        for userid in ("only@example.com", "vm1@example.com", "nobody@example.com", "nohome"):
            client = ScramClient(userid, "secret")
            client.final(challenge_of(daemon, client))
            found.append((client.salt, client.iterations))
        return found

    first = start()
    before = told(first)
    assert told(first) == before
    assert first.stop() == 0
    assert told(start(SCRAM_ITERATIONS="")) == before
    assert len({salt for salt, _ in before}) == 4
    assert {(len(salt), iterations) for salt, iterations in before} == {(16, 4096)}


def test_iterations(start: StartOurs) -> None:
    daemon, client = start(SCRAM_ITERATIONS="6000"), ScramClient("nobody@example.com", "x")
    client.final(challenge_of(daemon, client))
    assert client.iterations == 6000


def test_proof_is_good_for_its_conversation_alone(daemon: Daemon) -> None:
    """Another's nonce, userid or service; a challenge that we never gave."""
    client = ScramClient("only@example.com", "secret")
    told = challenge_of(daemon, client)
    proof = messages(client, told)
    assert ask(daemon, "scram-sha-256-proof", client.userid, proof) != b"FAIL\n"

    assert ask(daemon, "scram-sha-256-proof", "both@example.com", proof) == b"FAIL\n"
    assert ask(daemon, "scram-sha-256-proof", client.userid, proof, "imap") == b"FAIL\n"
    forged = b"r=%b,s=%b,i=4096" % (client.nonce + b"x" * 48, base64.b64encode(SALT))
    lie = messages(client, forged)
    assert ask(daemon, "scram-sha-256-proof", client.userid, lie) == b"FAIL\n"


@pytest.mark.parametrize("second", [b"", b"x", b"n=a,r=b,p=c", b",,,,", b"\xff" * 100])
def test_nonsense(daemon: Daemon, second: bytes) -> None:
    assert ask(daemon, "scram-sha-256-proof", "only@example.com", second) == b"FAIL\n"


def test_stored_key_never_leaves_the_daemon_by_a_challenge(daemon: Daemon) -> None:
    keys = scram.read(secret("sha256", b"secret", SALT, 4096).encode())
    assert keys is not None
    client = ScramClient("only@example.com", "wrong")
    told = challenge_of(daemon, client)

    assert base64.b64encode(keys.stored) not in told
    assert told.partition(b",")[2] == challenge.parameters(keys).split(b",")[1].join(
        (b"s=", b",i=4096")
    )


def test_failure_costs_one_derivation_whatever_it_fails_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A wrong proof, an account without a secret, and nobody."""
    from authdaemond import scram_check
    from authdaemond.backends.authuserdb import AuthUserdb
    from authdaemond.backends.backend import Rejected
    from courier.auth.account import Secret
    from courier.auth.request import Authenticate

    write_userdb(tmp_path / "userdb", USERDB)
    served, made = AuthUserdb(tmp_path / "userdb"), challenge.Challenges(b"key")
    counts: list[int] = []
    real = scram.derived

    def counted(mechanism: bytes, password: bytes, salt: bytes, iterations: int) -> scram.Keys:
        counts.append(iterations)
        return real(mechanism, password, salt, iterations)

    monkeypatch.setattr(scram, "derived", counted)
    for userid in ("only@example.com", "vm1@example.com", "nopw", "nobody@example.com", "nohome"):
        client = ScramClient(userid, "wrong")
        client.first()
        first = Authenticate(b"pop3", b"scram-sha-256", userid.encode(), Secret(client.nonce))
        proof = messages(client, made.first(first, b""))
        request = Authenticate(b"pop3", b"scram-sha-256-proof", userid.encode(), Secret(proof))
        with pytest.raises(Rejected):
            scram_check.proven(served, request)
    assert counts == [4096] * 5


def test_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Made once, for root alone; what can't be used is left alone, and told."""
    file = tmp_path / "var/authdaemon.key"
    monkeypatch.setattr(key, "FILE", file)

    made = key.load()

    assert key.load() == made == file.read_bytes() and len(made) == 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]

    file.write_bytes(b"short")
    assert len(key.load()) == 32 and file.read_bytes() == b"short"
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_bytes(b"x" * 32)
    assert key.load() != b"x" * 32
