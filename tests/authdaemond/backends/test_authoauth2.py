"""authoauth2: log-ins by a token on the socket, with a real web server that vouches for them."""

from __future__ import annotations

import functools
import itertools
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authdaemond.backends import authoauth2, authoauth2_settings
from authdaemond.backends.backend import Unavailable
from courier.auth.account import Secret
from courier.auth.request import Authenticate
from tests.authdaemond.conftest import StartOurs, write_userdb
from tests.conftest import missing
from tests.support import authdaemon, oidc
from tests.support.authdaemon import Daemon
from tests.support.daemon import wait_until
from tests.support.databases import rc_file
from tests.support.oidc import AUDIENCE, ISSUER, Provider
from tests.support.servers import ROOT

try:
    import jwt as _pyjwt  # noqa: F401
except ImportError:
    missing("python3-jwt, which makes the tests' tokens")

USER = "vm1@example.com"
KEY = functools.cache(oidc.private_key)
REFUSED = {"status": "invalid_token", "scope": "mail", "openid-configuration": "https://c.example/"}


@pytest.fixture
def start(place: Path) -> Iterator[StartOurs]:
    """The module's workers are not root: they have to get at their settings."""
    daemons: list[Daemon] = []
    write_userdb(place / "etc/userdb")

    def start_ours(**settings: str) -> Daemon:
        daemons.append(
            authdaemon.start_ours(place, {"daemons": "2", "DEBUG_LOGIN": "1", **settings})
        )
        return daemons[-1]

    yield start_ours
    for daemon in daemons:
        assert daemon.stop() == 0, daemon.log
        assert "internal error" not in daemon.log, daemon.log


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    made.keys = {"keys": [oidc.public_jwk(KEY("P-256"), "k1")]}
    yield made
    made.close()


def settings_of(provider: Provider, **changed: str) -> list[tuple[str, str]]:
    own = {
        "OAUTH2_KEYS": f"{provider.url}/keys",
        "OAUTH2_ISSUER": ISSUER,
        "OAUTH2_AUDIENCE": f"other {AUDIENCE}",
        "OAUTH2_SCOPE": "mail",
        "OAUTH2_OPENID_CONFIGURATION": "https://c.example/",
        "OAUTH2_TIMEOUT": "20",
        **changed,
    }
    return list(own.items())


def introspecting(provider: Provider, **changed: str) -> list[tuple[str, str]]:
    return settings_of(
        provider,
        **{
            "OAUTH2_KEYS": "",
            "OAUTH2_INTROSPECTION_URL": f"{provider.url}/introspect",
            "OAUTH2_CLIENT_ID": "mail server",
            "OAUTH2_CLIENT_SECRET": "s&cret",
            "OAUTH2_USER_CLAIM": "username",
            **changed,
        },
    )


def token(**changed: Any) -> str:
    """A good one, but for ``changed``; times are seconds from now on."""
    for name in ("exp", "nbf", "iat"):
        if type(changed.get(name)) is int:
            changed[name] += int(time.time())
    return oidc.signed(KEY("P-256"), "ES256", **{"email": USER, **changed})


def ask(
    daemon: Daemon, made: str, user: str = "", authtype: bytes = b"oauthbearer"
) -> bytes | dict[str, str]:
    """An account's lines, or what a client is told who is refused."""
    payload = b"imap\n%b\na=%b\n%b\n" % (authtype, user.encode(), made.encode())
    said = daemon.ask(b"AUTH %d\n" % len(payload) + payload)
    if said.startswith(b"SASL="):
        refusal: dict[str, str] = json.loads(said[5:].removesuffix(b"\n.\n"))
        return refusal
    return said


@pytest.fixture
def daemon(start: StartOurs, place: Path, provider: Provider) -> Daemon:
    rc_file(place / "etc/authoauth2rc", settings_of(provider))
    return start(authmodulelist="authuserdb authoauth2")


def is_account(said: bytes | dict[str, str]) -> bool:
    return isinstance(said, bytes) and said.startswith(b"UID=5000\n") and b"ADDRESS=vm1" in said


def test_account(daemon: Daemon) -> None:
    """Another module's; the client may name it."""
    for user in ("", USER):
        for authtype in (b"oauthbearer", b"xoauth2"):
            assert is_account(ask(daemon, token(), user, authtype)), daemon.log
    said = ask(daemon, token())
    assert isinstance(said, bytes) and b"PASSWD2" not in said


