"""Lintian, which knows Debian's policy, has nothing to say of the Debian packages."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.conftest import missing
from tests.system import machine as machines
from tests.system.machine import CHECKOUT, run

pytestmark = [pytest.mark.slow]


def test_lintian() -> None:
    """No error and no warning; debian/*.lintian-overrides say why it is to be silent of some."""
    for tool in ("lintian", "dpkg-buildpackage", "dh"):
        if shutil.which(tool) is None:
            missing(tool)
    machines.build_packages()
    (changes,) = (CHECKOUT / "build/deb").glob("*.changes")
    as_root = ["--allow-root"] if os.geteuid() == 0 else []

    said = run(["lintian", *as_root, "--fail-on=error,warning", changes], timeout_s=300)

    assert said == ""
