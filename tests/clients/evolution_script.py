"""What Evolution does with an account, by its own IMAP code (Camel).

Run with a port of loopback, a directory for what it keeps, the maildir, ``first`` or ``again``, and the code."""

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import gi  # type: ignore[import-not-found]

gi.require_version("Camel", "1.2")
from gi.repository import Camel, GLib  # type: ignore[import-not-found]  # noqa: E402

PATIENCE_S = 60
port, kept, maildir, which = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4]
provider = sys.argv[5]

# Lists of UIDs are of strings that Camel shares, and the bindings would free them.
library = ctypes.CDLL("libcamel-1.2.so.64")


class Strings(ctypes.Structure):
    """A GPtrArray."""

    _fields_ = (("pdata", ctypes.POINTER(ctypes.c_char_p)), ("len", ctypes.c_uint))


for name in ("camel_folder_get_uids", "camel_folder_search_by_expression"):
    getattr(library, name).restype = ctypes.POINTER(Strings)


def uids(folder: Camel.Folder) -> list[str]:
    pointer = ctypes.c_void_p(hash(folder))
    return taken(pointer, library.camel_folder_get_uids(pointer), library.camel_folder_free_uids)


def found(folder: Camel.Folder, expression: str) -> list[str]:
    pointer = ctypes.c_void_p(hash(folder))
    strings = library.camel_folder_search_by_expression(
        pointer, f"(match-all {expression})".encode(), None, None
    )
    assert strings, expression
    return taken(pointer, strings, library.camel_folder_search_free)


def taken(
    folder: ctypes.c_void_p, strings: "ctypes._Pointer[Strings]", free: Callable
) -> list[str]:  # type: ignore[type-arg]
    list_ = strings.contents
    copied = [(list_.pdata[at] or b"").decode() for at in range(list_.len)]
    free(folder, strings)
    return sorted(copied, key=int)


class Session(Camel.Session):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(user_data_dir=f"{kept}/data", user_cache_dir=f"{kept}/cache")

    def do_authenticate_sync(self, service, mechanism, cancellable):  # type: ignore[no-untyped-def]
        service.set_password("pw")
        result = service.authenticate_sync(mechanism, cancellable)
        return result == Camel.AuthenticationResult.ACCEPTED


def opened(name: str) -> Camel.Folder:
    folder = store.get_folder_sync(name, Camel.StoreGetFolderFlags.NONE, None)
    folder.refresh_info_sync(None)
    return folder


def subjects(folder: Camel.Folder) -> list[str]:
    return [folder.get_message_info(uid).get_subject() for uid in uids(folder)]


def flags(folder: Camel.Folder, uid: str) -> int:
    return int(folder.get_message_info(uid).get_flags()) & 0x7F


def wait_for(count: int, folder: Camel.Folder) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while folder.get_message_count() != count:
        assert time.monotonic() < deadline, (folder.get_full_name(), uids(folder))
        time.sleep(0.05)


def deliver(folder: Path, number: int) -> None:
    """Put a message there as a mail server does."""
    unfinished = folder / "tmp" / f"{1_700_001_000 + number}.M1P1.test"
    unfinished.write_text(f"Subject: pushed {number}\n\ntext\n")
    owner = maildir.stat()
    os.chown(unfinished, owner.st_uid, owner.st_gid)
    unfinished.rename(folder / "new" / unfinished.name)


SEEN, FLAGGED, DELETED = (
    int(one)
    for one in (Camel.MessageFlags.SEEN, Camel.MessageFlags.FLAGGED, Camel.MessageFlags.DELETED)
)
Camel.init(f"{kept}/data", False)
Camel.provider_init()
Camel.provider_load(provider)
threading.Thread(target=GLib.MainLoop().run, daemon=True).start()
session = Session()
session.set_online(True)
store = session.add_service("account", "imapx", Camel.ProviderType.STORE)
settings = store.ref_settings()
for key, value in {
    "host": "127.0.0.1",
    "port": port,
    "user": "u@example.com",
    "security-method": Camel.NetworkSecurityMethod.NONE,
    "use-idle": True,
    "use-qresync": True,
}.items():
    settings.set_property(key, value)
store.set_online_sync(True, None)
store.connect_sync(None)
listed = Camel.StoreGetFolderInfoFlags.RECURSIVE | Camel.StoreGetFolderInfoFlags.REFRESH
store.get_folder_info_sync(None, listed, None)
inbox = opened("INBOX")

if which == "first":
    assert subjects(inbox)[:4] == [
        "Minutes of Thursday",
        "Grüße aus München – 会議",
        "Report with attachment",
        "Fwd: Report with attachment",
    ]
    for uid in uids(inbox):
        assert inbox.get_message_sync(uid, None).get_content_type() is not None
    assert found(inbox, '(body-contains "München")') == ["2"]
    assert found(inbox, '(header-contains "From" "john")') == ["3"]

    # Flags of several messages, and keywords.
    inbox.set_message_flags("1", FLAGGED | SEEN, FLAGGED | SEEN)
    inbox.set_message_user_flag("2", "$Labelimportant", True)
    inbox.synchronize_sync(False, None)

    # Folders.
    store.create_folder_sync("INBOX", "Größe & Co", None)
    store.create_folder_sync("INBOX/Größe & Co", "2026", None)
    store.rename_folder_sync("INBOX/Größe & Co", "INBOX/Akten", None)
    store.delete_folder_sync("INBOX/Akten/2026", None)
    records = opened("INBOX/Akten")

    # Moving, copying, storing, removing.
    inbox.transfer_messages_to_sync(["3", "4"], records, True, None)
    inbox.transfer_messages_to_sync(["2"], records, False, None)
    records.refresh_info_sync(None)
    assert len(uids(records)) == 3
    note = Camel.MimeMessage()
    note.set_subject("A draft, für später")
    note.set_content("hällo\n".encode(), "text/plain; charset=utf-8")
    assert records.append_message_sync(note, None, None).appended_uid == "4"
    records.refresh_info_sync(None)
    assert subjects(records)[3] == "A draft, für später"
    inbox.set_message_flags("5", DELETED, DELETED)
    inbox.synchronize_sync(True, None)
    assert uids(inbox)[:3] == ["1", "2", "6"]

    # New mail, told without being asked for; in another folder Evolution sees it when it looks there, or sooner.
    count = inbox.get_message_count()
    inbox.refresh_info_sync(None)
    deliver(maildir, 1)
    wait_for(count + 1, inbox)
    deliver(maildir / ".Akten", 2)
    records.refresh_info_sync(None)
    wait_for(5, records)
else:
    # What another client has done meanwhile, by QRESYNC.
    assert "1" not in uids(inbox)
    assert flags(inbox, "2") & (SEEN | FLAGGED) == SEEN | FLAGGED
    assert inbox.get_message_user_flag("2", "$Labelimportant")
    assert not flags(inbox, "6") & SEEN
    assert subjects(inbox)[-2:] == ["pushed 1", "meanwhile"]

store.disconnect_sync(True, None)
print(f"{which} is done", flush=True)
os._exit(0)  # its threads need not end before the interpreter