def test_refusal(daemon: Daemon) -> None:
    """One answer for whatever is wrong, in the words of each mechanism."""
    nobody = token(email="nobody@example.com")
    for made, user in ((token(), "own@example.com"), (nobody, ""), ("x", ""), ("a.b.c", USER)):
        assert ask(daemon, made, user) == REFUSED, daemon.log
    assert ask(daemon, "x", USER, b"xoauth2") == {
        "status": "401",
        "schemes": "bearer",
        "scope": "mail",
        "openid-configuration": "https://c.example/",
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://evil.example"}, {"iss": None}, {"iss": [ISSUER]}, {"aud": "else"},
        {"aud": None}, {"aud": ["else"]}, {"aud": f"{AUDIENCE} x"}, {"exp": -3600}, {"exp": None},
        {"exp": True}, {"exp": "99999999999"}, {"exp": 1e300}, {"nbf": 3600},
        {"iat": 3600}, {"scope": "openid"}, {"scope": None}, {"scope": "mailx"},
        {"email": None}, {"email": ""}, {"email": 5}, {"email": [USER]}, {"email": USER + "\n"},
        {"email": "\ud800"}, {"email_verified": False}, {"email_verified": "false"},
    ],
)  # fmt: skip
def test_claims_that_are_not_for_us(
    provider: Provider, tmp_path: Path, changed: dict[str, Any]
) -> None:
    assert is_refused(backend(tmp_path, settings_of(provider)), token(**changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": [AUDIENCE, "x"]}, {"aud": "other"}, {"exp": -20}, {"nbf": 40},
        {"scope": None, "scp": ["mail"]}, {"scope": None, "scp": "a mail"}, {"email_verified": True},
    ],
)  # fmt: skip
def test_claims_that_are(provider: Provider, tmp_path: Path, changed: dict[str, Any]) -> None:
    """With a minute for clocks that differ."""
    served = backend(tmp_path, settings_of(provider))
    assert served.token(request(token(**changed))).startswith(USER.encode())


def test_keys_are_fetched_once_and_again_for_a_new_one(provider: Provider, tmp_path: Path) -> None:
    """A key that nobody has is asked for at most twice a minute; while the server is away, the
    former keys count."""
    served = backend(tmp_path, settings_of(provider))
    for _ in range(3):
        assert served.token(request(token())).startswith(USER.encode())
    keys = served._keys
    assert provider.asked == ["/keys"]

    provider.keys = {"keys": [oidc.public_jwk(KEY("P-384"), "k2")]}
    rotated = oidc.signed(KEY("P-384"), "ES384", "k2", email=USER)
    for _ in range(3):
        assert is_refused(served, rotated)
    assert provider.asked == ["/keys"]
    assert keys._tried is not None
    keys._tried -= 31
    assert served.token(request(rotated)).startswith(USER.encode())
    assert provider.asked == ["/keys"] * 2

    provider.instead = b"not json"
    keys._tried -= 4000
    assert served.token(request(rotated)).startswith(USER.encode())
    assert provider.asked == ["/keys"] * 3


def test_keys_of_a_file(provider: Provider, tmp_path: Path) -> None:
    """A new file counts at once."""
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(provider.keys))
    served = backend(tmp_path, settings_of(provider, OAUTH2_KEYS=str(file)))
    assert served.token(request(token())).startswith(USER.encode())

    new = tmp_path / "new"
    new.write_text(json.dumps({"keys": [oidc.public_jwk(KEY("P-384"), "k2")]}))
    new.rename(file)

    assert is_refused(served, token())
    rotated = oidc.signed(KEY("P-384"), "ES384", "k2", email=USER)
    assert served.token(request(rotated)).startswith(USER.encode())
    file.unlink()
    assert served.token(request(rotated)).startswith(USER.encode())
    assert provider.asked == []


@pytest.mark.parametrize("algorithms", ["ES256", "RS256 EdDSA"])
def test_algorithms_of_the_settings(provider: Provider, tmp_path: Path, algorithms: str) -> None:
    served = backend(tmp_path, settings_of(provider, OAUTH2_ALGORITHMS=algorithms))

    assert is_refused(served, token()) == ("ES256" not in algorithms)


def test_user_without_a_domain(provider: Provider, tmp_path: Path) -> None:
    served = backend(
        tmp_path,
        settings_of(
            provider, OAUTH2_USER_CLAIM="preferred_username", OAUTH2_DEFAULT_DOMAIN="@example.com"
        ),
    )
    made = token(preferred_username="vm1", email=None)

    assert served.token(request(made, USER)).split(b"\n")[0] == USER.encode()
    assert is_refused(served, made, "vm1")


