"""Install the servers as `make install` is asked to; `make install-configure` merges the settings.

    install_tree.py install|configure --destdir= --prefix= --sysconfdir= ...

Modules go to PREFIX/lib/pycourier, where nothing else looks for them, and a small launcher goes to
each place where Courier has a program. Settings files come as `*.dist`; an administrator's file is
never touched by `install`: one that is there already (*.cnf, PAM's rules) stays as it is.

Paths of another installation are written into launchers, settings and units in place of Debian's.
"""

from __future__ import annotations

import argparse
import compileall
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from tools import sysconftool  # noqa: E402  of src/tools

PACKAGES = ("courier", "imapd", "pop3d", "authdaemond", "tools", "classic")
MANAGED = ("imapd", "imapd-ssl", "pop3d", "pop3d-ssl")  # the settings of *.dist that all may read
DIRECTORIES = ("shared", "shared.tmp", "imapaccess")

# Program, module, and what stands before the caller's arguments.
BIN: Mapping[str, tuple[str, ...]] = {
    "imapd": ("imapd",),
    "courierindex": ("tools.courierindex",),
    "couriertls": ("classic.couriertls",),
    "pop3d": ("pop3d",),
    "deliverquota": ("tools.deliverquota",),
    "maildirkw": ("tools.maildirkw",),
    "maildirmake": ("tools.maildirmake",),
    "maildir-from-dovecot": ("tools.maildir_from_dovecot",),
    "maildir-to-dovecot": ("tools.maildir_to_dovecot",),
    "maildiracl": ("tools.maildiracl",),
}
SBIN: Mapping[str, tuple[str, ...]] = {
    "imapd": ("imapd.daemon", "imapd"),
    "imapd-ssl": ("imapd.daemon", "imapd-ssl"),
    "pop3d": ("pop3d.daemon", "pop3d"),
    "pop3d-ssl": ("pop3d.daemon", "pop3d-ssl"),
    "authdaemond": ("authdaemond",),
    "authinfo": ("authdaemond.authinfo",),
    "courierlogger": ("classic.courierlogger",),
    "couriertcpd": ("classic.couriertcpd",),
    "userdb-test-cram-md5": ("tools.userdb_test_cram_md5",),
    **{
        name: (f"tools.{name}",)
        for name in (
            "authenumerate",
            "authpasswd",
            "authtest",
            "makeimapaccess",
            "makeuserdb",
            "mkdhparams",
            "mkimapdcert",
            "mkpop3dcert",
            "pw2userdb",
            "sharedindexinstall",
            "sharedindexsplit",
            "sysconftool",
            "userdb",
            "userdbpw",
            "vchkpw2userdb",
        )
    },
}

# Below libexecdir: what a super-server starts, and what that becomes.
LIBEXEC: Mapping[str, tuple[str, ...]] = {
    "courier/courierpop3d": ("pop3d",),
    "courier/courierpop3login": ("pop3d.pop3login",),
    "courier/imaplogin": ("imapd.imaplogin",),
}
# Upstream's names of Debian's.
LINKS: Mapping[str, str] = {"courier/pop3login": "courierpop3login"}

# Generators of systemd's.
GENERATORS: Mapping[str, tuple[str, ...]] = {
    "pycourier-imap-generator": ("imapd.units",),
    "pycourier-pop-generator": ("pop3d.units",),
}

# Manual pages of two programs.
ALIASES: Mapping[str, str] = {
    "imapd-ssl.8": "imapd.8",
    "pop3d-ssl.8": "pop3d.8",
    "courierpop3d.8": "courierpop3login.8",
}

LAUNCHER = '''\
#!{python} -I
"""Start {module} from its private modules."""

import os
import runpy
import sys

os.environ |= {environment!r} | os.environ
sys.argv[1:1] = {arguments!r}
sys.path.insert(0, {modules!r})
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
'''

# Places that are named in settings, units and manual pages, with Debian's values.
STATE = {
    "sysconfdir": "/etc/courier",
    "localstatedir": "/var/lib/courier",
    "rundir": "/run/courier",
}
# The variables that tell courier.paths of them.
VARIABLES = {name: f"PYCOURIER_{name.upper()}" for name in ("prefix", *STATE, "userdb")}


@dataclass(frozen=True, slots=True)
class Places:
    """Where things go, without DESTDIR, which is put before each only for writing."""

    destdir: str
    python: str
    prefix: str
    bindir: str
    sbindir: str
    libdir: str
    mandir: str
    sysconfdir: str
    localstatedir: str
    rundir: str
    piddir: str
    userdb: str
    facility: str  # of syslog
    libexecdir: str
    unitdir: str
    generatordir: str
    initdir: str
    crondir: str
    pamdir: str
    pamvariant: str  # the directory of pam.d that has the rules; empty: Debian's
    sysusersdir: str
    tmpfilesdir: str

    def real(self, path: str) -> Path:
        return Path(self.destdir + path) if self.destdir else Path(path)

    def rewritten(self, text: str) -> str:
        """Put these places into a text that has Debian's."""
        text = re.sub(r"(?<==)/run/courier/(?=\S+\.pid$)", f"{self.piddir}/", text, flags=re.M)
        if self.facility != "mail":
            option = f" -facility={self.facility}"
            text = re.sub(
                r'(?<=LOGGEROPTS=")(.*)(?=")', lambda match: (match[1] + option).strip(), text
            )
            text = text.replace("SyslogFacility=mail", f"SyslogFacility={self.facility}")
        ours = {
            **{debian: getattr(self, name) for name, debian in STATE.items()},
            **{f"/usr/bin/{name}": f"{self.bindir}/{name}" for name in BIN},
            **{f"/usr/sbin/{name}": f"{self.sbindir}/{name}" for name in SBIN},
            **{f"/usr/lib/courier/{name}": f"{self.libexecdir}/{name}" for name in LIBEXEC},
        }
        debian = "|".join(re.escape(path) for path in sorted(ours, key=len, reverse=True))
        return re.sub(rf"(?<![\w/])({debian})(?![\w-])", lambda match: ours[match[1]], text)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("install", "configure"))
    for name in Places.__slots__:
        parser.add_argument(f"--{name}", required=True)
    options = vars(parser.parse_args())
    what = options.pop("what")
    places = Places(**options)
    return install(places) if what == "install" else configure(places)


