"""A message for one folder that is in another one already: the same file under a second name."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

from courier.maildir import delivery, filename
from courier.maildir.delivery import TemporaryFile

#: Another file system, one without links, too many links, links that the system forbids.
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EACCES)


def may_share(found: os.stat_result, directory: os.stat_result) -> bool:
    """Tell whether the folder of this cur/ can have this file as its own.

    It is a regular file of ours, in the same file system, the folder is ours, too (another's owner
    might not be able to read it), and all who can read the folder can read it.
    """
    readers = directory.st_mode & (stat.S_IRGRP | stat.S_IROTH)
    return (
        stat.S_ISREG(found.st_mode)
        and found.st_uid == directory.st_uid == os.geteuid()
        and found.st_dev == directory.st_dev
        and not readers & ~found.st_mode
    )


class SecondLink:
    """As `TemporaryFile`, but nothing is written, and nothing is in tmp/ before it lands.

    Content, date, owner and mode are the file's, and as safe on disk as they were; its time of status
    change becomes now. A crash before land leaves nothing.
    """

    def __init__(
        self,
        folder: str,
        found: os.stat_result,
        link: Callable[[str], None],
        copy: Callable[[], TemporaryFile],
    ) -> None:
        """``link`` makes its argument a name of the file; ``copy`` is called if that can't be done."""
        self._folder = folder
        self._found = found
        self._link = link
        self._copy = copy
        self.size = found.st_size

    def land(self, directory: Literal["cur", "new"], flags: int = 0) -> bytes:
        """Make the message visible, whole, in ``directory`` and return its file name there.

        Raises:
            OSError: nothing is visible; MessageGone if the message has been removed meanwhile.
        """
        name = delivery.new_name(self._found)
        if directory == "cur":
            name = filename.with_flags(name, flags)
        try:
            self._link(os.path.join(self._folder, directory, os.fsdecode(name)))
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            with self._copy() as file:
                return file.land(directory, flags)
        return name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """There is nothing to remove."""
