"""The Debian or Ubuntu mirror that this computer's own apt uses: the lab names no mirror of its own."""

import re
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

APT = Path("/etc/apt")
OS_RELEASE = Path("/etc/os-release")
USABLE_COMPONENTS = ("main", "universe")


@dataclass(frozen=True)
class Source:
    """One archive: its address, the suite (bookworm, noble, ...), components, perhaps a keyring's path."""

    address: str
    suite: str
    components: tuple[str, ...]
    keyring: str | None = None


def own_source() -> Source:
    """Return the archive that holds this computer's own release.

    Raises:
        LabError: if the computer is no Debian or Ubuntu, or its apt names no such archive.
    """
    suite = _codename()
    for source in _all_sources():
        if source.suite == suite and "main" in source.components:
            return source
    raise LabError(
        f"{APT}: no source offers suite {suite}, component main; "
        "add this computer's own release to its apt sources"
    )


def _codename() -> str:
    found = re.search(r'^VERSION_CODENAME="?([a-z]+)"?$', _text(OS_RELEASE), re.MULTILINE)
    if not found:
        raise LabError(
            f"{OS_RELEASE}: no VERSION_CODENAME; the lab needs Debian 12 or later, or Ubuntu 24.04 or later"
        )
    return found.group(1)


def _all_sources() -> list[Source]:
    found = []
    for file in sorted(APT.glob("sources.list.d/*.sources")):
        for stanza in re.split(r"\n\s*\n", _text(file)):
            found += _from_stanza(stanza)
    for file in [APT / "sources.list", *sorted(APT.glob("sources.list.d/*.list"))]:
        found += [source for line in _text(file).splitlines() for source in _from_line(line)]
    return found


def _text(file: Path) -> str:
    return file.read_text() if file.is_file() else ""


def _from_stanza(stanza: str) -> list[Source]:
    """Read one deb822 stanza; continuation lines hold only embedded keys, which debootstrap can't take."""
    lines = [line for line in stanza.splitlines() if line and not line.startswith(("#", " ", "\t"))]
    fields = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
        return []
    signed_by = fields.get("signed-by", "")
    return [
        Source(
            address,
            suite,
            _usable(fields.get("components", "")),
            signed_by if signed_by.startswith("/") else None,
        )
        for address in fields.get("uris", "").split()
        for suite in fields.get("suites", "").split()
    ]


def _from_line(line: str) -> list[Source]:
    """Read one line of the old form: deb [options] address suite component..."""
    found = re.fullmatch(
        r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<address>\S+)\s+(?P<suite>\S+)\s+(?P<rest>.*)", line.strip()
    )
    if not found:
        return []
    signed_by = re.search(r"signed-by=(/\S+)", found["options"] or "")
    keyring = signed_by.group(1) if signed_by else None
    return [Source(found["address"], found["suite"], _usable(found["rest"]), keyring)]


def _usable(components: str) -> tuple[str, ...]:
    return tuple(name for name in components.split("#")[0].split() if name in USABLE_COMPONENTS)
