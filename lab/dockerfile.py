"""What a Dockerfile says of how its image starts, so that an image made without Docker starts the same way.

It runs nothing: RUN and COPY are the business of who builds the tree. Shell forms of CMD and ENTRYPOINT, ARG and
variables in values are refused or not known.
"""

import json
import re
import shlex
from pathlib import Path

from lab.errors import LabError

SEARCH_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BUILT_OTHERWISE = ("FROM", "RUN", "COPY")


def start(file: Path) -> dict[str, object]:
    """Return the `config` of the OCI image specification that the last stage of a Dockerfile asks for.

    Raises:
        LabError: with file and line for an instruction or a form that is not known here.
    """
    config: dict[str, object] = {"Env": [SEARCH_PATH], "WorkingDir": "/"}
    for instruction, value in _last_stage(file):
        if instruction == "ENV":
            config["Env"] = [*_texts(config["Env"]), *shlex.split(value)]
        elif instruction == "WORKDIR":
            config["WorkingDir"] = value
        elif instruction == "USER":
            config["User"] = value
        elif instruction == "EXPOSE":
            config["ExposedPorts"] = {f"{port}/tcp": {} for port in value.split()}
        elif instruction in ("CMD", "ENTRYPOINT"):
            config[instruction.capitalize()] = _exec_form(file, instruction, value)
        elif instruction not in _BUILT_OTHERWISE:
            raise LabError(
                f"{file}: {instruction} is not known to the lab's own builder; teach it in lab/dockerfile.py"
            )
    return config


def _last_stage(file: Path) -> list[tuple[str, str]]:
    text = re.sub(r"(?m)^\s*#.*\n", "", file.read_text())
    lines = [line.strip() for line in re.sub(r"\\\n", " ", text).splitlines() if line.strip()]
    instructions = [(line.split()[0].upper(), line.split(maxsplit=1)[-1]) for line in lines]
    stages = [position for position, (name, _) in enumerate(instructions) if name == "FROM"]
    if not stages:
        raise LabError(f"{file}: no FROM; is it a Dockerfile?")
    return instructions[stages[-1] :]


def _exec_form(file: Path, instruction: str, value: str) -> list[str]:
    try:
        return _texts(json.loads(value))
    except ValueError:
        raise LabError(
            f'{file}: {instruction} {value}: write it as a list, ["program", "argument"]: a shell takes no signals'
        ) from None


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
