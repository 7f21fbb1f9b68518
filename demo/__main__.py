"""Deploy the example on a running cluster and show what an orchestrator promises: `make demo`.

It changes nothing but the namespace `tooling`, and cuts the power of workers of the lab, which come back.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict

from demo import page
from demo.scenarios import ALL
from demo.show import Told
from demo.site import ADMIN, Site
from lab.client import Client
from lab.errors import LabError


def main(arguments: list[str]) -> int:
    """Run the command line; gives the exit status."""
    chosen = _parser().parse_args(arguments)
    site = Site(Client(chosen.stack))
    try:
        _require_lab(site)
        if chosen.write and not chosen.all:
            _require_told(site, chosen.only or [])
        if chosen.remove:
            site.remove()
        else:
            _play(site, chosen.only, whole=chosen.all, write=chosen.write)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; run it again, it puts right what it finds", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    keys = [scenario.key for scenario in ALL]
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__.splitlines()[0])
    parser.add_argument("--stack", default="lab")
    parser.add_argument("--only", nargs="+", metavar="SCENARIO", choices=keys, help=", ".join(keys))
    parser.add_argument("--all", action="store_true", help="the scenarios that take minutes too")
    parser.add_argument(
        "--write",
        action="store_true",
        help="write what came of each scenario when it was last played on this cluster into docs/promises.md",
    )
    parser.add_argument("--remove", action="store_true", help="take the example away instead")
    return parser


def _play(site: Site, only: list[str] | None, *, whole: bool, write: bool) -> None:
    print(f"The example of examples/tooling on stack {site.client.name}", flush=True)
    begin = time.monotonic()
    site.deploy()
    print(f"deployed in {time.monotonic() - begin:.1f} s\n", flush=True)
    scenarios = [one for one in ALL if (one.key in only if only else whole or not one.long)]
    told: list[Told] = []
    for number, scenario in enumerate(scenarios, 1):
        print(
            f"{number}/{len(scenarios)} {scenario.promise} ({scenario.key})\n  {scenario.sentence}",
            flush=True,
        )
        told.append(scenario.on(site, lambda line: print(line, flush=True)))
        print(f"  ({told[-1].seconds:.0f} s)\n", flush=True)
    whole_story = _kept(site) | {one.key: one for one in told}
    site.client.stack.demo_results.write_text(
        json.dumps([asdict(one) for one in whole_story.values()], indent=2)
    )
    if write:
        page.write(list(whole_story.values()), site.client.plan)
    target = site.balancer
    print(
        f"The site stays: http://{target.host}:{target.port}/ (name {ADMIN}, password in {site.password_file})"
    )
    print("make demo ARGS=--remove takes it away; so does make down.")


def _kept(site: Site) -> dict[str, Told]:
    """What came of each scenario when it was last played on this cluster."""
    results = site.client.stack.demo_results
    told = [Told(**one) for one in json.loads(results.read_text())] if results.exists() else []
    return {one.key: one for one in told}


def _require_told(site: Site, only: list[str]) -> None:
    """Refuse to write a page from which scenarios would be missing.

    Raises:
        LabError: some were never played on this cluster, and will not be in this run.
    """
    untold = {one.key for one in ALL} - set(_kept(site)) - set(only)
    if untold:
        raise LabError(
            f"--write: docs/promises.md tells of every scenario; add --all, for {', '.join(sorted(untold))}"
        )


def _require_lab(site: Site) -> None:
    """Refuse where power can't be cut.

    Raises:
        LabError: the stack is not the lab's, or nothing is built.
    """
    site.client.stack.outputs()
    if not site.client.stack.is_lab:
        raise LabError(
            f"stack {site.client.name}: the demo cuts the power of workers, which it can only in the lab"
        )
    if len(site.client.workers) < 2:
        raise LabError(
            f"stack {site.client.name}: the demo needs two workers; set workerPools[0].count to 2 in "
            f"{site.client.stack.source.name} and run 'make up STACK={site.client.name}'"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
