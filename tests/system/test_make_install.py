"""`make install` and `make install-configure`, into a directory of the test's own."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from courier import shell

ROOT = Path(__file__).parents[2]
DIST = [
    "authdaemonrc",
    "authldaprc",
    "authmysqlrc",
    "authoauth2rc",
    "authpgsqlrc",
    "authsqliterc",
    "imapd",
    "imapd-ssl",
    "pop3d",
    "pop3d-ssl",
]
PROGRAMS = {
    "bin/deliverquota",
    "bin/imapd",
    "bin/courierindex",
    "bin/couriertls",
    "bin/maildirkw",
    "bin/maildirmake",
    "bin/maildiracl",
    "bin/maildir-from-dovecot",
    "bin/maildir-to-dovecot",
    "sbin/authdaemond",
    "sbin/authenumerate",
    "sbin/authinfo",
    "sbin/authpasswd",
    "sbin/authtest",
    "sbin/courierlogger",
    "sbin/couriertcpd",
    "lib/courier/courier/courierpop3d",
    "lib/courier/courier/courierpop3login",
    "lib/courier/courier/imaplogin",
    "lib/courier/courier/pop3login",
    "sbin/imapd",
    "sbin/imapd-ssl",
    "sbin/makeimapaccess",
    "sbin/makeuserdb",
    "sbin/mkdhparams",
    "sbin/mkimapdcert",
    "sbin/mkpop3dcert",
    "sbin/sharedindexinstall",
    "sbin/sharedindexsplit",
    "sbin/sysconftool",
    "sbin/userdb",
    "sbin/userdbpw",
    "sbin/pw2userdb",
    "sbin/userdb-test-cram-md5",
    "sbin/vchkpw2userdb",
    "bin/pop3d",
    "sbin/pop3d",
    "sbin/pop3d-ssl",
}


def make(target: str, **places: object) -> str:
    run = subprocess.run(
        ["make", "--no-print-directory", target, *(f"{name}={to}" for name, to in places.items())],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={name: value for name, value in os.environ.items() if name[:2] != "MA"},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ""
    return run.stdout


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a package is built: Debian's places below a directory."""
    directory = tmp_path_factory.mktemp("destdir")
    make("install-strip", DESTDIR=directory)
    return directory


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """As an administrator does it: everything in one tree, run from there."""
    directory = tmp_path_factory.mktemp("local")
    places = {
        "prefix": directory / "usr",
        "sysconfdir": directory / "etc/courier",
        "localstatedir": directory / "var/courier",
        "rundir": directory / "run/courier",
        "unitdir": directory / "units",
        "piddir": directory / "run",
        "userdb": directory / "etc/users",
        "facility": "local3",
        "libexecdir": directory / "libexec",
        "generatordir": directory / "generators",
        "initdir": directory / "init.d",
        "crondir": directory / "cron.monthly",
        "pamdir": directory / "pam.d",
        "sysusersdir": directory / "sysusers.d",
        "tmpfilesdir": directory / "tmpfiles.d",
    }
    make("install", **places)
    make("install-configure", **places)
    yield directory


