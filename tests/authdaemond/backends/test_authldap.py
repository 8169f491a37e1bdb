"""authldap: with Debian's slapd, and beside Courier's own module."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from authdaemond.backends.authldap import AuthLdap
from authdaemond.backends.backend import Rejected
from authdaemond.backends.ldap_directory import Directory
from courier.auth.account import Secret
from courier.auth.request import Authenticate, Lookup
from tests.authdaemond.test_daemon import auth
from tests.authdaemond.test_scram import outcome
from tests.conftest import missing
from tests.support import authdaemon
from tests.support.authdaemon import Daemon, Load
from tests.support.courier_root import CourierRoot
from tests.support.databases import PASSWORD, Slapd, open_directory, rc_file
from tests.support.scram import secret
from tests.support.servers import COURIER

pytestmark = pytest.mark.slow

MD5CRYPT = "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1"  # secret
BASE = Slapd.BASE


def _entry(name: str, number: int, **attributes: str) -> str:
    lines = {
        "dn": f"cn={number},{BASE}",
        "objectClass": "inetOrgPerson",
        "sn": "x",
        "cn": str(number),
        "mail": f"{name}@example.com",
        "homeDirectory": f"/h/{name}",
        "uidNumber": str(number),
        "gidNumber": str(number),
        **attributes,
    }
    text = "".join(f"{key}: {value}\n" for key, value in lines.items())
    return text + "objectClass: CourierMailAccount\n\n"


LDIF = (
    f"dn: {BASE}\nobjectClass: organization\no: example\n\n"
    + _entry("l1", 5001, userPassword="{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", quota="1000S")
    + _entry("l2", 5002, clearPassword="secret", mailbox="x/Maildir", disableimap="yes")
    + _entry("l3", 5003, userPassword=f"{{CRYPT}}{MD5CRYPT}", clearPassword="other")
    + _entry("zero", 0, clearPassword="secret")
    + _entry("twice", 5005, clearPassword="secret")
    + _entry("twice", 5006, clearPassword="secret")
    + _entry("nopw", 5007)
    + _entry("scram", 5009, userPassword="{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=").replace(
        "sn: x\n",
        "sn: x\n"
        + "".join(
            f"userPassword: {secret(name, b'secret', b'salt', 4096)}\n"
            for name in ("sha1", "sha256")
        ),
    )
    + _entry("two", 5008, clearPassword="secret", disableimap="t").replace(
        "mail: two@example.com\n", "mail: two@example.com\nmail: too@example.com\n"
    )
    + f"dn: ou=map,{BASE}\nobjectClass: organizationalUnit\nou: map\n\n"
    + f"dn: cn=m,ou=map,{BASE}\nobjectClass: inetOrgPerson\nsn: m\ncn: m\nuid: l2@example.com\n"
    "mail: alias@elsewhere.example\n"
)

SETTINGS = {
    "LDAP_BASEDN": BASE,
    "LDAP_BINDDN": Slapd.ADMIN,
    "LDAP_BINDPW": PASSWORD,
    "LDAP_INITBIND": "1",
    "LDAP_PROTOCOL_VERSION": "3",  # without it Courier binds by version 2, which slapd refuses
    "LDAP_TIMEOUT": "5",
    "LDAP_MAIL": "mail",
    "LDAP_FILTER": "(objectClass=CourierMailAccount)",
    "LDAP_DOMAIN": "example.com",
    "LDAP_HOMEDIR": "homeDirectory",
    "LDAP_MAILDIR": "mailbox",
    "LDAP_MAILDIRQUOTA": "quota",
    "LDAP_FULLNAME": "cn",
    "LDAP_CLEARPW": "clearPassword",
    "LDAP_CRYPTPW": "userPassword",
    "LDAP_UID": "uidNumber",
    "LDAP_GID": "gidNumber",
    "LDAP_AUXOPTIONS": "disableimap=disableimap",
}

INJECTIONS = (
    "*",
    "l*",
    "l2*",
    "l2@example.com)(objectClass=*",
    "*)(|(mail=*",
    "l2@example.com\\",
    "\\6c2@example.com",
    "x)(clearPassword=secret",
)


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    if not Slapd.is_installed():
        missing(f"slapd: {', '.join(Slapd.NEEDED)}")
    with open_directory() as base, Slapd(base / "slapd", LDIF) as server:
        yield server


Start = Callable[..., Daemon]


def _settings(slapd: Slapd, **changes: str) -> list[tuple[str, str]]:
    uri = f"ldap://127.0.0.1:{slapd.port}"
    return [*{"LDAP_URI": uri, **SETTINGS, **changes}.items()]


@pytest.fixture
def start(slapd: Slapd, place: Path) -> Iterator[Start]:
    daemons: list[Daemon] = []

    def start_ours(environment: dict[str, str] | None = None, **changes: str) -> Daemon:
        (place / "etc").mkdir(exist_ok=True)
        rc_file(place / "etc/authldaprc", _settings(slapd, **changes))
        settings = {"authmodulelist": "authldap", "daemons": "1", "DEBUG_LOGIN": "1"}
        daemon = authdaemon.start_ours(place, settings | (environment or {}))
        daemons.append(daemon)
        return daemon

    yield start_ours
    for daemon in daemons:
        assert daemon.stop() == 0, daemon.log
        assert "internal error" not in daemon.log, daemon.log


def login(userid: str, password: str = "secret") -> bytes:
    return auth(b"imap", b"login", userid.encode(), password.encode())


def test_account(start: Start) -> None:
    """Attributes become an account; a name without a domain gets LDAP_DOMAIN."""
    daemon = start()

    assert daemon.ask(login("l2")) == (
        b"UID=5002\nGID=5002\nHOME=/h/l2\nADDRESS=l2\nNAME=5002\nMAILDIR=x/Maildir\n"
        b"PASSWD2=secret\nOPTIONS=disableimap=yes\n.\n"
    ), daemon.log


@pytest.mark.parametrize("authbind", ["0", "1"])
def test_injections(start: Start, authbind: str) -> None:
    daemon = start(LDAP_AUTHBIND=authbind)

    answers = [daemon.ask(login(userid)) for userid in INJECTIONS]
    answers += [daemon.ask(b"PRE . imap %b\n" % userid.encode()) for userid in INJECTIONS]

    assert answers == [b"FAIL\n"] * len(answers), daemon.log


def test_bind_as_the_account(start: Start) -> None:
    """The directory compares; attributes need not be readable. No CRAM then."""
    daemon = start(LDAP_AUTHBIND="1", LDAP_CLEARPW="", LDAP_CRYPTPW="")

    assert daemon.ask(login("l1")).startswith(b"UID=5001\n"), daemon.log
    assert daemon.ask(login("l1", "bad")) == b"FAIL\n"
    assert daemon.ask(login("nopw", "x")) == b"FAIL\n"
    assert daemon.ask(b"PASSWD imap\tl1\tsecret\tnew\n") == b"FAIL\n"


def test_unknown_userid_is_asked_about_as_often(
    slapd: Slapd, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With LDAP_AUTHBIND, one bind for a wrong password, for nobody, and for one of two."""
    rc_file(place / "authldaprc", _settings(slapd, LDAP_AUTHBIND="1"))
    served, binds = AuthLdap(place / "authldaprc"), []
    real = Directory.binds

    def counted(self: Directory, dn: str, password: bytes) -> bool:
        binds.append(dn)
        return real(self, dn, password)

    served.lookup(Lookup(b"imap", b"l1"))  # binds as the administrator
    monkeypatch.setattr(Directory, "binds", counted)
    for userid in (b"l1", b"nobody", b"twice"):
        binds.clear()
        with pytest.raises(Rejected):
            served.login(Authenticate(b"imap", b"login", userid, Secret(b"wrong")))
        assert len(binds) == 1, binds


