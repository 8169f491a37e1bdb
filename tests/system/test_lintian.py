"""What the Debian packages hold, without installing them."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.system import machine as machines
from tests.system.machine import CHECKOUT, run

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def packages() -> list[Path]:
    for tool in ("lintian", "dpkg-buildpackage", "dh"):
        if shutil.which(tool) is None:
            missing(tool)
    return machines.build_packages()


@pytest.mark.usefixtures("packages")
def test_lintian() -> None:
    """No error and no warning; debian/*.lintian-overrides say why it is to be silent of some."""
    (changes,) = (CHECKOUT / "build/deb").glob("*.changes")
    as_root = ["--allow-root"] if os.geteuid() == 0 else []

    said = run(["lintian", *as_root, "--fail-on=error,warning", changes], timeout_s=300)

    assert said == ""


def test_documentation(packages: list[Path]) -> None:
    """Administrators who have nothing but the packages find what is new, and doc/."""
    listed = "".join(run(["dpkg-deb", "--contents", package]) for package in packages)

    for source in [CHECKOUT / "NEWS.md", *(CHECKOUT / "doc").iterdir()]:
        assert re.search(rf"/usr/share/doc/[^/]+/{re.escape(source.name)}(\.gz)?$", listed, re.M), (
            source
        )
