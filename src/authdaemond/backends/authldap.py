"""authldap: accounts in an LDAP directory. Settings: authldaprc. Library: python-ldap.

An account is the one entry below LDAP_BASEDN whose LDAP_MAIL is the userid. With LDAP_AUTHBIND its
password is what the directory lets it bind with; otherwise an attribute is compared.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from authdaemond import log
from authdaemond.backends import comparison
from authdaemond.backends.authldap_settings import FILE, Settings, settings
from authdaemond.backends.backend import (
    Backend,
    Rejected,
    Unavailable,
    check_cram,
    check_password,
    response,
)
from authdaemond.backends.ldap_directory import Directory, Entry, ServerLost, escaped
from authdaemond.backends.rcfile import Reloaded
from courier.auth import passwords, scram
from courier.auth.account import Account, Secret
from courier.auth.request import Authenticate, ChangePassword, Lookup

T = TypeVar("T")


class AuthLdap(Backend):
    NAME = "authldap"
    FILES = (FILE,)

    def __init__(self, file: Path = FILE) -> None:
        self._reloaded: Reloaded[Settings] = Reloaded(file, settings, self.NAME)
        self._directory: Directory | None = None

    # -- requests ----------------------------------------------------------------------------

    def lookup(self, request: Lookup) -> Account:
        return self._found(request.service, request.userid)[1]

    def login(self, request: Authenticate) -> Account:
        try:
            entry, account = self._found(request.service, request.first)
        except Rejected:
            self._bind_as_nobody(request.second)
            raise
        self._check(entry, account, request.second)
        return account if account.clear else replace(account, clear=request.second)

    def cram(self, request: Authenticate) -> Account:
        answer = response(request)
        _, account = self._found(request.service, answer.userid)
        check_cram(answer, account.clear)
        return account

    def scram(self, request: Authenticate, mechanism: bytes) -> Account:
        """The attribute may have a value for each mechanism, and hashes of other kinds."""
        entry, account = self._found(request.service, request.first)
        for stored in _scram_secrets(entry, self._settings().crypt):
            keys = scram.read(stored)
            if keys is not None and keys.mechanism == mechanism:
                return replace(account, passwd=Secret(stored))
        return account

    def change_password(self, request: ChangePassword) -> None:
        entry, account = self._found(request.service, request.userid)
        self._check(entry, account, request.old)
        chosen = self._settings()
        new = request.new.reveal()
        changes: dict[str, list[bytes]] = {}
        if account.clear and chosen.clear:
            changes[chosen.clear] = [new]
        if account.passwd and chosen.crypt:
            stored = [account.passwd.reveal()]
            stored += [one for one in _scram_secrets(entry, chosen.crypt) if one not in stored]
            changes[chosen.crypt] = [passwords.like(new, one) for one in stored]
        if not changes:
            raise Rejected
        if chosen.authbind:
            with Directory.connected(chosen) as own:
                _bind(own, entry.dn, request.old)
                own.replace(entry.dn, changes)
        else:
            self._run(lambda directory: directory.replace(entry.dn, changes))

    def check(self) -> None:
        self._settings()

    def accounts(self) -> Iterator[Account]:
        if not self._reloaded.is_there:
            return
        chosen = self._settings()
        condition = chosen.enumerate_filter or chosen.filter or f"({chosen.mail}=*)"
        if not condition.startswith("("):
            condition = f"({condition})"
        for entry in self._run(lambda directory: directory.all(condition, chosen.attributes())):
            for name in entry.values(chosen.mail):
                account = _account(chosen, entry, name, "", with_root=False)
                if account.home:
                    yield account  # that of a uid 0, too: whoever reads the list leaves it out

    # -- the directory -----------------------------------------------------------------------

    def _settings(self) -> Settings:
        chosen, is_new = self._reloaded.get()
        if is_new:
            self._hang_up()
        return chosen

    def _found(self, service: bytes, userid: bytes) -> tuple[Entry, Account]:
        """Raises Rejected if there is no such entry, or more than one."""
        chosen = self._settings()
        try:
            name = userid.decode("utf-8")
        except UnicodeDecodeError:
            raise Rejected from None
        key, attribute = self._key(chosen, name), chosen.mail
        if chosen.emailmap and "@" in name:
            attribute = chosen.emailmap_mail or chosen.mail
        elif chosen.domain and "@" not in name:
            key = f"{key}@{chosen.domain}"
        condition = f"({attribute}={key})"
        if chosen.filter:
            condition = f"(&{chosen.filter}{condition})"
        entry = self._only(chosen.basedn, condition, chosen.attributes())
        account = _account(chosen, entry, escaped(name), service.decode("latin-1"), with_root=True)
        if not account.uid or not account.gid:
            raise Unavailable(
                f"refuse to authenticate {name}: uid={account.uid}, gid={account.gid} "
                "(zero uid or gid not permitted)"
            )
        log.found(self.NAME, account)
        return entry, account

    def _key(self, chosen: Settings, name: str) -> str:
        """Give what the entry is looked up by, escaped: the userid, or what LDAP_EMAILMAP finds."""
        if not chosen.emailmap or "@" not in name:
            return escaped(name)
        user, _, realm = name.partition("@")
        condition = chosen.emailmap_filter({"user": escaped(user), "realm": escaped(realm)})
        found = self._only(chosen.emailmap_basedn, condition, [chosen.emailmap_attribute])
        value = found.first(chosen.emailmap_attribute)
        if not value:
            raise Rejected
        return escaped(value)

    def _only(self, base: str, condition: str, attributes: list[str]) -> Entry:
        log.debug("ldap: searching %s below %s", condition, base)
        found = self._run(lambda directory: directory.search(base, condition, attributes))
        if len(found) != 1:
            log.debug(f"Returned multiple entries ({len(found)})" if found else "Not found")
            raise Rejected
        return found[0]

    def _check(self, entry: Entry, account: Account, given: Secret) -> None:
        """Compare a password. Raises Rejected or Unavailable."""
        chosen = self._settings()
        if chosen.authbind:
            with Directory.connected(chosen) as own:
                comparison.with_clear_text()
                _bind(own, entry.dn, given)
            log.password_fits()
        elif account.clear:
            comparison.with_clear_text()
            if account.clear != given:
                log.password_differs(given, account.clear)
                raise Rejected
        else:
            check_password(account.passwd or None, given)

    def _bind_as_nobody(self, given: Secret) -> None:
        """Ask the directory as often for a userid that it does not have as for another."""
        chosen = self._settings()
        if chosen.authbind:
            with (
                contextlib.suppress(Unavailable, ServerLost),
                Directory.connected(chosen) as own,
            ):
                own.binds(f"cn=pycourier-nobody,{chosen.basedn}", given.reveal())

    def _run(self, call: Callable[[Directory], T]) -> T:
        """Call with the connection, and with another one if that turns out to be lost."""
        chosen = self._settings()
        for is_last in (False, True):
            if self._directory is None:
                directory = Directory(chosen)
                directory.bind_first()
                self._directory = directory  # an unbound one would find entries without passwords
            try:
                return call(self._directory)
            except ServerLost as error:
                self._hang_up()
                if is_last:
                    raise Unavailable(str(error)) from error
        raise AssertionError("not reached")

    def _hang_up(self) -> None:
        directory, self._directory = self._directory, None
        if directory is not None:
            directory.close()


def _bind(directory: Directory, dn: str, given: Secret) -> None:
    if not directory.binds(dn, given.reveal()):
        log.debug("ldap: %s can't bind with this password", dn)
        raise Rejected


def _account(
    chosen: Settings, entry: Entry, address: str, service: str, *, with_root: bool
) -> Account:
    """Make an account of an entry; uid or gid is 0 where nothing tells it."""
    home = entry.first(chosen.homedir) or ""
    if chosen.mailroot and with_root:
        home = f"{chosen.mailroot}/{home}"
    return Account(
        address=address,
        uid=_number(entry, chosen.uid, chosen.glob_uid),
        gid=_number(entry, chosen.gid, chosen.glob_gid),
        home=home,
        maildir=_given(entry, chosen.delivery if service == "courier" else chosen.maildir),
        quota=_given(entry, chosen.quota),
        fullname=entry.first(chosen.fullname) or "",
        passwd=_hash(entry, chosen.crypt),
        clear=_secret(entry, chosen.clear),
        options=_options(entry, chosen.options) or None,
    )


def _number(entry: Entry, attribute: str, default: int) -> int:
    value = entry.first(attribute) if attribute else None
    if value is None:
        return default
    return int(value) if value.isdecimal() and value.isascii() and len(value) <= 10 else 0


def _given(entry: Entry, attribute: str) -> str | None:
    return (entry.first(attribute) if attribute else None) or None


def _secret(entry: Entry, attribute: str) -> Secret | None:
    value = _given(entry, attribute)
    return None if value is None else Secret(value.encode("utf-8", "surrogateescape"))


def _hash(entry: Entry, attribute: str) -> Secret | None:
    """Give the hash that a log-in by password goes by: SCRAM's only where there is no other."""
    others = _scram_secrets(entry, attribute)
    values = entry.values(attribute) if attribute else []
    if not others or len(values) > len(others) + 1:
        return _secret(entry, attribute)
    found = (value.encode("utf-8", "surrogateescape") for value in values)
    return Secret(next((value for value in found if value not in others), others[0]))


def _scram_secrets(entry: Entry, attribute: str) -> list[bytes]:
    values = entry.values(attribute) if attribute else []
    stored = [value.encode("utf-8", "surrogateescape") for value in values]
    return [value for value in stored if scram.read(value) is not None]


def _options(entry: Entry, names: Mapping[str, str]) -> str:
    values = ((option, entry.first(attribute)) for attribute, option in names.items())
    return ",".join(f"{option}={value}" for option, value in values if value)


BACKEND = AuthLdap
