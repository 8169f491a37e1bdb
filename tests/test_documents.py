"""Texts for administrators and developers name what there is; manual pages render."""

import os
import re
import runpy
import shutil
import subprocess
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "NEWS.md", *(ROOT / "doc").glob("*.md")])
# Its names are short, and tests/imapd/test_extensions_table.py looks each of them up.
TABLE = ROOT / "doc/imap-extensions.md"
PAGES = sorted(SRC.rglob("*.[1-8]"))
INSTALLED = runpy.run_path(str(ROOT / "tools/install_tree.py"))
NAMES = {page.name for page in PAGES} | set(INSTALLED["ALIASES"])
# Of other packages.
OTHERS = {
    "certtool.1", "crypt.3", "crypt.5", "epoll.7", "futex.2", "ldap.conf.5", "maildir.5", "maildrop.1", "mkpasswd.1",
    "pam.7", "passwd.1", "passwd.5", "shadow.5", "ssh.1", "stat.2", "syslog.3", "systemd.1",
}  # fmt: skip
#: Directories below which documents name files without saying so.
PLACES = (ROOT, SRC, SRC / "courier", SRC / "courier/process", SRC / "imapd", SRC / "imapd/smap", ROOT / "doc")  # fmt: skip
#: Where a file may be of which a document gives the last part alone, next to others of its directory.
FILES = {
    path.name
    for place in ("src", "tests", "conf", "doc", "bench")
    for path in (ROOT / place).rglob("*.*")
}
#: All that may refer to a document.
TEXTS = [
    path
    for place in ("src", "tests", "conf", "bench", "tools", "debian", "rpm", "systemd")
    for path in (ROOT / place).rglob("*")
    if path.is_file() and path.suffix not in (".pyc", ".eml") and path != Path(__file__)
]
#: What looks like a path of the repository and is one elsewhere, or is made.
ELSEWHERE = re.compile(
    r"/|\.run|\.tools|build/|etc/|M/shared-|tmp/|new/$|cur/$|courierimapkeywords/$"
)


