"""Those who never see SMAP don't pay for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.servers import MODULES

#: What log-in needs, which has to be there before its process is locked up.
LIGHT = {"imapd.smap", "imapd.smap.words"}


@pytest.mark.parametrize("program", ["imapd.daemon", "imapd.__main__"])
def test_loaded_by_the_first_session(program: str) -> None:
    code = f"import sys, {program}; print(*(name for name in sys.modules if 'smap' in name))"

    found = subprocess.run(
        [sys.executable, "-c", code],
        env=MODULES,
        capture_output=True,
        text=True,
        check=True,
    )

    assert set(found.stdout.split()) <= LIGHT
