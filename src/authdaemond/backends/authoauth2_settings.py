"""authoauth2rc: the settings of authoauth2."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote_plus

from authdaemond.backends import web
from authdaemond.backends.rcfile import RcFile
from courier import paths

FILE = paths.SYSCONFDIR / "authoauth2rc"

#: All that a public key can do.
_ALGORITHMS = "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA"
_TIMEOUT_S = 5
_LEEWAY_S = 60
_REFRESH_S = 3600
_CLAIM = re.compile(r"[!-~]{1,100}")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the file says; what is not set is empty."""

    introspection: str
    authorization: str = field(repr=False)  # what we show to the introspection's server
    keys: str  # a file's path or a URL
    issuer: str
    audience: frozenset[str]
    scope: frozenset[str]
    user: str  # the claim
    domain: str  # for a user without one
    algorithms: frozenset[str]
    leeway_s: int
    refresh_s: int
    discovery: str
    web: web.Web = field(compare=False)


def settings(file: RcFile) -> Settings:
    """Read the file's settings. Raises RcError."""
    introspection, keys = file.text("OAUTH2_INTROSPECTION_URL"), file.text("OAUTH2_KEYS")
    if not introspection:
        file.required("OAUTH2_KEYS", "OAUTH2_INTROSPECTION_URL")
    for name, value in (("OAUTH2_INTROSPECTION_URL", introspection), ("OAUTH2_KEYS", keys)):
        if value and not (web.is_safe(value) or (name == "OAUTH2_KEYS" and os.path.isabs(value))):
            raise file.wrong(
                name,
                "an https URL, or an http URL of this machine"
                + (", or a file's path" if name == "OAUTH2_KEYS" else ""),
            )
    if keys:  # by these alone nobody says whom a token is for
        file.required("OAUTH2_ISSUER")
        file.required("OAUTH2_AUDIENCE")
    user = file.text("OAUTH2_USER_CLAIM", "email")
    if not _CLAIM.fullmatch(user):
        raise file.wrong("OAUTH2_USER_CLAIM", "the name of a claim")
    discovery = file.text("OAUTH2_OPENID_CONFIGURATION")
    if discovery and not discovery.startswith("https://"):
        raise file.wrong("OAUTH2_OPENID_CONFIGURATION", "an https URL")
    timeout_s = file.number("OAUTH2_TIMEOUT", _TIMEOUT_S, most=25) or _TIMEOUT_S
    return Settings(
        introspection=introspection,
        authorization=_authorization(file),
        keys=keys,
        issuer=file.text("OAUTH2_ISSUER"),
        audience=frozenset(file.text("OAUTH2_AUDIENCE").split()),
        scope=frozenset(file.text("OAUTH2_SCOPE").split()),
        user=user,
        domain=file.text("OAUTH2_DEFAULT_DOMAIN").removeprefix("@"),
        algorithms=_words(file, "OAUTH2_ALGORITHMS", _ALGORITHMS),
        leeway_s=file.number("OAUTH2_LEEWAY", _LEEWAY_S, most=600),
        refresh_s=file.number("OAUTH2_KEYS_REFRESH", _REFRESH_S) or _REFRESH_S,
        discovery=discovery,
        web=_checked(
            file, "OAUTH2_CA_FILE", lambda name: web.Web(name or None, timeout_s), "certificates"
        ),
    )


def _authorization(file: RcFile) -> str:
    """RFC 7662 2.1, RFC 6749 2.3.1."""
    token, client = file.text("OAUTH2_INTROSPECTION_TOKEN"), file.text("OAUTH2_CLIENT_ID")
    if token:
        return f"Bearer {token}"
    if not client:
        return ""
    pair = ":".join(map(quote_plus, (client, file.text("OAUTH2_CLIENT_SECRET"))))
    return f"Basic {b64encode(pair.encode()).decode()}"


def _words(file: RcFile, name: str, possible: str) -> frozenset[str]:
    chosen = frozenset(file.text(name, possible).split())
    if not chosen <= set(possible.split()):
        raise file.wrong(name, f"any of {possible}")
    return chosen


def _checked(file: RcFile, name: str, make: Callable[[str], web.Web], what: str) -> web.Web:
    value = file.text(name)
    try:
        return make(value)
    except OSError:
        raise file.wrong(name, f"a file of {what}") from None
