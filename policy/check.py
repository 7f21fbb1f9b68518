"""`make policy`: have the engine run the pack on a stack, or else judge what the program records of every stack.

`python3 -m policy.check --stack dev`. It says which of the two was done. Exit status: 0 without a violation, 1 with
one, or when something could not be judged at all.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lab import engine, stack
from lab.errors import LabError
from policy.model import Finding
from policy.recorded import resources_of, stack_files
from policy.rules import evaluate

FOLDER = Path(__file__).resolve().parent
ENVIRONMENT = FOLDER / ".venv"


def main(arguments: list[str]) -> int:
    """Run the command; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m policy.check", description=__doc__)
    parser.add_argument("--stack", default="lab", help="whose preview runs the pack, where the engine can")
    parser.add_argument("--recorded", action="store_true", help="judge recorded resources in any case")
    chosen = parser.parse_args(arguments)
    obstacle = "that was asked for" if chosen.recorded else _obstacle(stack.Stack(chosen.stack))
    try:
        return _recorded(obstacle) if obstacle else _by_the_engine(stack.Stack(chosen.stack))
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _obstacle(chosen: stack.Stack) -> str:
    """Why the engine can't run the pack on a stack; "" if it can."""
    if engine.source() != "publisher":
        # Its language host is older than the engine and is not told which pack to start.
        return "the engine here is no release of its publisher and starts no Python policy pack"
    if not chosen.source.is_file():
        return f"there is no {chosen.source.name}"
    return "" if stack.exists(chosen) else f"stack {chosen.name} does not exist yet"


def _by_the_engine(chosen: stack.Stack) -> int:
    install(ENVIRONMENT)
    command = stack.command(chosen, "preview", "--suppress-outputs", "--policy-pack", str(FOLDER))
    print(f"The policy pack runs in a preview of stack {chosen.name}: {' '.join(command)}", flush=True)
    return stack.run(command)


def install(environment: Path) -> None:
    """Have the pack's own virtual environment, as its requirements.txt says.

    Args:
        environment: its folder.

    Raises:
        LabError: it could not be made.
    """
    pip = [str(environment / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    steps = [
        [sys.executable, "-m", "venv", str(environment)],
        [*pip, "install", "-r", str(FOLDER / "requirements.txt")],
    ]
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(
                f"{environment}: can't be made, '{' '.join(step)}' failed: {done.stderr.strip()}; "
                "correct that, or judge recorded resources with --recorded"
            )


def _recorded(reason: str) -> int:
    print(
        f"No preview was made ({reason}): rules are evaluated over recorded mock resources of every stack file."
    )
    verdicts = [_judge(path) for path in stack_files()]
    return 0 if all(verdicts) else 1


def _judge(path: Path) -> bool:
    """Print what rules find in a stack file's resources; tells whether there is no violation."""
    try:
        resources = resources_of(path)
    except Exception as error:
        print(f"{path.name}: NOT JUDGED, the program refuses it: {error}")
        return False
    found = list(evaluate(resources))
    violations = [one for one in found if one[1].known]
    print(
        f"{path.name}: {len(resources)} resources, {sum(one.type.startswith('aws:') for one in resources)} of them "
        f"of AWS; {len(violations)} violations, {len(found) - len(violations)} not known yet"
    )
    for line in _lines(found):
        print(f"  {line}")
    return not violations


def _lines(found: list[tuple[str, Finding]]) -> Iterator[str]:
    for rule, finding in sorted(found, key=lambda one: (not one[1].known, one[0], str(one[1]))):
        yield f"{rule if finding.known else f'{rule} (not known yet)'}: {finding}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
