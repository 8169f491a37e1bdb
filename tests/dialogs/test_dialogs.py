"""Every dialog, held with our server and with real Courier."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.conftest import Start
from tests.support.dialog import SERVERS, Conversation, Dialog, all_dialogs
from tests.support.servers import OURS, OURS_POP3, OURS_SMAP, REAL_POP3, REAL_SMAP

#: What `make check-fast` holds with our server: what real clients say, and a dialog of each other program.
FAST = re.compile(r"client-|transaction$|session$")


def held(program: str) -> list[ParameterSet]:
    """Each dialog of a program, with each server that it is for."""
    return [
        pytest.param(
            dialog,
            server,
            id=f"{dialog.name}-{server}",
            marks=marks(dialog, server),
        )
        for dialog in all_dialogs(Path(__file__).parent / program)
        for server in SERVERS
        if dialog.is_for(server)
    ]


def marks(dialog: Dialog, server: str) -> list[pytest.MarkDecorator]:
    if server == "courier":
        return [pytest.mark.courier, pytest.mark.slow]
    return [pytest.mark.fast if FAST.match(dialog.name) else pytest.mark.slow]


@pytest.mark.parametrize(("dialog", "server"), held("imapd"))
def test_dialog(
    dialog: Dialog, server: str, maildir: Path, start: Start, request: pytest.FixtureRequest
) -> None:
    """The server says, line by line, what the dialog says."""
    implementation = OURS if server == "ours" else request.getfixturevalue("courier")

    Conversation(dialog, implementation, maildir, start).hold()


@pytest.mark.parametrize(("dialog", "server"), held("pop3d"))
def test_pop3_dialog(
    dialog: Dialog, server: str, maildir: Path, start: Start, request: pytest.FixtureRequest
) -> None:
    if server == "courier":
        request.getfixturevalue("courier")
    implementation = OURS_POP3 if server == "ours" else REAL_POP3

    Conversation(dialog, implementation, maildir, start).hold()


@pytest.mark.parametrize(("dialog", "server"), held("smap"))
def test_smap_dialog(
    dialog: Dialog, server: str, maildir: Path, start: Start, request: pytest.FixtureRequest
) -> None:
    if server == "courier":
        request.getfixturevalue("courier")
    implementation = OURS_SMAP if server == "ours" else REAL_SMAP

    Conversation(dialog, implementation, maildir, start).hold()
