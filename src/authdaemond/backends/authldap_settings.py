"""authldaprc: the settings of authldap."""

from __future__ import annotations

import grp
import pwd
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from authdaemond.backends.rcfile import RcFile
from courier import paths

FILE = paths.SYSCONFDIR / "authldaprc"
_TIMEOUT_S = 5
_PLACE = re.compile(r"@([a-z]+)@")
_ATTRIBUTE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.;-]*\Z")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the file says; an attribute that is not set is an empty text."""

    uri: str
    version: int
    basedn: str
    binddn: str
    bindpw: str = field(repr=False)
    timeout_s: int
    authbind: bool
    initbind: bool
    starttls: bool
    deref: str
    mail: str
    filter: str
    domain: str
    glob_uid: int
    glob_gid: int
    homedir: str
    mailroot: str
    maildir: str
    delivery: str
    quota: str
    fullname: str
    clear: str
    crypt: str
    uid: str
    gid: str
    options: Mapping[str, str]  # option, by attribute
    enumerate_filter: str
    emailmap: str
    emailmap_basedn: str
    emailmap_attribute: str
    emailmap_mail: str

    def attributes(self) -> list[str]:
        """The attributes that an account is made of."""
        own = {
            *(self.mail, self.homedir, self.maildir, self.delivery, self.quota, self.fullname),
            *(self.clear, self.crypt, self.uid, self.gid),
        }
        own.discard("")
        return [*sorted(own), *(name for name in self.options if name not in own)]

    def emailmap_filter(self, values: Mapping[str, str]) -> str:
        """Give LDAP_EMAILMAP for ``values``, escaped, of ``@user@`` and ``@realm@``."""
        return _PLACE.sub(lambda place: values.get(place[1], ""), self.emailmap)


def settings(file: RcFile) -> Settings:
    """Read the file's settings. Raises RcError."""
    initbind, authbind = file.is_on("LDAP_INITBIND"), file.is_on("LDAP_AUTHBIND")
    if initbind:
        file.required("LDAP_BINDDN")
        file.required("LDAP_BINDPW")
    if not authbind:
        file.required("LDAP_CLEARPW", "LDAP_CRYPTPW")
    version = file.number("LDAP_PROTOCOL_VERSION", most=3)
    basedn = file.required("LDAP_BASEDN")
    starttls = file.is_on("LDAP_TLS")
    return Settings(
        uri=" ".join(re.split(r"[,\s]+", file.required("LDAP_URI"))),
        version=3 if starttls or not version else version,
        basedn=basedn,
        binddn=file.text("LDAP_BINDDN"),
        bindpw=file.text("LDAP_BINDPW"),
        timeout_s=file.number("LDAP_TIMEOUT", _TIMEOUT_S) or _TIMEOUT_S,
        authbind=authbind,
        initbind=initbind,
        starttls=starttls,
        deref=file.one_of("LDAP_DEREF", "never", "searching", "finding", "always"),
        mail=_attribute(file, "LDAP_MAIL", "mail"),
        filter=_bracketed(file.text("LDAP_FILTER")),
        domain=file.text("LDAP_DOMAIN").removeprefix("@"),
        glob_uid=_id(file, "LDAP_GLOB_UID", lambda name: pwd.getpwnam(name).pw_uid),
        glob_gid=_id(file, "LDAP_GLOB_GID", lambda name: grp.getgrnam(name).gr_gid),
        homedir=_attribute(file, "LDAP_HOMEDIR", "homeDir"),
        mailroot=file.text("LDAP_MAILROOT"),
        maildir=_attribute(file, "LDAP_MAILDIR"),
        delivery=_attribute(file, "LDAP_DEFAULTDELIVERY"),
        quota=_attribute(file, "LDAP_MAILDIRQUOTA"),
        fullname=_attribute(file, "LDAP_FULLNAME", "cn"),
        clear=_attribute(file, "LDAP_CLEARPW"),
        crypt=_attribute(file, "LDAP_CRYPTPW"),
        uid=_attribute(file, "LDAP_UID"),
        gid=_attribute(file, "LDAP_GID"),
        options=_options(file),
        enumerate_filter=file.text("LDAP_ENUMERATE_FILTER"),
        emailmap=_bracketed(file.text("LDAP_EMAILMAP")),
        emailmap_basedn=file.text("LDAP_EMAILMAP_BASEDN", basedn),
        emailmap_attribute=_attribute(file, "LDAP_EMAILMAP_ATTRIBUTE", "handle"),
        emailmap_mail=_attribute(file, "LDAP_EMAILMAP_MAIL"),
    )


def _attribute(file: RcFile, name: str, default: str = "") -> str:
    value = file.text(name, default)
    if value and not _ATTRIBUTE.match(value):
        raise file.wrong(name, "the name of an attribute")
    return value


def _bracketed(condition: str) -> str:
    return condition if not condition or condition.startswith("(") else f"({condition})"


def _id(file: RcFile, name: str, look_up: Callable[[str], int]) -> int:
    """Read a number or a name. Courier reads a numeric LDAP_GLOB_GID as no number."""
    value = file.text(name)
    if not value or re.fullmatch(r"[0-9]{1,10}", value):
        return int(value or 0)
    try:
        return look_up(value)
    except KeyError:
        raise file.wrong(name, "a number, or a name that the system knows") from None


def _options(file: RcFile) -> dict[str, str]:
    """Read ``ATTRIBUTE=OPTION,ATTRIBUTE``; an attribute alone is the option of its name."""
    found = {}
    for item in filter(None, file.text("LDAP_AUXOPTIONS").split(",")):
        attribute, _, option = item.strip().partition("=")
        if not _ATTRIBUTE.match(attribute):
            raise file.wrong("LDAP_AUXOPTIONS", "ATTRIBUTE=OPTION, separated by commas")
        found[attribute] = option or attribute
    return found
