"""One preview: the engine's own words, cut down to what changes, and a paragraph on what the run would disturb.

The engine runs once; its plan, which it writes beside its words, tells the rest. The plan is taken away at once.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from config.plan import ClusterPlan
from lab import blast_radius, held_pods, progress, review, stack

_OF_THE_PLAN = ("Update plan written to", "Run `pulumi up --plan")


def show(chosen: stack.Stack, plan: ClusterPlan, arguments: list[str], *, whole: bool) -> int:
    """Run a preview and print it; gives its exit status.

    Args:
        chosen: the stack.
        plan: of its settings.
        arguments: further ones for pulumi.
        whole: print all that the engine prints, not only the lines that change.
    """
    chosen.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    plan_file = chosen.folder / "preview-plan.json"
    line = stack.command(chosen, "preview", "--diff", "--save-plan", str(plan_file), *arguments)
    try:
        status = stack.run_filtered(
            line, _all_but_the_plan if whole else _changed_only, errors_without=_OF_THE_PLAN
        )
        if not status:
            _tell(chosen, plan, plan_file)
        return status
    finally:
        plan_file.unlink(missing_ok=True)


def _all_but_the_plan(lines: Iterable[str]) -> Iterator[str]:
    return (line for line in lines if not line.lstrip().startswith(_OF_THE_PLAN))


def _changed_only(lines: Iterable[str]) -> Iterator[str]:
    return review.changed_only(_all_but_the_plan(lines))


def _tell(chosen: stack.Stack, plan: ClusterPlan, plan_file: Path) -> None:
    """Print the paragraph, if there is one. A preview is none the worse for a plan that cannot be read."""
    try:
        document = json.loads(plan_file.read_text())
        if not blast_radius.changes_anything(document):
            return
        found = blast_radius.disturbance(document, stack.exported(chosen))
        held = held_pods.held_pods(chosen, plan, found.leaving) if found.leaving else []
        text = blast_radius.paragraph(found, plan, held)
    except Exception as error:
        progress.note(f"what this run disturbs could not be told ({type(error).__name__}: {error})")
        return
    if text:
        sys.stdout.flush()
        print(f"\n{text}")
