"""What `ps` says of a process: its part in the daemon, in the place of the command line.

The kernel shows the memory in which it put the arguments, whatever is there (proc(5), cmdline),
and a name of 15 octets (prctl(2), PR_SET_NAME).
"""

from __future__ import annotations

import ctypes

_PR_SET_NAME = 15
#: arg_start and arg_end, counted behind the name in parentheses (proc(5), stat).
_ARG_START, _ARG_END = 45, 46
#: More than any launcher is given; what isn't believable is left alone.
_MOST = 131_072

_room: tuple[int, int] | None = None  # address and size, the same in all that are forked


def show(text: str) -> None:
    """Call this process ``text``, as far as there is room.

    Call it first where /proc can be read: what is forked later may have no such directory.
    """
    global _room  # noqa: PLW0603  a process has one command line
    if _room is None:
        _room = _find()
    address, size = _room
    octets = text.encode("utf-8", "replace").replace(b"\0", b".")
    if size:
        # At least one NUL at the end: else the kernel takes the environment for its continuation.
        ctypes.memmove(address, octets[: size - 1].ljust(size, b"\0"), size)
    ctypes.CDLL(None).prctl(_PR_SET_NAME, octets[:15], 0, 0, 0)


def _find() -> tuple[int, int]:
    try:
        with open("/proc/self/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
        start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    except (OSError, ValueError, IndexError):
        return 0, 0
    return (start, end - start) if 0 < start < end <= start + _MOST else (0, 0)
