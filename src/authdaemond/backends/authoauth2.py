"""authoauth2: whose an access token is. Settings: authoauth2rc.

A token is asked about at the server that gave it (RFC 7662), or, if it is a signed one (JWT, RFC 7519, RFC
9068) and there are keys, checked here. It knows no accounts: the other modules say who the user is.

SECURITY
    Runs as the mail user. A slow server holds workers of this module alone, and no log-in by password.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from authdaemond import log
from authdaemond.backends import jwt
from authdaemond.backends.authoauth2_settings import FILE, Settings, settings
from authdaemond.backends.backend import Backend, Rejected, Unavailable
from authdaemond.backends.jwt import Bad, Claims, Key
from authdaemond.backends.rcfile import Reloaded
from courier.auth.request import Authenticate

#: Seconds between two requests for keys: who names keys that don't exist costs no more than that.
_LEAST_REFRESH_S = 30.0
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class AuthOauth2(Backend):
    NAME = "authoauth2"
    LISTS = False

    def __init__(self, file: Path = FILE) -> None:
        self._reloaded: Reloaded[Settings] = Reloaded(file, settings, self.NAME)
        self._keys = _Keys()

    def check(self) -> None:
        self._reloaded.get()

    def token(self, request: Authenticate) -> bytes:
        chosen, is_new = self._reloaded.get()
        if is_new:
            self._keys = _Keys()
        refusal = _refusal(chosen, request.authtype)
        try:
            userid = self._user(chosen, request)
        except Bad as reason:
            log.debug("authoauth2: %s", str(reason))
            raise Rejected(reply=b"\n" + refusal) from None
        return userid + b"\n" + refusal

    def _user(self, chosen: Settings, request: Authenticate) -> bytes:
        """Raises Bad for a token that counts for nothing here, or for somebody else."""
        text = request.second.reveal()
        if chosen.keys and (jwt.looks_like_one(text) or not chosen.introspection):
            claims = self._verified(chosen, text)
            _check_times(claims, chosen.leeway_s, is_limited=True)
            _check_for_us(claims, chosen, is_strict=True)
        else:
            claims = _introspected(chosen, text)
            _check_times(claims, chosen.leeway_s, is_limited=False)
            _check_for_us(claims, chosen, is_strict=False)
        userid = _userid(claims, chosen)
        wanted = request.first.removeprefix(b"a=")
        if wanted not in (b"", userid):
            raise Bad(f"a token of {userid.decode()} for another user")
        return userid

    def _verified(self, chosen: Settings, text: bytes) -> Claims:
        token = jwt.parse(text)
        if token.algorithm not in chosen.algorithms:
            raise Bad(f"the algorithm {token.algorithm!r}, which is not accepted")
        keys = self._keys.get(chosen)
        if jwt.names_unknown_key(token, keys):
            keys = self._keys.get(chosen, is_missing=True)
        jwt.verify(token, keys)
        return token.claims


class _Keys:
    """The keys of OAUTH2_KEYS: a file's as it is now; a server's for a while, or as long as it is away."""

    def __init__(self) -> None:
        self._found: tuple[Key, ...] = ()
        self._stamp: object = None
        self._tried: float | None = None

    def get(self, chosen: Settings, *, is_missing: bool = False) -> tuple[Key, ...]:
        """Give the keys; ``is_missing``: one was asked for that isn't among them.

        Raises:
            Unavailable: there are none.
        """
        try:
            if os.path.isabs(chosen.keys):
                self._read(Path(chosen.keys))
            else:
                self._fetch(chosen, is_missing=is_missing)
        except (Unavailable, Bad, OSError) as error:
            if not self._found:
                raise Unavailable(f"OAUTH2_KEYS: {error}") from error
            log.warn(f"authoauth2: OAUTH2_KEYS: {error}; the former keys stay in use")
        return self._found

    def _read(self, path: Path) -> None:
        found = os.stat(path)
        stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
        if stamp != self._stamp:
            self._found = jwt.read_keys(path.read_bytes())
            self._stamp = stamp

    def _fetch(self, chosen: Settings, *, is_missing: bool) -> None:
        now = time.monotonic()
        age_s = now - self._tried if self._tried is not None else None
        least_s = _LEAST_REFRESH_S if is_missing else chosen.refresh_s
        if age_s is not None and age_s < least_s and (self._found or age_s < 1.0):
            if not self._found:
                raise Unavailable("no answer a moment ago")
            return
        self._tried = now
        self._found = jwt.read_keys(chosen.web.get(chosen.keys))


def _introspected(chosen: Settings, token: bytes) -> Claims:
    """RFC 7662 2. Raises Bad or Unavailable."""
    headers = {"Authorization": chosen.authorization} if chosen.authorization else {}
    body = urlencode({"token": token, "token_type_hint": "access_token"}).encode()
    try:
        found: Any = json.loads(chosen.web.post(chosen.introspection, body, headers))
    except (ValueError, RecursionError) as error:
        raise Unavailable(f"{chosen.introspection}: expected JSON") from error
    if not isinstance(found, dict):
        raise Unavailable(f"{chosen.introspection}: expected a JSON object")
    if found.get("active") is not True:
        raise Bad("a token that is not active")
    return found


def _check_times(claims: Claims, leeway_s: int, *, is_limited: bool) -> None:
    """``is_limited``: a token must say when it expires."""
    now = time.time()
    expires, begins, made = (_time(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is None and is_limited:
        raise Bad("a token that never expires")
    if expires is not None and now >= expires + leeway_s:
        raise Bad("a token that has expired")
    if any(moment is not None and now < moment - leeway_s for moment in (begins, made)):
        raise Bad("a token that is not valid yet")


def _time(claims: Claims, name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**60:
        raise Bad(f"{name} is no time")
    return float(value)


def _check_for_us(claims: Claims, chosen: Settings, *, is_strict: bool) -> None:
    """Check issuer, audience and scope; what an introspection's server leaves out it has checked
    itself, unless it is the audience or the scope that are asked for."""
    issuer = claims.get("iss")
    if chosen.issuer and issuer != chosen.issuer and (is_strict or issuer is not None):
        raise Bad(f"another issuer: {issuer!r}")
    if chosen.audience and not chosen.audience & _words(claims.get("aud"), splits=False):
        raise Bad(f"another audience: {claims.get('aud')!r}")
    scope = _words(claims.get("scope"), splits=True) | _words(claims.get("scp"), splits=True)
    if not chosen.scope <= scope:
        raise Bad(f"not the scope: {' '.join(sorted(scope))!r}")


def _words(value: object, *, splits: bool) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset(value.split() if splits else (value,))
    if isinstance(value, list):
        return frozenset(one for one in value if isinstance(one, str))
    return frozenset()


def _userid(claims: Claims, chosen: Settings) -> bytes:
    user = claims.get(chosen.user)
    if not isinstance(user, str) or not user or _CONTROL.search(user):
        raise Bad(f"no user in the claim {chosen.user}")
    if chosen.user == "email" and claims.get("email_verified", True) not in (True, "true"):
        raise Bad("an address that nobody has verified")
    if chosen.domain and "@" not in user:
        user = f"{user}@{chosen.domain}"
    try:
        return user.encode()
    except UnicodeEncodeError:
        raise Bad("no text as user") from None


def _refusal(chosen: Settings, authtype: bytes) -> bytes:
    """What a client is told whose token is not taken (RFC 7628 3.2.2); XOAUTH2 has older names."""
    told: Mapping[str, str] = (
        {"status": "invalid_token"}
        if authtype == b"oauthbearer"
        else {"status": "401", "schemes": "bearer"}
    )
    scope = {"scope": " ".join(sorted(chosen.scope))} if chosen.scope else {}
    discovery = {"openid-configuration": chosen.discovery} if chosen.discovery else {}
    return json.dumps({**told, **scope, **discovery}, separators=(",", ":")).encode()


BACKEND = AuthOauth2
