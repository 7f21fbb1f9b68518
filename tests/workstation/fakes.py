"""Programs that stand for real ones: each a small shell script in a folder that is the whole PATH."""

import json
from pathlib import Path
from typing import Any

NO_CREDENTIALS = 'Unable to locate credentials. You can configure credentials by running "aws configure".'


class Programs:
    """A folder of programs; `log` has a line for every call, without its answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder.parent / f"{folder.name}.log"
        folder.mkdir(parents=True)

    def add(self, name: str, body: str) -> None:
        """Make a program of shell lines; what it is called with is logged."""
        program = self.folder / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.log}\n{body}\n')
        program.chmod(0o755)

    def calls(self) -> list[str]:
        """What was called so far."""
        return self.log.read_text().splitlines() if self.log.exists() else []


def answering(**answers: Any) -> str:
    """Shell lines of an `aws` that answers by its subcommand: JSON, or an exception's text on standard error.

    `describe_images_arm64` answers a describe-images whose filters name arm64.
    """
    lines = ['case "$*" in']
    for name, answer in answers.items():
        # ? stands for the dash or the space between two words.
        pattern = f"*{name.replace('_images_', '_images*').replace('_', '?')}*"
        if isinstance(answer, Exception):
            lines.append(f"  {pattern}) echo '{answer}' >&2; exit 254 ;;")
        else:
            text = answer if isinstance(answer, str) else json.dumps(answer)
            lines.append(f"  {pattern}) echo '{text}' ;;")
    return "\n".join([*lines, "  *) exit 2 ;;", "esac"])
