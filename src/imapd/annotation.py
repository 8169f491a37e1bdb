"""Annotations as clients see them: which there are of a mailbox, where they lie, what is computed.

RFC 5464. An own mailbox has all of its annotations in its folder. Of another account's, the shared ones lie
in that account's folder, and one's own in one's own maildir. Of a folder that file permissions share
there are only one's own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypedDict

from courier import log
from courier.maildir.annotations import NAME, OF_ACCOUNT, AnnotationFile, Annotations, write
from imapd import mailbox, special_uses
from imapd.completion import CommandFailed, No
from imapd.mailboxes import Mailbox, Space
from imapd.settings import Settings
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.account_session import AccountSession
    from imapd.session import Session

PRIVATE, SHARED = "/private", "/shared"
#: Who may annotate a mailbox has one of these, beside "l" (RFC 5464 3.3).
_MAY_READ = "rswip"
#: Who may set what all others see. Anybody who may read would be too many.
_MAY_SHARE = "w"
_COMMENT, _ADMIN = "/shared/comment", "/shared/admin"
#: No controls, no wildcards, ASCII; no empty component (RFC 5464 3.2).
_NAME = re.compile(rb"/(?:private|shared)(?:/[ -$&-)+-.0-~]+)*", re.IGNORECASE)
_VENDOR = re.compile(r"/(?:private|shared)/vendor(?:/|\Z)", re.IGNORECASE)
_VENDOR_LEAST, _LEAST = 4, 2
_LONGEST_NAME = 1000

Changes = Mapping[str, bytes | None]


def entry(arguments: Parser) -> str:
    """Read an entry's name, or what some begin with (RFC 5464 3.2)."""
    text = arguments.astring()
    if len(text) > _LONGEST_NAME or not _NAME.fullmatch(text):
        raise arguments.fail("entry")
    return text.decode("ascii")


def entries(arguments: Parser) -> list[str]:
    """Read ``entry / "(" entry *(SP entry) ")"`` (RFC 5464 5)."""
    if arguments.at(b"("):
        return arguments.parenthesised(lambda: entry(arguments))
    return [entry(arguments)]


def has_value(name: str) -> bool:
    """Tell whether an entry of this name can have a value: it has as many components as it needs."""
    least = _VENDOR_LEAST if _VENDOR.match(name) else _LEAST
    return name.count("/") >= least


def readable(session: Session, name: str, command: str) -> Mailbox | None:
    """Give the mailbox of which annotations may be read or set; None: the server.

    Raises:
        NotFound, AccessDenied: there is none, as far as this user may know, or he has no right to it.
    """
    if not name:
        return None
    found = mailbox.existing(session, name, command, "l")
    if not is_readable(found):
        raise mailbox.AccessDenied(session, command, found, "r")
    return found


def is_readable(found: Mailbox) -> bool:
    """Tell whether annotations of a mailbox may be read, and its user's own ones set."""
    return found.is_visible and found.may(_MAY_READ)


# -- reading -------------------------------------------------------------------------------


def read(session: Session, found: Mailbox | None) -> Annotations:
    """Give all annotations of a mailbox, or (None) of the server: values by names in lower case.

    Raises: OSError.
    """
    if found is None:
        return _of_server(session.settings) | _noted(_account(session).read(), "")
    if found.space is not Space.PERSONAL:
        return _of_others(session, found, _account(session).read())
    stored = AnnotationFile(found.directory).read()
    stored.pop(special_uses.ENTRY, None)
    uses = special_uses.of_all(session.settings, session.tree, session.mailboxes.look())
    return stored | _of_uses(uses.get(found.folder, ()))


def of_several(
    session: Session,
    mailboxes: Iterable[Mailbox],
    uses: Mapping[str, special_uses.Uses],
) -> Iterator[tuple[str, Annotations]]:
    """Give the names of mailboxes and all their annotations, without those that can't be read.

    One after the other: there may be some megabytes of each.

    Args:
        uses: of the account's own mailboxes, by name.
    """
    account: Annotations | None = None
    for one in mailboxes:
        try:
            if one.space is Space.PERSONAL:
                stored = AnnotationFile(one.directory).read()
                stored.pop(special_uses.ENTRY, None)
                found = stored | _of_uses(uses.get(one.name, ()))
            else:
                account = _account(session).read() if account is None else account
                found = _of_others(session, one, account)
        except OSError as error:
            log.error("cannot read annotations", one.directory, error)
        else:
            yield one.name, found


def _of_server(settings: Settings) -> Annotations:
    texts = {_COMMENT: settings.metadata_comment, _ADMIN: settings.metadata_admin}
    return {key: text.encode("utf-8", "surrogateescape") for key, text in texts.items() if text}


def _of_others(session: Session, found: Mailbox, account: Annotations) -> Annotations:
    noted = _noted(account, found.name)
    if found.farm is not None:
        return noted
    try:
        stored = AnnotationFile(found.directory).read()
    except PermissionError:  # an account of another uid
        return noted
    return _scope(stored, SHARED) | noted


def _of_uses(uses: special_uses.Uses) -> Annotations:
    return {special_uses.ENTRY: " ".join(uses).encode()} if uses else {}


def _noted(account: Annotations, name: str) -> Annotations:
    """Give what the account's own file has of one mailbox."""
    top = name + PRIVATE + "/"
    return {key[len(name) :]: value for key, value in account.items() if key.startswith(top)}


def _scope(annotations: Annotations, scope: str) -> Annotations:
    return {key: value for key, value in annotations.items() if key.startswith(scope + "/")}


