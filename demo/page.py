"""docs/promises.md: what was promised, by which command it was shown, and what the last demo saw."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from config.plan import ClusterPlan
from demo.scenarios import ALL
from demo.show import Promise, Scenario, Told
from lab import paths

PAGE = paths.PROJECT / "docs" / "promises.md"
HEAD = """# What an orchestrator promises, shown

Written by `make demo ARGS='--all --write'` on {processors} processors, in the lab: {machines}, and the example of
[examples/tooling](../examples/tooling/README.md). Every line was seen when its scenario was last played; one that does
not hold ends the demo. Seconds are of a small, shared computer.

"""


def write(told: Sequence[Told], plan: ClusterPlan) -> None:
    """Write the page of a run on a cluster."""
    counts = (
        (len(plan.control_plane), "control-plane machine"),
        (len(plan.workers), "worker"),
        (len(plan.load_balancers), "balancer"),
    )
    machines = ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, name in counts)
    PAGE.write_text(text(told, os.cpu_count() or 1, machines))


def text(told: Sequence[Told], processors: int, machines: str) -> str:
    """The page.

    Args:
        told: what came of the scenarios that were played.
        processors: of the computer.
        machines: of the cluster, in words.
    """
    by_key = {one.key: one for one in told}
    played = [scenario for scenario in ALL if scenario.key in by_key]
    return (
        HEAD.format(processors=processors, machines=machines)
        + "\n".join(_table(played, by_key))
        + "\n\n## Figures\n\n| measured | |\n|---|---|\n"
        + "\n".join(
            f"| {name} | {value} |"
            for scenario in played
            for name, value in by_key[scenario.key].figures.items()
        )
        + "\n\n## Scenario by scenario\n\n"
        + "\n".join(line for scenario in played for line in _section(scenario, by_key[scenario.key]))
    )


def _table(played: Iterable[Scenario], by_key: dict[str, Told]) -> list[str]:
    rows = ["| promise | what is shown | see it yourself | what came of it |", "|---|---|---|---|"]
    for promise in Promise:
        rows += [
            f"| **{promise}** | {scenario.sentence} | `make demo ARGS='--only {scenario.key}'` | "
            f"{by_key[scenario.key].result} |"
            for scenario in played
            if scenario.promise is promise
        ]
    return rows


def _section(scenario: Scenario, told: Told) -> list[str]:
    return [
        f"### {scenario.sentence}",
        "",
        "```",
        *(f"$ {command}" for command in told.commands),
        "```",
        "",
        f"{told.result}. ({told.date}, {told.seconds:.0f} s)",
        "",
    ]
