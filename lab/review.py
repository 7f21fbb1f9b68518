"""`pulumi preview --diff` cut down to what changes.

The engine prints a changed component's whole input, and a machine's input is its whole tree. This keeps the marked
lines, what they stand under, and nothing else. It reads the text alone; `FULL=1` shows it all.
"""

import re
from collections.abc import Iterable, Iterator

_COLOURS = re.compile(r"\x1b\[[0-9;]*m|<\{%[^%]*%\}>")
_LINE = re.compile(r"^(?P<space>\s*)(?P<marker>[-+~]{1,2}(?=\s)\s*)?(?P<text>.*)$")
_KEPT = ("[urn=", "Previewing", "Resources:", "error", "warning", "Diagnostics")
_AFTER = ("Resources:", "Diagnostics")


def changed_only(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a preview that tell of a change, with those that they stand under.

    Args:
        lines: the engine's output, coloured or not.
    """
    above: list[tuple[int, str, bool]] = []
    everything = False
    for line in lines:
        column, marked, text = _parse(line)
        everything = everything or text.startswith(_AFTER)
        if everything:
            yield line
            continue
        closing = text.rstrip() in ("}", "]")
        opener_shown = False
        while above and above[-1][0] >= column:
            last = above.pop()
            opener_shown = last[2] and last[0] == column
        if closing:
            if opener_shown or marked:
                yield line
            continue
        shown = marked or text.startswith(_KEPT)
        if shown:
            for index, (at, earlier, printed) in enumerate(above):
                if not printed:
                    yield earlier
                    above[index] = (at, earlier, True)
            yield line
        if text and not text.startswith("["):
            above.append((column, line, shown))


def _parse(line: str) -> tuple[int, bool, str]:
    """Column of the text, whether the line is marked as changed, and the text."""
    match = _LINE.match(_COLOURS.sub("", line.rstrip("\n")))
    assert match is not None
    marker = match["marker"] or ""
    return len(match["space"]) + len(marker), bool(marker), match["text"]