# -- changing ------------------------------------------------------------------------------


def change(session: Session, found: Mailbox | None, changes: Changes) -> None:
    """Set annotations, by names in lower case, or remove those that are None: all or none.

    Own and shared ones of other accounts' mailboxes lie in two files: a crash in between leaves those
    of the first, shared ones, changed.

    Raises:
        CommandFailed: RFC 5464 4.3: too large, too many, or not to be changed.
        OSError: nothing has changed.
    """
    settings = session.settings
    for value in changes.values():
        if value is not None and len(value) > settings.max_annotation:
            raise CommandFailed(too_large(settings))
    how = _how(settings)
    if found is not None and found.space is Space.PERSONAL:
        _change_own(session, found, dict(changes), how)
        return
    shared = _scope_of(changes, SHARED)
    if shared and (found is None or found.farm is not None):
        raise CommandFailed(No("These annotations can't be changed.", "NOPERM"))
    name = "" if found is None else found.name
    noted = {name + key: value for key, value in _scope_of(changes, PRIVATE).items()}
    if special_uses.ENTRY in changes:
        if changes[special_uses.ENTRY]:
            raise CommandFailed(unassignable())
        noted.pop(name + special_uses.ENTRY)

    def check_account(after: Annotations) -> None:
        _check_count(settings, _noted(after, name), noted)
        if sum(map(len, after.values())) > settings.max_annotation * settings.max_annotations:
            raise CommandFailed(_too_many())

    if not shared or found is None:
        _account(session).change(noted, check_account, **how)
        return
    mailbox.require(session, found, "SETMETADATA", _MAY_SHARE)
    file = AnnotationFile(found.directory)
    before = {key: file.read().get(key) for key in shared}
    file.change(shared, lambda after: _check_count(settings, _scope(after, SHARED), shared), **how)
    try:
        _account(session).change(noted, check_account, **how)
    except BaseException:
        file.change(before, **how)
        raise


def copied(found: Mailbox) -> dict[str, bytes]:
    """Give the file with which a new folder has the annotations of another one, if that has any.

    Raises: OSError.
    """
    values = AnnotationFile(found.directory).read()
    return {NAME: write(values)} if values else {}


def forget(session: AccountSession, found: Mailbox) -> None:
    """Remove what this user has noted for himself on another account's mailbox, which is gone."""
    if found.space is not Space.PERSONAL:
        _move(session, found.name, None)


def carry(session: AccountSession, old: Mailbox, new: Mailbox) -> None:
    """Let it follow another account's mailbox, and those below it, to its new name."""
    if old.space is not Space.PERSONAL:
        _move(session, old.name, new.name)


def _move(session: AccountSession, old: str, new: str | None) -> None:
    """Rename keys, or remove them. What can't be is logged: the mailbox has gone already."""
    file = _account(session)
    try:
        changes: dict[str, bytes | None] = {}
        for key, value in file.read().items():
            name, _, entry = key.partition("/")
            if name == old or (new is not None and name.startswith(old + ".")):
                changes[key] = None
                if new is not None:
                    changes[f"{new}{name[len(old) :]}/{entry}"] = value
        if changes:
            file.change(changes, **_how(session.settings))
    except OSError as error:
        log.error("cannot change annotations", error.filename or session.tree.path, error)


def _change_own(
    session: Session, found: Mailbox, changes: dict[str, bytes | None], how: _How
) -> None:
    if any(key.startswith(SHARED + "/") for key in changes):
        mailbox.require(session, found, "SETMETADATA", _MAY_SHARE)
    settings, tree = session.settings, session.tree
    uses: special_uses.Uses = ()
    if special_uses.ENTRY in changes:
        words = (changes[special_uses.ENTRY] or b"").decode("ascii", "replace").split()
        try:
            uses = special_uses.assignable(tree.trash, found.folder, words)
        except special_uses.Unassignable:
            raise CommandFailed(unassignable()) from None
        changes[special_uses.ENTRY] = special_uses.stored(settings, found.folder, uses)

    def check(after: Annotations) -> None:
        after.pop(special_uses.ENTRY, None)
        for scope in (PRIVATE, SHARED):
            _check_count(settings, _scope(after, scope), _scope_of(changes, scope))

    AnnotationFile(found.directory).change(changes, lambda after: check(dict(after)), **how)
    special_uses.take_from_others(settings, tree, found.folder, uses)


def _check_count(settings: Settings, after: Collection[str], changes: Changes) -> None:
    """See to it that there are not too many, unless none was added."""
    added = any(value is not None for value in changes.values())
    if added and len(after) > settings.max_annotations:
        raise CommandFailed(_too_many())


def _scope_of(changes: Changes, scope: str) -> dict[str, bytes | None]:
    return {key: value for key, value in changes.items() if key.startswith(scope + "/")}


class _How(TypedDict):
    use_locks: bool
    sync: bool


def _how(settings: Settings) -> _How:
    return {"use_locks": settings.use_locks, "sync": settings.fsync}


def _account(session: AccountSession) -> AnnotationFile:
    return AnnotationFile(session.tree.path, OF_ACCOUNT)


# -- refusals ------------------------------------------------------------------------------


def too_large(settings: Settings) -> No:
    return No("The value is too large.", f"METADATA MAXSIZE {settings.max_annotation}")


def _too_many() -> No:
    return No("There are too many annotations.", "METADATA TOOMANY")


def unassignable() -> No:
    """RFC 6154 3: a special use that can't be."""
    return No("This special use can't be assigned to this mailbox.", "USEATTR")
