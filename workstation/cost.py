"""`make cost`: a stack's monthly cost at list prices, by pool and in total.

It reads the stack file and a dated table; it asks AWS nothing and needs no credentials. Run on bare Python it
continues inside the project's virtual environment, like `python3 -m lab`.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING

from lab import virtualenv
from lab.errors import LabError

if TYPE_CHECKING:
    from config.settings import Settings
    from lab.stack import Stack
    from workstation.estimate import Line

FREE = {
    "lab": "its machines are made on this computer and cost nothing",
    "hosts": "its machines are your own; Hardway knows no price of theirs",
}
_FREE_OF_COST = ("cluster.artifacts.", "cluster.platform.images")
"""Places whose mistakes change no price."""
_NEEDED = ("pydantic", "yaml")


def report(chosen: Stack) -> str:
    """The estimate of a stack, as text.

    Raises:
        LabError: the stack file can't be used, or a price is missing.
    """
    from config.plan import plan_cluster
    from workstation import estimate, price_list

    plan = plan_cluster(_settings(chosen), region=chosen.region)
    if plan.aws is None:
        return f"{chosen.source.name}: {FREE[chosen.kind]}"
    prices = price_list.load()
    region = prices.region(plan.aws.region)
    head = (
        f"{chosen.source.name}: cluster {plan.name} in {plan.aws.region}, USD a month of {price_list.HOURS} hours, "
        f"at list prices of {prices.date} without tax"
    )
    remarks = [f"  - {remark}" for remark in estimate.remarks(plan.aws, region)]
    return "\n".join(
        [head, "", *table(estimate.estimate(plan, plan.aws, region)), "", "Not in it:", *remarks]
    )


def _settings(chosen: Stack) -> Settings:
    """The stack's settings; digests and images may be missing yet, since whether to build comes before how.

    Raises:
        LabError: there are other mistakes.
    """
    from pydantic import ValidationError

    from config.salvage import validate
    from config.settings import SettingsError, load_settings

    value, source = chosen.settings(), chosen.source.name
    try:
        return load_settings(value, source)
    except SettingsError as error:
        costly = [
            one
            for one in error.problems
            if not one.startswith(tuple(f"{source}: {it}" for it in _FREE_OF_COST))
        ]
        told = LabError(str(error))
        if costly:
            raise told from None
    try:
        return validate(value)
    except ValidationError:
        raise told from None


def table(lines: Sequence[Line]) -> Iterator[str]:
    """The lines, a sum for each part of the cluster, and the total."""
    wide = max([0, *(len(line.item) for line in lines)])
    yield f"{'':<{wide + 8}}  {'each':>9}  {'a month':>10}"
    for part, group in groupby(lines, lambda line: line.part):
        of_part = list(group)
        yield f"{part:<{wide + 8}}  {'':>9}  {_usd(sum((line.month for line in of_part), Decimal())):>10}"
        for line in of_part:
            yield f"  {line.count:>3} x {line.item:<{wide}}  {_usd(line.each):>9}  {_usd(line.month):>10}"
    yield f"{'total':<{wide + 8}}  {'':>9}  {_usd(sum((line.month for line in lines), Decimal())):>10}"


def _usd(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def _inside() -> None:
    """Continue inside the virtual environment when this Python lacks the project's packages."""
    if all(importlib.util.find_spec(name) for name in _NEEDED):
        return
    python = str(virtualenv.ensure() / "bin" / "python")
    os.execv(python, [python, "-m", "workstation.cost", *sys.argv[1:]])


def main(arguments: list[str]) -> int:
    """Run `python3 -m workstation.cost`; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m workstation.cost", description=__doc__)
    parser.add_argument("--stack", default="dev")
    chosen = parser.parse_args(arguments)
    try:
        _inside()
        from lab.stack import Stack

        print(report(Stack(chosen.stack)))
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