def run(program: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program with nothing of this process's environment."""
    return subprocess.run(
        [program, *arguments], env=environment, cwd="/", stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


# --- Below DESTDIR ------------------------------------------------------------------------------


def test_programs_in_couriers_places(packaged: Path) -> None:
    places = ("bin/", "sbin/", "lib/courier/courier/")
    installed = {name for name in files(packaged / "usr") if name.startswith(places)}

    assert installed == PROGRAMS
    for name in PROGRAMS:
        assert stat.S_IMODE((packaged / "usr" / name).stat().st_mode) == 0o755
        assert (packaged / "usr" / name).read_text().startswith("#!/usr/bin/python3 -I\n")


def test_every_program_has_its_module(packaged: Path) -> None:
    """What a launcher starts is installed."""
    for name in PROGRAMS:
        text = (packaged / "usr" / name).read_text()
        (module,) = re.findall(r"run_module\('(.*?)'", text)
        path = packaged / "usr/lib/pycourier" / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), name


def test_modules_are_private_and_compiled(packaged: Path) -> None:
    """All of the source and nothing else; what Python says of them knows nothing of DESTDIR."""
    directory = packaged / "usr/lib/pycourier"
    source = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*.py")}

    installed = files(directory)

    assert {name for name in installed if name.endswith(".py")} == source
    compiled = [name for name in installed if name.endswith(".pyc")]
    assert len(compiled) == len(source)
    assert not any(bytes(packaged) in (directory / name).read_bytes() for name in compiled)


def test_settings_are_templates(packaged: Path) -> None:
    """The files in use are an administrator's; they come by install-configure alone."""
    etc = packaged / "etc/courier"

    others = {"imapd.cnf", "pop3d.cnf", "quotawarnmsg.example"}
    assert files(etc) == {*(f"{name}.dist" for name in DIST), *others}
    assert {path.name for path in etc.iterdir() if path.is_dir()} == {
        "shared", "shared.tmp", "imapaccess",
    }  # fmt: skip
    for name in DIST:
        assert (etc / f"{name}.dist").read_bytes() == (ROOT / f"conf/{name}.dist").read_bytes()
    assert stat.S_IMODE((etc / "imapd.dist").stat().st_mode) == 0o644
    assert stat.S_IMODE((etc / "authdaemonrc.dist").stat().st_mode) == 0o640
    assert stat.S_IMODE((etc / "imapd.cnf").stat().st_mode) == 0o600


def test_manual_pages_units_and_the_rest(packaged: Path) -> None:
    """In Debian's places, as they are in the source."""
    for source, installed in (
        ("src/imapd/imapd.8", "usr/share/man/man8/imapd.8"),
        ("src/tools/sysconftool.8", "usr/share/man/man8/sysconftool.8"),
        ("src/tools/mkpop3dcert.8", "usr/share/man/man8/mkpop3dcert.8"),
        ("systemd/courier-imap.service", "usr/lib/systemd/system/courier-imap.service"),
        ("systemd/courier-imap.socket", "usr/lib/systemd/system/courier-imap.socket"),
        ("sysvinit/courier-imap", "etc/init.d/courier-imap"),
        ("systemd/sysusers.d/pycourier-common.conf", "usr/lib/sysusers.d/pycourier-common.conf"),
        ("systemd/tmpfiles.d/pycourier-common.conf", "usr/lib/tmpfiles.d/pycourier-common.conf"),
        ("pam.d/imap", "etc/pam.d/imap"),
        ("pam.d/pop3", "etc/pam.d/pop3"),
    ):
        assert (packaged / installed).read_bytes() == (ROOT / source).read_bytes(), installed
    assert os.access(packaged / "etc/init.d/courier-imap", os.X_OK)


# --- Installed and run from there ------------------------------------------------------------------


@pytest.mark.slow
def test_session_program_runs(local: Path) -> None:
    assert run(local / "usr/bin/imapd", "--version").stdout.startswith("pycourier ")


@pytest.mark.slow
def test_settings_name_the_places(local: Path) -> None:
    """Those in use were made from the templates, with paths of this installation."""
    etc = local / "etc/courier"

    values = {
        name: one.value for name, one in shell.read([etc / "imapd", etc / "imapd-ssl"]).items()
    }

    assert values["PIDFILE"] == f"{local}/run/imapd.pid"
    assert values["LOGGEROPTS"] == "-name=imapd -facility=local3"
    assert values["IMAPACCESSFILE"] == f"{etc}/imapaccess"
    assert values["TLS_CERTFILE"] == f"{etc}/imapd.pem"
    assert values["TLS_CACHEFILE"] == f"{local}/var/courier/couriersslimapcache"
    assert values["SENDMAIL"] == "/usr/sbin/sendmail"
    for name in DIST:
        assert (etc / name).read_bytes() == (etc / f"{name}.dist").read_bytes()


@pytest.mark.slow
def test_units_name_the_places(local: Path) -> None:
    unit = (local / "units/courier-imap.service").read_text()
    script = (local / "init.d/courier-imap").read_text()
    directories = (local / "tmpfiles.d/pycourier-common.conf").read_text()
    users = (local / "sysusers.d/pycourier-common.conf").read_text()

    assert f"{local}/usr/sbin/imapd" in unit
    assert f"PROGRAM={local}/usr/sbin/imapd\n" in script
    assert f"PIDFILE={local}/run/imapd.pid\n" in script
    assert "SyslogFacility=local3\n" in unit
    assert f"\nd {local}/run/courier/empty 0755 root root\n" in directories
    assert f" {local}/run/courier/empty " in users


@pytest.mark.slow
def test_accounts_are_where_configure_put_them(local: Path) -> None:
    """As with Courier's --with-userdb."""
    made = run(local / "usr/sbin/userdb", "vera", "set", "uid=5000", "gid=5000", "home=/srv/vera")

    assert (made.returncode, made.stderr) == (0, "")
    assert (local / "etc/users").read_text().startswith("vera\t")
    assert run(local / "usr/sbin/makeuserdb").returncode == 0
    assert (local / "etc/users.dat").exists() and (local / "etc/usersshadow.dat").exists()


@pytest.mark.slow
def test_start_scripts(local: Path) -> None:
    """Courier's names and verbs; whatever is no verb does nothing, and ends well."""
    for name in ("imapd", "imapd-ssl", "pop3d", "pop3d-ssl"):
        script = local / f"libexec/{name}.rc"
        assert f"exec {local}/usr/sbin/{name} " in script.read_text()
        for verb in ("status", ""):
            done = run(script, verb)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert run(script, "stop").returncode == 0
    sample = (local / "libexec/courier-imap.sysvinit").read_text()
    assert f"etc={local}/etc/courier\n" in sample and f"{local}/usr/sbin/mkpop3dcert\n" in sample
    assert run(local / "libexec/courier-imap.sysvinit", "nonsense").returncode == 0


@pytest.mark.slow
def test_files_of_courier_before_1_3(tmp_path: Path) -> None:
    """They have other names and no sections: kept beside the new ones, and named."""
    make("install", DESTDIR=tmp_path)
    etc = tmp_path / "etc/courier"
    (etc / "imapd.config").write_text("MAXDAEMONS=7\n")

    said = make("install-configure", DESTDIR=tmp_path)

    assert (etc / "imapd.config.bak").read_text() == "MAXDAEMONS=7\n"
    assert not (etc / "imapd.config").exists()
    assert (
        f"{etc}/imapd.config: kept as {etc}/imapd.config.bak; put its settings into imapd" in said
    )
    assert "MAXDAEMONS=40\n" in (etc / "imapd").read_text()


@pytest.mark.slow
def test_certificate_is_made_where_the_settings_look(local: Path) -> None:
    pytest.importorskip("cryptography")

    made = run(local / "usr/sbin/mkimapdcert", BITS="2048")
    again = run(local / "usr/sbin/mkimapdcert")

    assert (made.returncode, made.stderr) == (0, "")
    assert (again.returncode, again.stdout) == (
        1, f"{local}/etc/courier/imapd.pem already exists.\n",
    )  # fmt: skip


@pytest.mark.slow
def test_configuration_is_checked(local: Path) -> None:
    """imapd -n reads the installed files: this machine has no such user."""
    pytest.importorskip("OpenSSL")
    run(local / "usr/sbin/mkimapdcert", BITS="2048")
    before = (local / "etc/courier/imapd").read_text()
    (local / "etc/courier/imapd").write_text(before + "LOGIN_USER=no-such-user\nIMAP_UMAKS=1\n")

    checked = run(local / "usr/sbin/imapd", "-n")
    (local / "etc/courier/imapd").write_text(before)

    number = before.count("\n") + 1
    said = checked.stdout + checked.stderr
    assert checked.returncode == 1
    assert f"{local}/etc/courier/imapd:{number}: LOGIN_USER: expected a user of this system" in said
    assert f"{local}/etc/courier/imapd:{number + 1}: IMAP_UMAKS: no setting of ours" in said


@pytest.mark.slow
def test_second_installation(tmp_path: Path) -> None:
    """An upgrade: settings in use, certificates' subjects and PAM's rules stay, modules that are
    gone go, and the merge says what became of each section."""
    make("install", DESTDIR=tmp_path)
    first = make("install-configure", DESTDIR=tmp_path)
    etc = tmp_path / "etc/courier"
    (etc / "imapd.cnf").write_text("cn = mail.example.com\n")
    (tmp_path / "etc/pam.d/imap").write_text("# mine\n")
    (tmp_path / "usr/lib/pycourier/imapd/gone.py").write_text("")
    old = (etc / "imapd").read_text().replace("\nMAXDAEMONS=40\n", "\nMAXDAEMONS=400\n")
    (etc / "imapd").write_text(old.replace("##VERSION: ", "##VERSION: older "))

    kept = make("install", DESTDIR=tmp_path)
    second = make("install-configure", DESTDIR=tmp_path)

    assert first.count(": new\n") == sum(
        (ROOT / f"conf/{name}.dist").read_text().count("##NAME:") for name in DIST
    )
    assert sorted(kept.splitlines()) == [
        f"{etc}/imapd.cnf: kept as it is",
        f"{tmp_path}/etc/pam.d/imap: kept as it is",
    ]
    assert (etc / "imapd.cnf").read_text() == "cn = mail.example.com\n"
    assert not (tmp_path / "usr/lib/pycourier/imapd/gone.py").exists()
    assert second.startswith("imapd:\n  ADDRESS: unchanged\n")
    assert "\nMAXDAEMONS=400\n" in (etc / "imapd").read_text()
    assert (etc / "imapd.bak").exists()
