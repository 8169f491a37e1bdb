"""Imports point one way: programs, courier, standard library. Read from the source by ast.

The core knows no program, programs don't know each other, the disk and messages know neither network
nor accounts, the wire does no I/O, handlers know no socket.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"

PROGRAMS = ("imapd", "pop3d", "authdaemond", "tools", "classic")
NETWORK = ("asyncio", "selectors", "socket", "socketserver", "ssl")
INPUT_OUTPUT = (*NETWORK, "fcntl", "mmap", "os", "pathlib", "shutil", "subprocess", "tempfile")

# Modules (with all below them), and what they may not import. A later rule adds to an earlier one.
FORBIDDEN: Mapping[str, tuple[str, ...]] = {
    "courier": PROGRAMS,
    "courier.maildir": ("courier.net", "courier.auth", "courier.daemon", "asyncio"),
    "courier.message": ("courier.net", "courier.auth", "courier.daemon", *NETWORK),
    "courier.net": ("courier.daemon",),
    "courier.process": ("courier.daemon",),
    "imapd": ("pop3d", "authdaemond", "tools", "classic"),
    "imapd.wire": INPUT_OUTPUT,
    "imapd.commands": NETWORK,
    "imapd.smap": NETWORK,
    "imapd.smap.words": INPUT_OUTPUT,
    "imapd.smap.reader": INPUT_OUTPUT,
    "pop3d": ("imapd", "authdaemond", "tools", "classic"),
    "authdaemond": ("imapd", "pop3d", "tools", "classic"),
    "tools": ("imapd", "pop3d", "authdaemond", "classic"),
    "classic": ("imapd", "pop3d", "authdaemond", "tools"),
}

# Modules that import themselves and the standard library, nothing else.
SELF_CONTAINED = ("imapd.wire",)


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def imports(module: str, is_package: bool, source: str) -> Iterator[tuple[int, str]]:
    """Yield line and full name of all that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")[: None if is_package else -1]
                parents = parents[: len(parents) - node.level + 1]
                base = ".".join([*parents, *filter(None, [node.module])])
            for alias in node.names:
                # `from a import b`: b may be a module of a or a name in a.
                yield node.lineno, f"{base}.{alias.name}"


def violations(module: str, is_package: bool, source: str) -> list[str]:
    forbidden = [name for package in FORBIDDEN if is_within(module, package)
                 for name in FORBIDDEN[package]]  # fmt: skip
    alone = [package for package in SELF_CONTAINED if is_within(module, package)]
    return [
        f"{module}:{line}: imports {imported}"
        for line, imported in imports(module, is_package, source)
        if any(is_within(imported, name) for name in forbidden)
        or (
            alone
            and not any(is_within(imported, package) for package in alone)
            and imported.partition(".")[0] not in sys.stdlib_module_names
        )
    ]


def sources() -> Iterator[tuple[str, bool, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        yield ".".join(parts[:-1] if is_package else parts), is_package, path.read_text()


def test_source_keeps_the_rules() -> None:
    """No module of src imports what its layer may not know."""
    modules = list(sources())

    assert {"courier.log", "courier.maildir", "imapd.wire"} <= {name for name, *_ in modules}
    assert [line for module in modules for line in violations(*module)] == []


def test_every_package_is_ruled() -> None:
    """A new program stands in the table before its first import."""
    packages = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}

    assert packages <= set(FORBIDDEN)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("courier.log", "import imapd.session"),
        ("courier.log", "def f():\n    from imapd import session"),
        ("courier.maildir.folder", "from courier import net"),
        ("courier.maildir.folder", "from courier.auth.account import Account"),
        ("courier.maildir.folder", "from ..auth import account"),
        ("courier.maildir.folder", "from .. import net"),
        ("courier.message.mime", "import courier.net.tls"),
        ("imapd.session", "import pop3d"),
        ("imapd.wire.parser", "from imapd.completion import No"),
        ("imapd.wire.parser", "from courier import log"),
        ("imapd.wire.parser", "from ..session import Session"),
        ("imapd.wire.reader", "import os.path"),
        ("imapd.wire.reader", "from third.party import x"),
        ("imapd.commands.create", "import asyncio"),
        ("imapd.commands.create", "from socket import socketpair"),
        ("pop3d.session", "from imapd import session"),
        ("tools.maildirmake", "from imapd.names import x"),
    ],
)
def test_forbidden_import_is_found(module: str, source: str) -> None:
    """The rules, by an example each: in functions and relative ones too."""
    assert len(violations(module, False, source)) == 1


@pytest.mark.parametrize(
    ("module", "is_package", "source"),
    [
        ("imapd.session", False, "from courier.maildir import folder\nimport asyncio"),
        ("imapd.wire.parser", False, "import re\nfrom imapd.wire import grammar"),
        ("imapd.wire.parser", False, "from . import grammar\nfrom .grammar import TAG"),
        ("imapd.wire", True, "from . import grammar\nfrom .grammar import TAG"),
        ("courier.maildir.folder", False, "import os\nfrom courier import log"),
        ("courier.maildir.folder", False, "import courier.network_is_another_word"),
        ("imapd.commands.create", False, "from imapd.wire import grammar"),
    ],
)
def test_permitted_import_is_not_found(module: str, is_package: bool, source: str) -> None:
    assert violations(module, is_package, source) == []
