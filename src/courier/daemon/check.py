"""`imapd -n`, `pop3d -n`: would the server start with these settings, and does everything that they name exist?

Says what loading the settings says, then loads certificates, keys and what else they name, as the
server would. It listens nowhere and changes nothing. Run it as root: others may not read the key.
"""

from __future__ import annotations

import dbm.gnu
import os
import pwd
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from courier.daemon.service import Service, files, service
from courier.daemon.settings import DaemonSettings, S, Warn
from courier.net import access_source, certificate, tls_client
from courier.net.access_source import SourceError
from courier.net.certificate import TlsError
from courier.net.tls import Contexts
from courier.net.tls_context import TlsOptions
from courier.process.logger import FACILITIES
from courier.settings import SettingsError

Finding = tuple[str, str]  # a setting's name, and what is the matter with it


@dataclass(frozen=True, slots=True)
class Subject(Generic[S]):
    """What is checked: how a program's settings are read, and what some of them are called."""

    load: Callable[[Sequence[Path], Warn], S]
    tls_required: str
    starttls: str
    #: What is doubtful in settings that no other program has.
    doubtful: Callable[[S], Iterator[Finding]]


def report(subject: Subject[S], daemon: str, directory: Path, write: Warn = print) -> int:
    """Check the settings files in ``directory``; return an exit code, 1 if something is wrong."""
    paths = files(daemon, directory)
    wrong = check(subject, paths, daemon, lambda line: write(f"warning: {line}"))
    for line in wrong:
        write(line)
    return 1 if wrong else 0


def check(subject: Subject[S], paths: Sequence[Path], daemon: str, warn: Warn) -> list[str]:
    """Check the settings in ``paths``, given in the order in which ``daemon`` reads them.

    Returns:
        A line for each thing that keeps the server from starting or from doing what it is told
        to. ``warn`` gets one for each that somebody should look at.
    """
    for line in _open_files(paths):
        warn(line)
    try:
        settings = subject.load(paths, warn)
    except SettingsError as error:
        return list(error.lines)

    one = service(settings, daemon)
    for finding in (*_doubtful(subject, settings, one), *subject.doubtful(settings)):
        warn(_placed(settings, finding))
    return [
        _placed(settings, finding)
        for findings in (
            _login_user(settings),
            _log(one),
            _access(settings, one),
            _tls(settings, one, lambda text: warn(of_tls(settings, text))),
            _proxy(settings),
        )
        for finding in findings
    ]


def of_tls(settings: DaemonSettings, text: str) -> str:
    """Put file, line and setting before a message about TLS."""
    return _placed(settings, _attributed(settings, text))


def _placed(settings: DaemonSettings, finding: Finding) -> str:
    name, text = finding
    origin = settings.origins.get(name)
    return f"{origin}: {name}: {text}" if origin else f"{name}: {text}"


def _open_files(paths: Sequence[Path]) -> Iterator[str]:
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            continue  # loading says so
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or found.st_uid not in (0, os.geteuid()):
            yield f"{path}: others than root may write it, and with it run programs as root"


def _doubtful(subject: Subject[S], settings: S, one: Service) -> Iterator[Finding]:
    if settings.tls_required and not one.is_tls and not one.starttls:
        yield subject.tls_required, f"nobody can log in, because {subject.starttls} isn't YES"
    if settings.tls.external and one.tls and one.tls.verify == "none":
        yield "TLS_EXTERNAL", "has no effect, because TLS_VERIFYPEER is NONE"
    if settings.home_skeleton and not settings.home_skeleton.is_dir():
        yield "AUTH_MKHOMEDIR_SKEL", f"{settings.home_skeleton} is no directory"
    if one.access and not one.access.exists() and _says_something(settings.access_file):
        yield "IMAPACCESSFILE", f"without {one.access} all may connect; makeimapaccess makes it"
    elif one.access and settings.access_file and _is_newer(settings.access_file, one.access):
        yield (
            "IMAPACCESSFILE",
            f"has changed since {one.access} was made; makeimapaccess makes a new one",
        )
    for name, key in _key_files(settings):
        if key.is_file() and key.stat().st_mode & stat.S_IROTH:
            yield name, f"everybody may read the private key in {key}"


def _says_something(source: Path | None) -> bool:
    """Whether there is a source of the access database with something in it."""
    try:
        return source is not None and access_source.check(source)
    except (SourceError, OSError):
        return False  # that is told elsewhere


