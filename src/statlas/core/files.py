"""Files are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from statlas.core.errors import InputError


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that readers see the old file or the whole new one.

    Raises
    ------
    InputError
        If the folder does not exist or cannot be written to.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise InputError(
            f"cannot write to {path}: {error.strerror}", remedy="choose a folder you can write to"
        ) from None
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise InputError(
            f"cannot write {path}: {error.strerror}", remedy="choose another file name"
        ) from None
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
