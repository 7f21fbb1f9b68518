"""Image layers: folders as tars that come out the same whenever they are packed, and what one adds to another.

Content, kind, mode, numeric owner and link target count; times are the epoch. It packs no device, socket or extended
attribute, and nothing below folders that a running container fills.
"""

import hashlib
import json
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from lab import archives, mirror
from lab.errors import LabError

FILLED_AT_START = ("dev", "proc", "sys")
"""Folders whose content is the container runtime's affair; they are packed empty."""

Facts = tuple[bytes, int, int, int, str]
"""Kind, mode, user, group, and a link's target or a file's sha256: what makes two entries the same."""


def pack(tree: Path, target: Path, below: Iterable[Path] = ()) -> None:
    """Write a tar of `tree` without what the layers `below` hold already.

    Raises:
        LabError: when something that a layer below holds is missing: this module writes no deletions.
    """
    present: dict[str, Facts] = {}
    for layer in below:
        present |= dict(_packed(layer))
    with tarfile.open(target, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for entry, path in _entries(tree):
            known = present.pop(entry.name, None)
            if known != _facts(entry, mirror.file_digest(path) if entry.isreg() or entry.islnk() else ""):
                _add(archive, entry, path)
    if present:
        raise LabError(
            f"{tree}: {min(present)} is gone, which a lower layer has; remove it from that layer's recipe, too"
        )


def unpack(layers: Iterable[Path], tree: Path) -> None:
    """Unpack layers over one another into `tree`, owners and modes included, to run programs in it as root."""
    tree.mkdir(parents=True, exist_ok=True)
    for layer in layers:
        with tarfile.open(layer) as archive:
            for entry in archive:
                if not entry.isdir():
                    # Written into, a file would change under its other names, too.
                    (tree / entry.name).unlink(missing_ok=True)
                # Our own archives: the filter for strangers' ones would refuse set-uid files and absolute links.
                archive.extract(entry, tree, numeric_owner=True, filter="fully_trusted")


def write_image(target: Path, reference: str, config: bytes, layers: Iterable[Path]) -> None:
    """Write a docker-archive, which `ctr images import` takes: a configuration, layers and the name they go by."""
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    names = []
    with tarfile.open(target, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archives.add_bytes(archive, config_name, config)
        for layer in layers:
            names.append(f"{mirror.file_digest(layer)}/layer.tar")
            with layer.open("rb") as stream:
                archives.add_file(archive, names[-1], stream, layer.stat().st_size)
        manifest: list[dict[str, object]] = [
            {"Config": config_name, "RepoTags": [reference], "Layers": names}
        ]
        archives.add_bytes(archive, "manifest.json", json.dumps(manifest).encode())


def _add(archive: tarfile.TarFile, entry: tarfile.TarInfo, path: Path) -> None:
    if not entry.isreg():
        archive.addfile(entry)
        return
    with path.open("rb") as stream:
        archive.addfile(entry, stream)


def _entries(tree: Path) -> Iterator[tuple[tarfile.TarInfo, Path]]:
    """Yield what is in a tree, parents first, in the order of names."""
    names: dict[int, str] = {}
    for folder, folders, files in os.walk(tree):
        inside = Path(folder).relative_to(tree)
        if str(inside) in FILLED_AT_START:
            folders.clear()
            continue
        folders.sort()
        for name in sorted([*folders, *files]):
            entry = _entry(str(inside / name), Path(folder, name), names)
            if entry:
                yield entry, Path(folder, name)


def _entry(name: str, path: Path, names: dict[int, str]) -> tarfile.TarInfo | None:
    """Return a file's, folder's or link's entry; None for other kinds. `names` has each file's first, by its inode."""
    facts = path.lstat()
    entry = tarfile.TarInfo(name)
    entry.mode, entry.uid, entry.gid = stat.S_IMODE(facts.st_mode), facts.st_uid, facts.st_gid
    if stat.S_ISDIR(facts.st_mode):
        entry.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(facts.st_mode):
        entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(path)
    elif stat.S_ISREG(facts.st_mode) and names.setdefault(facts.st_ino, name) != name:
        entry.type, entry.linkname = tarfile.LNKTYPE, names[facts.st_ino]
    elif stat.S_ISREG(facts.st_mode):
        entry.size = facts.st_size
    else:
        return None
    return entry


def _packed(layer: Path) -> Iterator[tuple[str, Facts]]:
    with tarfile.open(layer) as archive:
        for entry in archive:
            stream = archive.extractfile(entry) if entry.isreg() or entry.islnk() else None
            digest = hashlib.sha256(stream.read()).hexdigest() if stream else ""
            yield entry.name, _facts(entry, digest)


def _facts(entry: tarfile.TarInfo, digest: str) -> Facts:
    return entry.type, entry.mode, entry.uid, entry.gid, entry.linkname + digest
