"""A stack file as text: single values, and the lines of the machine images, without the package that reads YAML.

For what has to run on bare Python, and for changing two lines with everything else kept as a human wrote it. It
knows block mappings and flow mappings on one line (`{kind: aws}`), which is how stack files are written. It
checks nothing: the program reads the file as YAML and says what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lab.errors import LabError

PLATFORM = ("config", "hardway:cluster", "platform")
_KEY = re.compile(r"""^(?P<indent> *)(?P<quote>["']?)(?P<key>[^\s#"'{\[-][^"'{#]*?)(?P=quote):(?=\s|$)\s*""")
_SCALAR = re.compile(r"""^(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<plain>[^#]*?))\s*(?:#.*)?$""")


@dataclass(frozen=True)
class _Entry:
    """A key of a block mapping: its line's number, its indentation, and what stands behind the colon."""

    line: int
    indent: int
    rest: str


def platform_kind(text: str) -> str:
    """The kind of the stack's platform; "" when it is not found."""
    return value(text, *PLATFORM, "kind")


def region(text: str) -> str:
    """Pulumi's own setting `aws:region`; "" when it is not found."""
    return value(text, "config", "aws:region")


def kubernetes_version(text: str) -> str:
    """The Kubernetes release that the stack asks for; "" when it leaves that to the default."""
    return value(text, "config", "hardway:cluster", "kubernetes", "version")


def value(text: str, *path: str) -> str:
    """The scalar at a path of keys; "" when there is none."""
    lines = text.splitlines()
    parent: _Entry | None = None
    for depth, key in enumerate(path):
        found = _child(lines, parent, key)
        if found is None:
            return ""
        if found.rest.startswith("{"):
            return _in_flow(found.rest, path[depth + 1 :])
        parent = found
    return _scalar(parent.rest) if parent else ""


def with_images(text: str, source: str, images: Mapping[str, str]) -> str:
    """The same text with `platform.images` set; only lines of the images differ.

    Args:
        text: the stack file's content.
        source: what to call it in errors, such as `Pulumi.dev.yaml`.
        images: id by architecture; others that stand there are kept.

    Raises:
        LabError: the file is written in a way that this can't change safely; it says what to write by hand.
    """
    lines = text.splitlines(keepends=True)
    platform = _find(lines, *PLATFORM)
    kind = _child(lines, platform, "kind") if platform else None
    if platform is None or kind is None:
        raise _by_hand(source, images)
    entry = _child(lines, platform, "images")
    if entry is None:
        block = [f"{' ' * kind.indent}images:\n", *_image_lines(kind.indent + 2, images)]
        lines[kind.line : kind.line + 1] = [_ended(lines[kind.line]), *block]
    elif entry.rest.startswith("{"):
        lines[entry.line] = _with_flow_images(lines[entry.line], images)
    elif _scalar(entry.rest):
        raise _by_hand(source, images)
    else:
        _set_block_images(lines, entry, images)
    changed = "".join(lines)
    if any(value(changed, *PLATFORM, "images", arch) != image for arch, image in images.items()):
        raise _by_hand(source, images)
    return changed


def _by_hand(source: str, images: Mapping[str, str]) -> LabError:
    wanted = ", ".join(f"{arch}: {image}" for arch, image in images.items())
    return LabError(
        f"{source}: platform.images can't be changed as the file is written; write there yourself: "
        f"images: {{{wanted}}}"
    )


def _set_block_images(lines: list[str], entry: _Entry, images: Mapping[str, str]) -> None:
    """Change or add the lines below `images:`, the last first, since a line that is added moves those after it."""
    present = {arch: _child(lines, entry, arch) for arch in images}
    indents = [found.indent for found in present.values() if found]
    missing = {arch: image for arch, image in images.items() if present[arch] is None}
    for arch, found in present.items():
        if found:
            lines[found.line] = _with_scalar(lines[found.line], found.rest, images[arch])
    last = max([entry.line, *(found.line for found in present.values() if found)])
    lines[last] = _ended(lines[last])
    lines[last + 1 : last + 1] = _image_lines(indents[0] if indents else entry.indent + 2, missing)


def _image_lines(indent: int, images: Mapping[str, str]) -> list[str]:
    return [f"{' ' * indent}{arch}: {image}\n" for arch, image in images.items()]


def _ended(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n"


def _with_scalar(line: str, rest: str, scalar: str) -> str:
    """The line with another scalar behind its key; the comment and the line's end stay."""
    key = line[: len(line.rstrip("\r\n")) - len(rest)] if rest else f"{line.rstrip()} "
    end = line[len(line.rstrip("\r\n")) :]
    comment = re.search(r"(^|\s+)#.*$", rest)
    kept = comment[0] if comment else ""
    return f"{key}{scalar}{'  ' if kept.startswith('#') else ''}{kept}{end}"


def _with_flow_images(line: str, images: Mapping[str, str]) -> str:
    for arch, image in images.items():
        line, changed = re.subn(rf"(\b{arch}:\s*)[^\s,}}]+", rf"\g<1>{image}", line, count=1)
        if not changed:
            line = re.sub(r"\s*\}", f", {arch}: {image}}}", line, count=1).replace("{, ", "{", 1)
    return line


def _find(lines: Sequence[str], *path: str) -> _Entry | None:
    entry: _Entry | None = None
    for key in path:
        entry = _child(lines, entry, key)
        if entry is None:
            return None
    return entry


def _child(lines: Sequence[str], parent: _Entry | None, key: str) -> _Entry | None:
    return dict(_children(lines, parent)).get(key)


def _children(lines: Sequence[str], parent: _Entry | None) -> Iterator[tuple[str, _Entry]]:
    """The keys right below another one (None: at the file's outer level)."""
    outer = parent.indent if parent else -1
    level: int | None = None
    for number in range(parent.line + 1 if parent else 0, len(lines)):
        line = lines[number].rstrip("\r\n")
        indent = len(line) - len(line.lstrip(" "))
        if not line.strip() or line.lstrip().startswith("#") or line.startswith("---"):
            continue
        if indent <= outer:
            return
        level = indent if level is None else level
        matched = _KEY.match(line) if indent == level else None
        if matched:
            yield matched["key"], _Entry(number, indent, line[matched.end() :].rstrip())


def _scalar(rest: str) -> str:
    matched = _SCALAR.match(rest)
    return (matched["double"] or matched["single"] or matched["plain"] or "") if matched else ""


def _in_flow(rest: str, path: Sequence[str]) -> str:
    """A scalar of a flow mapping on one line."""
    for key in path:
        matched = re.search(rf"""[{{,]\s*["']?{re.escape(key)}["']?:\s*(.*)$""", rest)
        if matched is None:
            return ""
        rest = matched[1]
    return re.split(r"[,}#]", rest, maxsplit=1)[0].strip().strip("\"'")