def _is_newer(source: Path, made: Path) -> bool:
    try:
        sources = [source, *source.iterdir()] if source.is_dir() else [source]
        return max(one.stat().st_mtime_ns for one in sources) > made.stat().st_mtime_ns
    except OSError:
        return False


def _key_files(settings: DaemonSettings) -> Iterator[tuple[str, Path]]:
    tls = settings.tls
    if tls.private_key:
        yield "TLS_PRIVATE_KEYFILE", tls.private_key
    elif tls.certificate:
        yield "TLS_CERTFILE", tls.certificate


def _login_user(settings: DaemonSettings) -> Iterator[Finding]:
    try:
        user = pwd.getpwnam(settings.login_user)
    except KeyError:
        yield "LOGIN_USER", f"expected a user of this system, found {settings.login_user!r}"
        return
    if user.pw_uid == 0:
        yield "LOGIN_USER", "expected a user without rights, found root"


def _log(one: Service) -> Iterator[Finding]:
    if one.log_facility not in FACILITIES:
        name = "SSLLOGGEROPTS" if one.is_tls else "LOGGEROPTS"
        yield name, f"expected a facility of syslog, found {one.log_facility!r}"


def _access(settings: DaemonSettings, one: Service) -> Iterator[Finding]:
    if one.access is None:
        return
    name = "TCPDOPTS" if one.tcpd_options.access else "IMAPACCESSFILE"
    if name == "IMAPACCESSFILE" and settings.access_file and settings.access_file.exists():
        try:
            access_source.check(settings.access_file)
        except SourceError as error:
            yield from ((name, line) for line in error.lines)
        except OSError as error:
            yield name, f"{error.filename}: {error.strerror}"
    if not one.access.exists():
        source = settings.access_file
        if name == "TCPDOPTS" or source is None or not source.exists():
            yield name, f"expected an access database, found no {one.access}"
        return
    try:
        dbm.gnu.open(str(one.access), "r").close()
    except OSError as error:
        yield name, f"{one.access}: can't be opened: {error.strerror or error}"


# --- TLS ----------------------------------------------------------------------------------------


def _tls(settings: DaemonSettings, one: Service, warn: Warn) -> Iterator[Finding]:
    if one.tls is None:
        if one.is_tls or one.starttls:
            yield "TLS_CERTFILE", "expected a file with a certificate, found nothing"
        return
    failures = list(_failures(one.tls))
    if not failures:  # the files are right each by itself
        try:
            for text in Contexts.load(one.tls).warnings:
                warn(text)
        except TlsError as error:
            failures.append(str(error))
    for text in failures:
        yield _attributed(settings, text)


def _proxy(settings: DaemonSettings) -> Iterator[Finding]:
    if settings.proxy and settings.proxy_encrypted != "never":
        try:
            tls_client.context(settings.tls.trusted)
        except OSError as error:  # also ssl's
            text = error.strerror or str(error)
            yield "TLS_TRUSTCERTS", f"no certificates to know other hosts by: {text}"


def _failures(options: TlsOptions) -> Iterator[str]:
    loading: list[Callable[[], object]] = [
        lambda: certificate.load_identity(options.certificate, options.private_key, options.chain),
    ]
    if options.trusted is not None and options.verify != "none":
        trusted = options.trusted
        loading.append(lambda: certificate.load_trusted(trusted))
    if options.dh_parameters is not None and options.dh_parameters.exists():
        parameters = options.dh_parameters
        loading.append(lambda: certificate.dh_file(parameters))
    for load in loading:
        try:
            load()
        except TlsError as error:
            yield str(error)


def _attributed(settings: DaemonSettings, text: str) -> Finding:
    """Find the setting that a message about TLS is about: it begins with its name or its file."""
    name, colon, rest = text.partition(": ")
    if colon and name in settings.origins:
        return name, rest
    tls = settings.tls
    for name, path in (
        ("TLS_PRIVATE_KEYFILE", tls.private_key),
        ("TLS_CHAINFILE", tls.chain),
        ("TLS_TRUSTCERTS", tls.trusted),
        ("TLS_DHPARAMS", tls.dh_parameters),
        ("TLS_CERTFILE", tls.certificate),
    ):
        if path is not None and text.startswith(str(path)):
            return name, text
    return ("TLS_CIPHERSUITES" if "cipher suites" in text else "TLS_CERTFILE"), text
