"""Every dialog, held with our server and with real Courier."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Start
from tests.support.dialog import SERVERS, Conversation, Dialog, all_dialogs
from tests.support.servers import OURS

IMAPD = list(all_dialogs(Path(__file__).parent / "imapd"))
HELD = [
    pytest.param(
        dialog,
        server,
        id=f"{dialog.name}-{server}",
        marks=[pytest.mark.courier] if server == "courier" else [],
    )
    for dialog in IMAPD
    for server in SERVERS
    if dialog.is_for(server)
]


@pytest.mark.slow
@pytest.mark.parametrize(("dialog", "server"), HELD)
def test_dialog(
    dialog: Dialog, server: str, maildir: Path, start: Start, request: pytest.FixtureRequest
) -> None:
    """The server says, line by line, what the dialog says."""
    implementation = OURS if server == "ours" else request.getfixturevalue("courier")

    Conversation(dialog, implementation, maildir, start).hold()
