"""Special uses of mailboxes: ``\\Sent``, ``\\Drafts`` and their kin. RFC 6154, RFC 8457, RFC 9051 7.3.1.

An account's own folders have them, and nobody else's: a use is its user's. What a client has assigned
stands in the folder's annotation /private/specialuse, and counts also when it is empty. A use that
no client has assigned falls to the first folder that the settings name for it. ``\\Trash`` always is the
folder into which this server puts what is deleted (IMAP_TRASHFOLDERNAME).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from courier import log
from courier.maildir.annotations import AnnotationFile
from courier.maildir.roster import Look
from courier.maildir.tree import Tree
from imapd.settings import Settings

ENTRY = "/private/specialuse"
TRASH = "\\Trash"
#: What a client may assign. There are no virtual mailboxes here for \\All and \\Flagged.
_ASSIGNABLE = {
    use.lower(): use for use in ("\\Archive", "\\Drafts", "\\Important", "\\Junk", "\\Sent")
}

Uses = tuple[str, ...]


class Unassignable(ValueError):
    """A use that this server does not have, or not for this folder."""


def of_all(settings: Settings, tree: Tree, look: Look) -> dict[str, Uses]:
    """Give the folders of an account that have special uses, with these. Looks into those annotated.

    Args:
        look: at the account's folders.
    """
    annotated = [one.name for one in look.folders if one.is_annotated]
    folders = [one.name for one in look.folders]
    return in_force(settings, tree.trash, folders, dict(assigned(tree, annotated)))


def assigned(tree: Tree, folders: Iterable[str]) -> Iterator[tuple[str, Uses]]:
    """Give the folders to which a client has assigned uses, or none of those they would have had."""
    for folder in folders:
        try:
            value = AnnotationFile(tree.directory(folder)).read().get(ENTRY)
        except OSError as error:
            log.error("cannot read annotations", tree.directory(folder), error)
            continue
        if value is not None:
            words = value.decode("ascii", "replace").split()
            yield folder, tuple(use for word in words if (use := _ASSIGNABLE.get(word.lower())))


def in_force(
    settings: Settings, trash: str, folders: Iterable[str], given: Mapping[str, Uses]
) -> dict[str, Uses]:
    """Give the folders that have special uses, with these.

    Args:
        given: what clients have assigned.
    """
    there = set(folders)
    found: dict[str, list[str]] = {folder: [*uses] for folder, uses in given.items()}
    taken = {use for uses in given.values() for use in uses}
    for default in settings.special_uses:
        is_free = default.folder in there and default.folder not in given
        if is_free and default.attribute not in taken:
            taken.add(default.attribute)
            found.setdefault(default.folder, []).append(default.attribute)
    if trash in there:
        found.setdefault(trash, []).insert(0, TRASH)
    return {folder: tuple(dict.fromkeys(uses)) for folder, uses in found.items() if uses}


def assignable(trash: str, folder: str, words: Iterable[str]) -> Uses:
    """Check what a client wants to assign to a folder, in any case; give what is to be stored.

    Raises:
        Unassignable: RFC 6154 3 and 4: nothing is to be created or changed. The argument is the use.
    """
    wanted = list(dict.fromkeys(word.lower() for word in words))
    if folder == trash and TRASH.lower() not in wanted:
        raise Unassignable(TRASH)  # it would stay
    uses = []
    for word in wanted:
        if word == TRASH.lower() and folder == trash:
            continue
        use = _ASSIGNABLE.get(word)
        if use is None or not folder:
            raise Unassignable(word)
        uses.append(use)
    return tuple(uses)


def stored(settings: Settings, folder: str, uses: Uses) -> bytes | None:
    """Give the annotation that says so; None: none is needed."""
    is_default = any(default.folder == folder for default in settings.special_uses)
    return " ".join(uses).encode() if uses or is_default else None


def take_from_others(settings: Settings, tree: Tree, folder: str, uses: Uses) -> None:
    """Take uses that a folder has got away from all others to which a client had assigned them.

    Called when the folder has them: a crash in between leaves two folders with the same use.

    Raises: OSError.
    """
    if not uses:
        return
    for other, given in assigned(tree, tree.folders()):
        left = tuple(use for use in given if use not in uses)
        if other != folder and left != given:
            AnnotationFile(tree.directory(other)).change(
                {ENTRY: stored(settings, other, left)},
                use_locks=settings.use_locks,
                sync=settings.fsync,
            )
