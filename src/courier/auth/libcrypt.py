"""crypt(3) of the system's libcrypt, which Python has no module for since 3.13.

The library is libxcrypt: its `crypt_ra` and `crypt_gensalt_ra` are free of static memory. ctypes
releases the interpreter's lock meanwhile.
"""

from __future__ import annotations

import ctypes
import functools

# Debian's name and Fedora's.
_NAMES = ("libcrypt.so.1", "libcrypt.so.2")


class CryptError(Exception):
    """libcrypt can't hash that: unknown method, bad setting, or a password too long for it."""


def crypt(password: bytes, setting: bytes) -> bytes:
    """Hash ``password`` by ``setting``, which may be a hash made before.

    Raises:
        CryptError: the setting is none that libcrypt knows.
    """
    if b"\0" in password or b"\0" in setting:
        raise CryptError("NUL")
    library = _library()
    data, size = ctypes.c_void_p(None), ctypes.c_int(0)
    try:
        hashed: bytes | None = library.crypt_ra(
            password, setting, ctypes.byref(data), ctypes.byref(size)
        )
    finally:
        if data.value:
            ctypes.memset(data, 0, size.value)
            library.free(data)
    # A failure may also be told by a hash that can't be one.
    if hashed is None or hashed.startswith(b"*"):
        raise CryptError("not hashed")
    return hashed


def setting(method: bytes = b"", cost: int = 0) -> bytes:
    """Make a setting with a new salt for a method (`$1$`, `$6$`, `$y$`), by default the best one.

    Raises:
        CryptError: libcrypt makes none for this method.
    """
    library = _library()
    made = library.crypt_gensalt_ra(method or None, cost, None, 0)
    if not made:
        raise CryptError("no such method")
    try:
        return ctypes.string_at(made)
    finally:
        library.free(made)


@functools.cache
def _library() -> ctypes.CDLL:
    for name in _NAMES:
        try:
            library = ctypes.CDLL(name, use_errno=True)
        except OSError:
            continue
        library.crypt_ra.restype = ctypes.c_char_p
        library.crypt_ra.argtypes = [
            ctypes.c_char_p,
            ctypes.c_char_p,
            ctypes.POINTER(ctypes.c_void_p),
            ctypes.POINTER(ctypes.c_int),
        ]
        library.crypt_gensalt_ra.restype = ctypes.c_void_p
        library.crypt_gensalt_ra.argtypes = [
            ctypes.c_char_p,
            ctypes.c_ulong,
            ctypes.c_char_p,
            ctypes.c_int,
        ]
        library.free.restype = None
        library.free.argtypes = [ctypes.c_void_p]
        return library
    raise CryptError(f"no library of {' or '.join(_NAMES)}")