def configure(places: Places) -> int:
    """Merge every *.dist into the file in use, as sysconftool does it and says it.

    Files of Courier before 1.3 have another name and no sections: they are kept, and count no more.
    """
    for name in MANAGED:
        old = places.real(places.sysconfdir) / f"{name}.config"
        if old.is_file():
            kept = old.with_name(old.name + ".bak")
            os.replace(old, kept)
            print(f"{old}: kept as {kept}; put its settings into {name} by hand")
    templates = sorted(places.real(places.sysconfdir).glob("*.dist"))
    return sysconftool.main([str(template) for template in templates])


def install(places: Places) -> int:
    os.umask(0o022)
    install_modules(places)
    install_programs(places)
    install_settings(places)
    install_manuals(places)
    install_services(places)
    return 0


def install_modules(places: Places) -> None:
    target = places.real(places.libdir)
    wanted = set()
    for package in PACKAGES:
        for source in sorted((ROOT / "src" / package).rglob("*.py")):
            file = target / source.relative_to(ROOT / "src")
            write(file, source.read_bytes())
            wanted.add(file)
    for package in PACKAGES:  # what an earlier version had
        for file in (target / package).rglob("*.py"):
            if file not in wanted:
                file.unlink()
    compileall.compile_dir(
        target, quiet=2, force=True, stripdir=places.destdir or None, invalidation_mode=None
    )


def install_programs(places: Places) -> None:
    for directory, programs in (
        (places.bindir, BIN),
        (places.sbindir, SBIN),
        (places.libexecdir, LIBEXEC),
        (places.generatordir, GENERATORS),
    ):
        for name, (module, *arguments) in programs.items():
            text = launcher(places, module, arguments)
            write(places.real(directory) / name, text.encode(), 0o755)
    for name, target in LINKS.items():
        link = places.real(places.libexecdir) / name
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def launcher(places: Places, module: str, arguments: Iterable[str]) -> str:
    return LAUNCHER.format(
        python=places.python,
        module=module,
        modules=places.libdir,
        arguments=list(arguments),
        environment={variable: getattr(places, name) for name, variable in VARIABLES.items()},
    )


def install_settings(places: Places) -> None:
    directory = places.real(places.sysconfdir)
    for name in DIRECTORIES:
        (directory / name).mkdir(parents=True, exist_ok=True)
    for source in sorted((ROOT / "conf").glob("*.dist")):
        text = places.rewritten(source.read_text())
        write(directory / source.name, text.encode(), 0o644 if source.stem in MANAGED else 0o640)
    for source in sorted((ROOT / "conf").glob("*.cnf")):
        write_new(directory / source.name, source.read_bytes(), 0o600)
    for source in sorted((ROOT / "conf").glob("*.example")):
        write(directory / source.name, source.read_bytes(), 0o444)
    for name in ("imap", "pop3"):
        source = ROOT / "pam.d" / places.pamvariant / name
        write_new(places.real(places.pamdir) / source.name, source.read_bytes(), 0o644)


def install_manuals(places: Places) -> None:
    for source in sorted((ROOT / "src").rglob("*.[1-8]")):
        text = places.rewritten(source.read_text())
        write(places.real(places.mandir) / f"man{source.suffix[1:]}" / source.name, text.encode())
    for name, page in ALIASES.items():
        section = f"man{page[-1]}"
        write(places.real(places.mandir) / section / name, f".so {section}/{page}\n".encode())


def install_services(places: Places) -> None:
    for source, directory, mode in services(places):
        text = places.rewritten(source.read_text())
        write(places.real(directory) / source.name, text.encode(), mode)


def services(places: Places) -> Iterator[tuple[Path, str, int]]:
    for source in sorted((ROOT / "systemd").iterdir()):
        if source.suffix in (".service", ".socket", ".target", ".timer"):
            yield source, places.unitdir, 0o644
    for kind, directory in (("sysusers", places.sysusersdir), ("tmpfiles", places.tmpfilesdir)):
        for source in sorted((ROOT / f"systemd/{kind}.d").iterdir()):
            yield source, directory, 0o644
    for kind, directory in (
        ("sysvinit", places.initdir),
        ("cron", places.crondir),
        ("libexec", places.libexecdir),
    ):
        for source in sorted((ROOT / kind).iterdir()):
            yield source, directory, 0o755


def write_new(path: Path, data: bytes, mode: int) -> None:
    if os.path.lexists(path):
        if not path.is_file() or path.read_bytes() != data:
            print(f"{path}: kept as it is")
        return
    write(path, data, mode)


def write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Put a file in place as a whole: a program that is running keeps the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(descriptor, mode)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


if __name__ == "__main__":
    sys.exit(main())