def test_password_change(start: Start) -> None:
    """Attributes that have a value are replaced; who can't bind with the old password changes nothing."""
    daemon = start()

    assert daemon.ask(b"PASSWD imap\tl3\tbad\tnew\n") == b"FAIL\n"
    assert daemon.ask(b"PASSWD imap\tl3\tother\tnew\n") == b"OK\n", daemon.log
    answer = daemon.ask(login("l3", "new"))
    assert b"\nPASSWD={CRYPT}$1$" in answer and MD5CRYPT.encode() not in answer, answer
    assert daemon.ask(b"PASSWD imap\tl3\tnew\tother\n") == b"OK\n"


def test_scram(start: Start) -> None:
    """By secrets among the values of the hash's attribute, all changed with it; by the clear text."""
    daemon = start()

    for password in ("secret", "new"):
        assert daemon.ask(login("scram", password)).startswith(b"UID=5009\n"), daemon.log
        for authtype in ("scram-sha-1", "scram-sha-256"):
            assert outcome(daemon, "scram", password, authtype) != b"FAIL\n", daemon.log
            assert outcome(daemon, "scram", password + "x", authtype) == b"FAIL\n"
        other = {"secret": "new", "new": "secret"}[password]
        assert daemon.ask(f"PASSWD imap\tscram\t{password}\t{other}\n".encode()) == b"OK\n", (
            daemon.log
        )
    assert outcome(daemon, "l2@example.com", "secret") != b"FAIL\n"
    assert outcome(daemon, "l1@example.com", "secret") == b"FAIL\n"
    assert "duplicate attribute" not in daemon.log


def test_map_of_addresses(start: Start) -> None:
    """LDAP_EMAILMAP finds an entry that names what the account is looked up by."""
    daemon = start(
        LDAP_EMAILMAP="(mail=@user@@@realm@)",
        LDAP_EMAILMAP_BASEDN=f"ou=map,{BASE}",
        LDAP_EMAILMAP_ATTRIBUTE="uid",
    )

    answer = daemon.ask(login("alias@elsewhere.example"))
    assert answer.startswith(b"UID=5002\n"), daemon.log
    assert b"\nADDRESS=alias@elsewhere.example\n" in answer
    assert daemon.ask(login("*@elsewhere.example")) == b"FAIL\n"


