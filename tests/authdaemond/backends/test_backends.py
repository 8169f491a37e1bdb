"""authdaemond.backends: what can be loaded, and why the rest can't."""

from __future__ import annotations

import sys

import pytest

from authdaemond import backends
from authdaemond.backends import NotInstalled


@pytest.mark.parametrize("name", backends.KNOWN)
def test_known_backend(name: str) -> None:
    assert isinstance(backends.load(name).LISTS, bool)


@pytest.mark.parametrize("name", ["authfoo", "sql", "backend", "../authpam", ""])
def test_unknown_backend(name: str) -> None:
    """Nothing but a backend is imported; the words are Courier's."""
    with pytest.raises(NotInstalled, match=r"^file not found$"):
        backends.load(name)


def test_backend_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names what is missing, so that the log says what to install."""
    monkeypatch.delitem(sys.modules, "authdaemond.backends.authpam", raising=False)
    monkeypatch.setitem(sys.modules, "pam", None)

    with pytest.raises(NotInstalled, match=r"^authpam can't be used: .*\bpam\b"):
        backends.load("authpam")


def test_backend_of_another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its package is named, not a module of ours."""
    monkeypatch.setitem(sys.modules, "authdaemond.backends.authmysql", None)

    with pytest.raises(NotInstalled, match=r"its package pycourier-auth-mysql is not installed"):
        backends.load("authmysql")