def without_programs(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def paths(text: str) -> set[str]:
    """Paths in backquotes, `a/{b,c}.py` as two; of single words those that are called as files are."""
    found: set[str] = set()
    for word in re.findall(r"`([^`\s]+)`", without_programs(text)):
        if not ("/" in word or re.fullmatch(r"[\w-]+\.(py|md|dist)", word)):
            continue
        if match := re.fullmatch(r"(.*)\{(.*)\}(.*)", word):
            found |= {match[1] + middle + match[3] for middle in match[2].split(",")}
        else:
            found.add(word)
    return {path for path in found if not ELSEWHERE.match(path)}


def is_there(path: str) -> bool:
    return path in FILES or any(any(place.glob(path)) for place in PLACES)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_exist(document: Path) -> None:
    if document == TABLE:
        return
    assert {path for path in paths(document.read_text()) if not is_there(path)} == set()


def test_a_path_that_is_not_there_is_noticed() -> None:
    text = "`src/imapd/{session,sesion}.py`, `storage.md`, `a b/c`, `/etc/courier`"

    assert {path for path in paths(text) if not is_there(path)} == {
        "src/imapd/sesion.py",
        "storage.md",
    }


def test_documents_referred_to_exist() -> None:
    """In documents, in code and wherever else."""
    named = {
        (name, path.name)
        for path in (*DOCUMENTS, *TEXTS)
        for name in re.findall(r"(?<![\w./-])[\w/-]+\.md\b", path.read_text(errors="replace"))
    }

    assert {
        (name, where) for name, where in named if not is_there(name.replace("DATE", "*"))
    } == set()


def is_defined(name: str) -> bool:
    """`imapd.settings.load`: whether there is such a module, and a word of that kind in it."""
    parts = name.split(".")
    for depth in range(len(parts), 0, -1):
        module = SRC.joinpath(*parts[:depth])
        source = next(
            filter(Path.is_file, (module.with_suffix(".py"), module / "__init__.py")), None
        )
        if source is not None:
            text = source.read_text()
            return all(re.search(rf"\b{part}\b", text) for part in parts[depth:])
    return False


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_names_of_python_exist(document: Path) -> None:
    named = re.findall(
        r"`((?:courier|imapd|pop3d|authdaemond|tools|classic)(?:\.(?!rc\b|pem\b)[A-Za-z_]\w*)+)(?=[`(])",
        document.read_text(),
    )

    assert {name for name in named if not is_there(name) and not is_defined(name)} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_settings_exist(document: Path) -> None:
    """What is called like a setting is shipped as one, or one of old Courier's that the log knows."""
    sources = (*(ROOT / "conf").glob("*.dist"), SRC / "courier/daemon/settings.py")
    known = "".join(path.read_text() for path in sources)
    named = set(
        re.findall(
            r"\b(?:IMAP|POP3|TLS|MAILDIR|SMAP|AUTH|OUTBOX|LOGIN|DEBUG)_[A-Z0-9_]*[A-Z0-9]\b",
            document.read_text(),
        )
    )

    assert {name for name in named if not re.search(rf"\b{name}\b", known)} == set()


def manual_pages(text: str) -> set[str]:
    """Pages referred to: `imapd(8)`, `.BR imapd (8)`, as imapd.8."""
    found = re.findall(r"(?<![\w`/\\-])([a-z][\w.-]*)\((\d)\)", text)
    found += re.findall(r"^\.BR ([\w.\\-]+) \((\d)\)", text, re.MULTILINE)
    return {f"{name}.{section}".replace("\\-", "-") for name, section in found}


@pytest.mark.parametrize("path", [*DOCUMENTS, *PAGES], ids=lambda path: path.name)
def test_manual_pages_referred_to_exist(path: Path) -> None:
    assert manual_pages(path.read_text()) - NAMES - OTHERS == set()


def test_every_program_has_its_manual_page() -> None:
    others = {Path(name).name for name in INSTALLED["LIBEXEC"]}
    programs = {*INSTALLED["BIN"], *INSTALLED["SBIN"], *others}

    assert len(programs) > 30
    assert {name for name in programs if not {f"{name}.1", f"{name}.8"} & NAMES} == set()


def test_every_manual_page_is_installed_by_debian() -> None:
    """In one package, under its name or, of an alternative, with .courier; or not, on purpose."""
    lists = (*(ROOT / "debian").glob("*.manpages"), ROOT / "debian/not-installed")
    lines = chain.from_iterable(path.read_text().splitlines() for path in lists)
    named = [Path(line).name.replace(".courier.", ".") for line in lines if "/man/man" in line]

    assert sorted(named) == sorted(NAMES)


def test_packages_are_said_to_hold_their_programs() -> None:
    """Each in the row of its package."""
    rows = dict(
        re.findall(
            r"^\| (pycourier-[\w-]+) \| (.*) \|$",
            (ROOT / "doc/packages.md").read_text(),
            re.MULTILINE,
        )
    )

    for package in ("common", "authdaemon", "imap", "pop"):
        lines = (ROOT / f"debian/pycourier-{package}.install").read_text().splitlines()
        programs = {Path(line).name for line in lines if re.match(r"usr/s?bin/\S+$", line)}
        said = set(re.findall(r"`(?:/usr/s?bin/)?([\w-]+)`", rows[f"pycourier-{package}"]))
        assert {name.removesuffix(".courier") for name in programs} <= said


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("man") and "CI" not in os.environ, reason="man(1) is not installed"
)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_manual_page_is_well_formed(page: Path) -> None:
    """Its title is its name's; `man --warnings` has nothing to say."""
    text = page.read_text()
    if text.startswith(".so "):
        assert text.split()[1].partition("/")[2] in NAMES
        return
    shown = subprocess.run(
        ["man", "--warnings", "-Tutf8", "-l", str(page)],
        env=os.environ | {"MANWIDTH": "80", "LC_ALL": "C.UTF-8", "PAGER": "cat"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert shown.stderr == ""
    first = text[text.index(".TH ") :].replace(r"\-", "-")
    assert first.startswith(f".TH {page.stem.upper()} {page.suffix[1:]} ")
