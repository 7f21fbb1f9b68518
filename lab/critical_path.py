"""The chain of steps that a run's length came from: each step with the one that it waited for.

From the last step backwards, the predecessor of a step is, of all the resources that it depends on, the one whose
step ended last. Shortening anything off this chain makes no run shorter. Where the chain could have forked, within
the exactness of the log's times, one of the equals is taken.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from lab.timeline import Step

Dependencies = Mapping[str, Collection[str]]
"""URNs of the resources that a resource waits for, by its URN."""


def dependencies(resources: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """What each resource of a state, as `pulumi stack export` tells it, waits for; its components' waits included.

    Providers are left out: they are there before everything.
    """
    listed = {str(one["urn"]): one for one in resources}
    graph: dict[str, set[str]] = {}
    for urn, one in listed.items():
        graph[urn] = {str(name) for name in one.get("dependencies") or ()}
        above = one.get("parent")
        while above in listed:
            graph[urn] |= {str(name) for name in listed[above].get("dependencies") or ()}
            above = listed[above].get("parent")
        graph[urn].discard(urn)
    return graph


def critical_path(steps: Iterable[Step], graph: Dependencies) -> list[Step]:
    """The chain, in the order of time; empty when nothing was done.

    It ends with the step that failed last when one failed, else with the one that ended last. A resource that the
    graph does not know, such as one whose creation failed, is taken to have waited for what ended last before it.
    """
    working = [step for step in steps if not (step.component or step.op == "same" or _is_engines(step))]
    place = max(range(len(working)), key=lambda at: _weight(working[at]), default=None)
    chain: list[Step] = []
    while place is not None:
        chain.append(working[place])
        place = _predecessor(working, place, graph)
    return chain[::-1]


def _is_engines(step: Step) -> bool:
    """Whether it is the engine's own: the stack and the providers."""
    return step.type.startswith("pulumi:")


def _weight(step: Step) -> tuple[bool, float]:
    return step.outcome == "failed", float("inf") if step.end is None else step.end


def _predecessor(working: Sequence[Step], place: int, graph: Dependencies) -> int | None:
    """The place of the step that the one at a place waited for last.

    Steps are in the order of their begins, and the engine begins none before what it waits for has ended.
    """
    step = working[place]
    before = [at for at in range(place) if (end := working[at].end) is not None and end <= step.begin]
    if step.urn in graph:
        waited_for = {step.urn, *graph[step.urn]}
        before = [at for at in before if working[at].urn in waited_for]
    return max(before, key=lambda at: (working[at].end, at), default=None)
