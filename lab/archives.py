"""Archives that come out the same, byte for byte, whenever and by whomever they are packed."""

import gzip
import io
import shutil
import tarfile
from pathlib import Path
from typing import BinaryIO, Literal

from lab.errors import LabError


def pack(folder: Path, kind: Literal["plain", "archive"], inside: str, target: Path) -> None:
    """Pack the executables of `folder` into `target`: one bare file, or a compressed tar, below `inside`.

    Raises:
        LabError: when a bare file is asked for and there is not exactly one.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if kind == "archive":
        _write_archive(files, inside, target)
        return
    if len(files) != 1:
        raise LabError(f"{folder}: {len(files)} files where one executable was expected; mend its recipe")
    shutil.copyfile(files[0], target)
    target.chmod(0o755)


def _write_archive(files: list[Path], inside: str, target: Path) -> None:
    # Level 1: the lab unpacks more often than disks are short, and higher levels cost minutes on two cores.
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        if inside:
            add_folder(archive, inside)
        for path in files:
            with path.open("rb") as stream:
                add_file(archive, f"{inside}/{path.name}".lstrip("/"), stream, path.stat().st_size, 0o755)


def add_folder(archive: tarfile.TarFile, name: str, mode: int = 0o755) -> None:
    """Add a folder that belongs to root and dates from the epoch."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    archive.addfile(entry)


def add_file(archive: tarfile.TarFile, name: str, stream: BinaryIO, size: int, mode: int = 0o644) -> None:
    """Add a regular file that belongs to root and dates from the epoch; `size` in bytes."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, mode
    archive.addfile(entry, stream)


def add_bytes(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    """Add a small file by its content."""
    add_file(archive, name, io.BytesIO(content), len(content), mode)


def add_link(archive: tarfile.TarFile, name: str, target: str) -> None:
    """Add a symbolic link."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
    archive.addfile(entry)
