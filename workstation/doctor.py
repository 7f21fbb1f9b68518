"""`make doctor`: looks whether this computer has what a stack's platform needs, and says how to get what it lacks.

It runs on bare Python, changes nothing and installs nothing. Every question to a program or a network is bounded.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workstation.findings import Finding

PYTHON = (3, 11)


def examine(stack: str) -> tuple[str, list[Finding]]:
    """Check everything for a stack; gives its platform's kind and what was found.

    Raises:
        LabError: no stack file of that name, or no platform in it.
    """
    from lab import paths
    from lab.errors import LabError
    from workstation import stack_text

    file = paths.PROJECT / f"Pulumi.{stack}.yaml"
    try:
        text = file.read_text()
    except FileNotFoundError:
        others = sorted(path.stem.removeprefix("Pulumi.") for path in paths.PROJECT.glob("Pulumi.*.yaml"))
        raise LabError(f"{file.name}: no such file; STACK= may be {', '.join(others)}") from None
    kind = stack_text.platform_kind(text)
    if kind not in ("aws", "hosts", "lab"):
        raise LabError(
            f"{file.name}: config.hardway:cluster.platform.kind is {kind or 'missing'}; it is aws, hosts or lab"
        )
    return kind, list(_checks(kind, text))


def _checks(kind: str, text: str) -> Iterator[Finding]:
    from workstation import aws_checks, client_checks, computer_checks, pulumi_checks, stack_text

    yield computer_checks.python()
    yield computer_checks.system()
    if kind == "lab":
        yield from computer_checks.of_lab()
    elif kind == "hosts":
        yield from computer_checks.of_builder()
    yield pulumi_checks.virtual_environment()
    yield from pulumi_checks.engine_and_host()
    yield from pulumi_checks.provider_plugins(kind)
    if kind == "aws":
        yield from aws_checks.checks(stack_text.region(text))
    yield client_checks.kubectl(text)
    yield client_checks.ssh()


def main(arguments: list[str]) -> int:
    """Run `python3 -m workstation.doctor`; gives 1 if something that is needed is missing."""
    if sys.version_info[:2] < PYTHON:
        # What follows is written for newer ones and would fail with a traceback.
        print(f"error: Python {sys.version.split()[0]}: Hardway needs 3.11 or later", file=sys.stderr)
        return 1
    from lab.errors import LabError
    from workstation.findings import Verdict, table

    parser = argparse.ArgumentParser(prog="python3 -m workstation.doctor", description=__doc__)
    parser.add_argument("--stack", default="lab")
    chosen = parser.parse_args(arguments)
    try:
        kind, found = examine(chosen.stack)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"stack {chosen.stack}, platform {kind}\n")
    print("\n".join(table(found)))
    missing = [one.check for one in found if one.verdict is Verdict.MISSING]
    print(
        f"\nmissing: {', '.join(missing)}" if missing else "\nall that is needed is here, or `make` gets it"
    )
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