# -- introspection ------------------------------------------------------------------------------


def test_introspection(start: StartOurs, place: Path, provider: Provider) -> None:
    """The server says whose a token is and whether it counts; it is asked each time."""
    rc_file(place / "etc/authoauth2rc", introspecting(provider))
    daemon = start(authmodulelist="authoauth2 authuserdb")
    good = {"active": True, "username": USER, "aud": AUDIENCE, "scope": "mail"}
    provider.tokens = {
        "good": good,
        "other": {**good, "username": "nobody@example.com"},
        "ended": {**good, "active": False},
        "text": {**good, "active": "true"},
        "old": {**good, "exp": int(time.time()) - 100},
        "foreign": {**good, "iss": "https://evil.example"},
        "narrow": {**good, "scope": "openid"},
        "elsewhere": {**good, "aud": "else"},
        "nobody's": {**good, "username": None},
    }

    assert is_account(ask(daemon, "good")), daemon.log
    assert is_account(ask(daemon, "good", USER))
    assert ask(daemon, "good", "own@example.com") == REFUSED
    for made in [*set(provider.tokens) - {"good", "nobody's"}, "unknown"]:
        assert ask(daemon, made) == REFUSED, (made, daemon.log)
    provider.tokens["good"]["active"] = False
    assert ask(daemon, "good") == REFUSED


@pytest.mark.parametrize(
    ("status", "instead"),
    [
        (500, None), (401, None), (302, None), (200, b"no json"), (200, b"[]"),
        (200, b"x" * 2_000_000), (200, b"[" * 100_000),
    ],
    ids=itertools.count(),
)  # fmt: skip
def test_introspection_that_fails(
    provider: Provider, tmp_path: Path, status: int, instead: bytes | None
) -> None:
    """Nobody can tell now: neither yes nor no. The client's secret goes nowhere else."""
    served = backend(tmp_path, introspecting(provider))
    provider.tokens["good"] = {"active": True, "username": USER, "aud": AUDIENCE, "scope": "mail"}
    provider.status, provider.instead = status, instead

    with pytest.raises(Unavailable):
        served.token(request("good"))
    assert provider.asked == ["/introspect"]


def test_both_ways(provider: Provider, tmp_path: Path) -> None:
    """What looks like a signed token is checked here, another one is asked about."""
    served = backend(
        tmp_path,
        introspecting(provider, OAUTH2_KEYS=f"{provider.url}/keys", OAUTH2_USER_CLAIM="email"),
    )
    provider.tokens["opaque"] = {"active": True, "email": USER, "aud": AUDIENCE, "scope": "mail"}

    assert served.token(request(token())).startswith(USER.encode())
    assert served.token(request("opaque")).startswith(USER.encode())
    assert provider.asked == ["/keys", "/introspect"]


def test_slow_server_holds_no_other_log_in(
    start: StartOurs, place: Path, provider: Provider
) -> None:
    """More tokens than there are workers wait for it; a password is checked meanwhile."""
    rc_file(place / "etc/authoauth2rc", introspecting(provider, OAUTH2_TIMEOUT="20"))
    daemon = start(authmodulelist="authoauth2 authuserdb")
    provider.tokens["good"] = {"active": True, "username": USER, "aud": AUDIENCE, "scope": "mail"}
    provider.released.clear()
    said: list[bytes | dict[str, str]] = []
    waiting = [threading.Thread(target=lambda: said.append(ask(daemon, "good"))) for _ in range(4)]
    for thread in waiting:
        thread.start()
    wait_until(lambda: len(provider.asked) == 2, lambda: daemon.log)

    payload = f"imap\nlogin\n{USER}\nsecret\n".encode()
    assert daemon.ask(b"AUTH %d\n" % len(payload) + payload).startswith(b"UID=5000\n")
    assert said == []
    provider.released.set()
    for thread in waiting:
        thread.join(30)
    assert len(said) == 4 and all(map(is_account, said))


def test_server_away(start: StartOurs, place: Path, provider: Provider) -> None:
    """That is temporary, and told by a closed connection."""
    rc_file(place / "etc/authoauth2rc", settings_of(provider))
    daemon = start(authmodulelist="authoauth2 authuserdb")
    provider.close()

    assert ask(daemon, token()) == b""
    assert "authoauth2: OAUTH2_KEYS: http://127.0.0.1" in daemon.log