def test_zero_uid_and_two_entries(start: Start) -> None:
    """Nobody becomes root by a directory, and nobody is let in as one of two."""
    daemon = start()

    assert daemon.ask(login("zero")) == b""
    assert "zero uid or gid not permitted" in daemon.log
    assert daemon.ask(login("twice")) == b"FAIL\n"


def test_starttls(slapd: Slapd, start: Start) -> None:
    """With LDAP_TLS the certificate has to be one that LDAPTLS_CACERT vouches for."""
    trusting = {"LDAPTLS_CACERT": str(slapd.certificate), "LDAPTLS_REQCERT": "demand"}

    daemon = start(trusting, LDAP_TLS="1")
    assert daemon.ask(login("l2")).startswith(b"UID=5002\n"), daemon.log
    daemon.stop()

    daemon = start({"LDAPTLS_REQCERT": "demand"}, LDAP_TLS="1")
    assert daemon.ask(login("l2")) == b"", daemon.log


def test_server_that_goes_and_comes_back(slapd: Slapd, start: Start) -> None:
    daemon = start()
    assert daemon.ask(login("l2")).startswith(b"UID=5002\n")

    slapd.stop()
    try:
        assert daemon.ask(login("l2")) == b""
        assert "authldap: ldap://" in daemon.log
    finally:
        slapd.start()

    assert daemon.ask(login("l2")).startswith(b"UID=5002\n"), daemon.log


@pytest.mark.parametrize("authbind", ["0", "1"])
def test_server_that_goes_and_comes_back_under_load(
    slapd: Slapd, start: Start, authbind: str
) -> None:
    """Nobody who knows a password is told that it is wrong; all get in once the server is back."""
    daemon = start({"daemons": "3"}, LDAP_AUTHBIND=authbind)

    def is_account(said: bytes) -> bool:
        return said.startswith(b"UID=5001\n")

    with Load(daemon, login("l1")) as load:
        load.wait_for(is_account)
        slapd.stop()
        try:
            load.wait_for(lambda said: said == b"")
        finally:
            slapd.start()
        load.wait_for(is_account, 40)

    assert all(said == b"" or is_account(said) for said in load.said), set(load.said)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("LDAP_DEREF", "sometimes", "LDAP_DEREF: expected one of never, searching"),
        ("LDAP_GLOB_UID", "no-such-user", "LDAP_GLOB_UID: expected a number, or a name"),
        ("LDAP_MAIL", "mail)(x", "LDAP_MAIL: expected the name of an attribute"),
        ("LDAP_BASEDN", "", "LDAP_BASEDN: expected a value"),
    ],
)
def test_settings_that_can_not_be_used(start: Start, name: str, value: str, expected: str) -> None:
    """The log names file, line and setting; who logs in meets a temporary failure."""
    daemon = start(**{name: value})

    assert daemon.ask(login("l2")) == b""
    assert "authldaprc:" in daemon.log and expected in daemon.log, daemon.log


CRAM = auth(
    b"imap",
    b"cram-md5",
    b"PDEyMzQuNTY3OEBob3N0Pg==",
    base64.b64encode(b"l2@example.com 01236d2ce6449b8aafd9cfcd7749d09e"),
)
REQUESTS = (
    *(
        login(f"{name}@example.com", password)
        for name in ("l1", "l2", "l3", "nopw", "twice", "nobody", "two", "too")
        for password in ("secret", "other", "bad")
    ),
    login("l1"),
    login("l(2)*\\x"),
    b"PRE . imap l1@example.com\n",
    b"PRE . imap l2\n",
    b"PRE . courier l2\n",
    b"PRE . imap nopw\n",
    b"PRE . imap zero\n",
    CRAM,
    b"ENUMERATE\n",
)


@pytest.mark.courier
@pytest.mark.root
def test_answers_as_couriers_module_does(slapd: Slapd, root: CourierRoot) -> None:
    """Octet for octet."""
    module = COURIER / "usr/lib/courier-authlib/libauthldap.so.0"
    if not module.exists():
        missing(f"Debian's {module}, see `make tools`")
    rc_file(root.configuration / "authldaprc", _settings(slapd))

    replies = []
    for ours in (False, True):
        daemon = authdaemon.start_inside(
            root, {"authmodulelist": "authldap", "daemons": "1", "DEBUG_LOGIN": "1"}, ours=ours
        )
        try:
            replies.append({request: daemon.ask(request) for request in REQUESTS})
        finally:
            daemon.stop()
        assert "Traceback" not in daemon.log, daemon.log

    for request in REQUESTS:
        assert replies[1][request] == replies[0][request], request
