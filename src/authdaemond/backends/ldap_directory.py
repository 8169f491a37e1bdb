"""A connection to an LDAP directory: what authldap needs of python-ldap."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from authdaemond import log
from authdaemond.backends.backend import Unavailable

if TYPE_CHECKING:
    from authdaemond.backends.authldap_settings import Settings

_ldap: Any = importlib.import_module("ldap")  # without annotations
importlib.import_module("ldap.filter")

_SIZE_LIMIT = 100
_ENUMERATE_S = 3600
#: The directory knows the entry, and says no.
_NO = (
    _ldap.INVALID_CREDENTIALS,
    _ldap.INAPPROPRIATE_AUTH,
    _ldap.INSUFFICIENT_ACCESS,
    _ldap.NO_SUCH_OBJECT,
    _ldap.UNWILLING_TO_PERFORM,
    _ldap.CONSTRAINT_VIOLATION,
)
_LOST = (_ldap.SERVER_DOWN, _ldap.CONNECT_ERROR, _ldap.UNAVAILABLE)
#: Of ldap.conf(5), which libldap reads from the environment of the process that loaded it.
_TLS = {
    "LDAPTLS_CACERT": _ldap.OPT_X_TLS_CACERTFILE,
    "LDAPTLS_CACERTDIR": _ldap.OPT_X_TLS_CACERTDIR,
    "LDAPTLS_CERT": _ldap.OPT_X_TLS_CERTFILE,
    "LDAPTLS_KEY": _ldap.OPT_X_TLS_KEYFILE,
    "LDAPTLS_CIPHER_SUITE": _ldap.OPT_X_TLS_CIPHER_SUITE,
}
_REQUIRE = {
    "never": _ldap.OPT_X_TLS_NEVER,
    "allow": _ldap.OPT_X_TLS_ALLOW,
    "try": _ldap.OPT_X_TLS_TRY,
    "demand": _ldap.OPT_X_TLS_DEMAND,
    "hard": _ldap.OPT_X_TLS_HARD,
}
_DEREF = {
    "never": _ldap.DEREF_NEVER,
    "searching": _ldap.DEREF_SEARCHING,
    "finding": _ldap.DEREF_FINDING,
    "always": _ldap.DEREF_ALWAYS,
}


class ServerLost(Exception):
    """The directory hung up: ask once more, on another connection."""


@dataclass(frozen=True, slots=True)
class Entry:
    dn: str
    attributes: Mapping[str, Sequence[bytes]]  # by name in lower case

    def values(self, name: str) -> list[str]:
        return [
            value.decode("utf-8", "surrogateescape")
            for value in self.attributes.get(name.lower(), ())
        ]

    def first(self, name: str) -> str | None:
        values = self.values(name)
        if len(values) > 1:
            log.warn(f"authldaplib: duplicate attribute {name} for {self.dn}")
        return values[0] if values else None


class Directory:
    """A connection. Methods raise `ServerLost` or `Unavailable`."""

    def __init__(self, chosen: Settings) -> None:
        """Nothing is sent before the first bind or search, but for StartTLS."""
        self._chosen = chosen
        try:
            self._server = _ldap.initialize(chosen.uri)
            self._server.set_option(_ldap.OPT_NETWORK_TIMEOUT, chosen.timeout_s)
            self._server.set_option(_ldap.OPT_TIMEOUT, chosen.timeout_s)
            self._server.set_option(_ldap.OPT_DEREF, _DEREF[chosen.deref])
            self._server.protocol_version = chosen.version
            self._set_tls()
            if chosen.starttls:
                self._server.start_tls_s()
        except (_ldap.LDAPError, ValueError) as error:
            raise Unavailable(f"{chosen.uri}: {_words(error)}") from error

    @classmethod
    @contextlib.contextmanager
    def connected(cls, chosen: Settings) -> Iterator[Directory]:
        """Give a connection for one purpose. What is lost then is a temporary failure."""
        directory = cls(chosen)
        try:
            yield directory
        except ServerLost as error:
            raise Unavailable(str(error)) from error
        finally:
            directory.close()

    def _set_tls(self) -> None:
        found = {name: os.environ[name] for name in _TLS if os.environ.get(name)}
        for name, value in found.items():
            self._server.set_option(_TLS[name], value)
        require = os.environ.get("LDAPTLS_REQCERT", "").lower()
        if require in _REQUIRE:
            self._server.set_option(_ldap.OPT_X_TLS_REQUIRE_CERT, _REQUIRE[require])
        if found or require in _REQUIRE:
            self._server.set_option(_ldap.OPT_X_TLS_NEWCTX, 0)

    def bind_first(self) -> None:
        """Become LDAP_BINDDN if LDAP_INITBIND says so. Raises Unavailable."""
        chosen = self._chosen
        if not chosen.initbind:
            return
        try:
            if not self.binds(chosen.binddn, chosen.bindpw.encode("utf-8", "surrogateescape")):
                raise Unavailable(f"{chosen.uri}: LDAP_BINDDN and LDAP_BINDPW are not accepted")
        except ServerLost as error:
            raise Unavailable(str(error)) from error

    def binds(self, dn: str, password: bytes) -> bool:
        """Bind, and tell whether the directory took name and password.

        An empty password, which would be an anonymous bind and succeed, is never sent.
        """
        if not password:
            return False
        try:
            self._server.simple_bind_s(dn, password.decode("utf-8"))
        except UnicodeDecodeError:
            return False
        except _NO:
            return False
        except _ldap.LDAPError as error:
            raise self._failure(error) from error
        return True

    def search(self, base: str, condition: str, attributes: list[str]) -> list[Entry]:
        """Give the entries below ``base`` that meet ``condition``; none is no error."""
        return self._search(base, condition, attributes, self._chosen.timeout_s, _SIZE_LIMIT)

    def all(self, condition: str, attributes: list[str]) -> list[Entry]:
        return self._search(self._chosen.basedn, condition, attributes, _ENUMERATE_S, 0)

    def _search(
        self, base: str, condition: str, attributes: list[str], seconds: int, most: int
    ) -> list[Entry]:
        try:
            found = self._server.search_ext_s(
                base,
                _ldap.SCOPE_SUBTREE,
                condition,
                attributes,
                timeout=seconds,
                sizelimit=most,
            )
        except _ldap.NO_SUCH_OBJECT:
            return []
        except _ldap.LDAPError as error:
            raise self._failure(error) from error
        return [
            Entry(dn, {name.lower(): values for name, values in attributes.items()})
            for dn, attributes in found
            if dn is not None  # a referral
        ]

    def replace(self, dn: str, values: Mapping[str, list[bytes]]) -> None:
        """Give attributes of an entry new values."""
        changes = [(_ldap.MOD_REPLACE, name, new) for name, new in values.items()]
        try:
            self._server.modify_s(dn, changes)
        except _ldap.LDAPError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Hang up. Never raises."""
        with contextlib.suppress(_ldap.LDAPError):
            self._server.unbind_s()

    def _failure(self, error: Exception) -> ServerLost | Unavailable:
        kind = ServerLost if isinstance(error, _LOST) else Unavailable
        return kind(f"{self._chosen.uri}: {_words(error)}")


def escaped(value: str) -> str:
    """Write a value for a filter (RFC 4515 3)."""
    written: str = _ldap.filter.escape_filter_chars(value)
    return written


def _words(error: Exception) -> str:
    """Say what python-ldap's errors say: a dictionary with a description, and details at times."""
    told = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    words = [str(told[name]) for name in ("desc", "info") if told.get(name)]
    return ": ".join(words) or str(error)
