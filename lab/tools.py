"""What the computer needs before the program can run: Debian and Python packages, the Pulumi engine, plugins.

Everything is kept by version in the cache, so that a second run only looks.
"""

import os
import platform
import shutil
import sys

from lab import engine, go, packages, paths, plugins, progress, virtualenv
from lab.errors import LabError

MACHINES_ELSEWHERE = "aws"
"""The platform that needs neither root nor Debian packages here: nothing is made or compiled on this computer."""


def require_computer() -> None:
    """Refuse, before anything is touched, a computer on which the lab can't run.

    Raises:
        LabError: with everything that is wrong, not only the first.
    """
    problems = []
    if sys.platform != "linux":
        problems.append(
            f"the system is {platform.system()}, not Linux: use a Linux computer or virtual machine"
        )
    elif os.geteuid() != 0:
        problems.append("you are not root: machines need network and mount namespaces; use `sudo make up`")
    if sys.platform == "linux" and shutil.which("apt-get") is None:
        problems.append("there is no apt-get: use Debian 12 or newer, or Ubuntu 24.04 or newer")
    if problems:
        raise LabError(
            "this computer can't run the lab:\n" + "\n".join(f"  - {problem}" for problem in problems)
        )


def ensure(kind: str = "lab", *, browser: bool = False) -> None:
    """Have all tools; cheap when they are there.

    Args:
        kind: of the stack's platform. On `aws` the official plugins are asked for first, so that a refusal comes
            before anything is touched.
        browser: whether tests of pages in a real browser will run.

    Raises:
        LabError: when one can't be had.
    """
    if kind == MACHINES_ELSEWHERE:
        plugins.require_official()
        virtualenv.ensure()
        engine.ensure()
        return
    require_computer()
    packages.ensure(browser=browser)
    virtualenv.ensure()
    engine.ensure()
    plugins.ensure()


def describe() -> list[str]:
    """Return lines that tell which tools are in use and where they came from."""
    stand_ins = plugins.stand_ins()
    kinds = [f"{name} ({'stand-in' if name in stand_ins else 'official'})" for name in plugins.STAND_INS]
    return [
        f"Go          {go.toolchain()}",
        f"Pulumi      {engine.VERSION} ({engine.source()})",
        f"plugins     {', '.join(kinds)}",
        f"Python      {paths.VENV}",
    ]


def main() -> int:
    """Install the tools by hand: `python3 -m lab.tools`."""
    try:
        ensure()
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(describe()))
    progress.note("tools are ready")
    return 0


if __name__ == "__main__":
    sys.exit(main())
