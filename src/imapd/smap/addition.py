"""What ADD has been told of the next message."""

from __future__ import annotations

from dataclasses import dataclass, field

from imapd.mailboxes import Mailbox


@dataclass(slots=True)
class Addition:
    """A message to be added, sent, or both."""

    target: Mailbox | None = None
    flags: int = 0
    keywords: tuple[str, ...] = ()
    date: int | None = None  # seconds since 1970
    sender: str = ""
    recipients: list[str] = field(default_factory=list)
    notify: str = ""
