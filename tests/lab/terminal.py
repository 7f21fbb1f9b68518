"""A program on a terminal of its own, and what then stands on the screen. Knows the few sequences that `rich` sends."""

import fcntl
import os
import pty
import re
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SEQUENCE = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])")
SECONDS = 60.0
"""How long a program may take."""


@dataclass
class Screen:
    """What a terminal shows, line by line, however long ago it was printed."""

    lines: list[str] = field(default_factory=lambda: [""])
    row: int = 0
    column: int = 0

    def feed(self, text: str) -> None:
        """Show what a program wrote."""
        place = 0
        while place < len(text):
            if found := SEQUENCE.match(text, place):
                self._obey(found[1], found[2])
                place = found.end()
            else:
                self._put(text[place])
                place += 1

    def text(self) -> list[str]:
        """The lines without what is blank at their ends; empty ones at the end are left out."""
        return "\n".join(line.rstrip() for line in self.lines).rstrip("\n").split("\n")

    def _put(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row += 1
            if self.row == len(self.lines):
                self.lines.append("")
        else:
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1

    def _obey(self, number: str, order: str) -> None:
        if order == "A":
            self.row = max(0, self.row - int(number or 1))
        elif order == "K":
            assert number == "2"
            self.lines[self.row] = ""
        else:
            # Colours, and whether the cursor is seen.
            assert order == "m" or number == "?25", f"{number}{order}"


@dataclass(frozen=True)
class Shown:
    """How a program ended, and the screen then."""

    status: int
    lines: list[str]


def run(
    line: Sequence[str], environment: Mapping[str, str], *, columns: int, rows: int, interrupt_at: str = ""
) -> Shown:
    """Run a program on a terminal of that size; press Ctrl-C as soon as a text has been printed."""
    process, terminal = pty.fork()
    if process == 0:
        # The size has to be there before the program looks.
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.execvpe(line[0], list(line), dict(environment))
    printed = b""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        printed += piece
        if interrupt_at and interrupt_at.encode() in printed:
            os.write(terminal, b"\x03")
            interrupt_at = ""
    os.close(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    screen = Screen()
    screen.feed(printed.decode())
    return Shown(status, screen.text())