def test_module_that_is_not_listed(start: StartOurs) -> None:
    """As with Courier's: FAIL. Listed, it knows no passwords and lists nobody."""
    daemon = start(authmodulelist="authuserdb")
    assert ask(daemon, token()) == b"FAIL\n"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("OAUTH2_KEYS", "", "OAUTH2_KEYS or OAUTH2_INTROSPECTION_URL: expected a value"),
        ("OAUTH2_KEYS", "http://keys.example/", "OAUTH2_KEYS: expected an https URL"),
        ("OAUTH2_KEYS", "keys.json", "OAUTH2_KEYS: expected an https URL"),
        ("OAUTH2_KEYS", "https://[", "OAUTH2_KEYS: expected an https URL"),
        ("OAUTH2_INTROSPECTION_URL", "ftp://x.example/", "OAUTH2_INTROSPECTION_URL: expected an"),
        ("OAUTH2_INTROSPECTION_URL", "/keys", "OAUTH2_INTROSPECTION_URL: expected an https URL"),
        ("OAUTH2_ISSUER", "", "OAUTH2_ISSUER: expected a value"),
        ("OAUTH2_AUDIENCE", "", "OAUTH2_AUDIENCE: expected a value"),
        ("OAUTH2_ALGORITHMS", "ES256 HS256", "OAUTH2_ALGORITHMS: expected any of RS256"),
        ("OAUTH2_ALGORITHMS", "none", "OAUTH2_ALGORITHMS: expected any of RS256"),
        ("OAUTH2_CA_FILE", "/nowhere", "OAUTH2_CA_FILE: expected a file of certificates"),
        ("OAUTH2_LEEWAY", "3600", "OAUTH2_LEEWAY: expected a number from 0 to 600"),
        ("OAUTH2_OPENID_CONFIGURATION", "http://x", "OAUTH2_OPENID_CONFIGURATION: expected an"),
    ],
)
def test_settings_that_can_not_be_used(
    provider: Provider, tmp_path: Path, name: str, value: str, expected: str
) -> None:
    served = backend(tmp_path, settings_of(provider, **{name: value}))
    with pytest.raises(Unavailable, match="authoauth2rc") as caught:
        served.check()
    assert expected in str(caught.value)


def backend(tmp_path: Path, settings: list[tuple[str, str]]) -> authoauth2.AuthOauth2:
    rc_file(tmp_path / "authoauth2rc", settings)
    return authoauth2.AuthOauth2(tmp_path / "authoauth2rc")


def request(made: str, user: str = "") -> Authenticate:
    return Authenticate(b"imap", b"oauthbearer", b"a=" + user.encode(), Secret(made.encode()))


def is_refused(served: authoauth2.AuthOauth2, made: str, user: str = "") -> bool:
    try:
        served.token(request(made, user))
    except authoauth2.Rejected:
        return True
    return False


def test_secret_is_not_shown(provider: Provider, tmp_path: Path) -> None:
    served = backend(tmp_path, introspecting(provider))
    chosen, _ = served._reloaded.get()
    assert isinstance(chosen, authoauth2_settings.Settings)
    assert "secret" not in repr(chosen) and oidc.CLIENT not in repr(chosen)


def test_file_as_shipped(tmp_path: Path) -> None:
    """It tells of each setting that is read, and so does the manual page; it needs to be filled in."""
    shipped = (ROOT / "conf/authoauth2rc.dist").read_text()
    manual = (ROOT / "src/authdaemond/authoauth2.5").read_text()
    source = (ROOT / "src/authdaemond/backends/authoauth2_settings.py").read_text()
    read = set(re.findall(r'"(OAUTH2_[A-Z_]+)"', source))

    assert set(re.findall(r"^# (OAUTH2_[A-Z_0-9]+)\t", shipped, re.MULTILINE)) == read
    assert set(re.findall(r"OAUTH2_[A-Z_0-9]+", manual)) == read
    (tmp_path / "authoauth2rc").write_text(shipped)
    with pytest.raises(Unavailable, match="OAUTH2_KEYS or OAUTH2_INTROSPECTION_URL"):
        authoauth2.AuthOauth2(tmp_path / "authoauth2rc").check()
    filled = re.sub(r"^# (OAUTH2_(?!CA_FILE)[A-Z_0-9]+\t[^\\\n]*)$", r"\1", shipped, flags=re.M)
    (tmp_path / "authoauth2rc").write_text(filled)
    authoauth2.AuthOauth2(tmp_path / "authoauth2rc").check()
