"""The operator's command line: what make calls for a cluster that stands. `python3 -m operations --help` lists it.

It starts with nothing but Python: what is missing is installed first, then it runs again inside the virtual
environment.
"""

import argparse
import importlib
import os
import sys

from lab import paths, tools
from lab.errors import LabError
from workstation import stack_text

COMMANDS: dict[str, str] = {
    "verify": "compare every machine with what the state says of it; changes nothing",
    "repair": "verify, then repeat exactly the steps of the machines that differ",
    "defragment": "give the holes in etcd's database back to the disk, member by member",
    "reboot": "reboot the machines' operating systems, one after the other",
    "user": "make a certificate and a kubeconfig for a person",
    "backup": "take a snapshot of etcd and an encrypted export of the stack",
    "restore": "begin anew from a snapshot, on all members of etcd",
    "restore-drill": "restore the newest snapshot beside the living cluster, compare, and take it away again",
    "recover": "put a stack's lost state back from a backup",
}
"""Command by name, with the text of its help; the module of that name in this package has `arguments(parser)` and
`run(stack, chosen) -> int`."""


def main(arguments: list[str]) -> int:
    """Run one command; gives the exit status. An error is one message, never a traceback."""
    parser = argparse.ArgumentParser(prog="python3 -m operations", description=__doc__)
    parser.add_argument("command", choices=sorted(COMMANDS))
    parser.add_argument("--stack", default="lab")
    chosen, rest = parser.parse_known_args(arguments)
    try:
        _inside(chosen.stack)
        return _run(chosen.command, chosen.stack, rest)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; run it again and it goes on from there", file=sys.stderr)
        return 130


def _run(command: str, name: str, rest: list[str]) -> int:
    from lab.stack import Stack

    module = importlib.import_module(f"operations.{command.replace('-', '_')}")
    parser = argparse.ArgumentParser(prog=f"python3 -m operations {command}", description=COMMANDS[command])
    module.arguments(parser)
    return int(module.run(Stack(name), parser.parse_args(rest)))


def _inside(stack: str) -> None:
    """Continue inside the virtual environment, with all tools installed; returns when this already is inside."""
    if os.environ.get("HARDWAY_INSIDE") == str(paths.VENV):
        return
    file = paths.PROJECT / f"Pulumi.{stack}.yaml"
    try:
        kind = stack_text.platform_kind(file.read_text()) or "lab"
    except (OSError, ValueError):
        kind = "lab"
    tools.ensure(kind)
    python = str(paths.VENV / "bin" / "python")
    os.environ["HARDWAY_INSIDE"] = str(paths.VENV)
    os.execv(python, [python, "-m", "operations", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
