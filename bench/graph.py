"""A stack's resource graph before anything exists: counts, the longest chain of waits, seconds of evaluation.

`make graph STACK=dev`, or `python -m bench.graph --stack dev --scale`. The program runs under the tests' own recorder,
which answers in the place of engine and providers: nothing is made and nobody is asked. Seconds of resources are
assumptions, below. What limits a real run besides (the `--parallel` of the engine, quotas, retries) is not in them.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pulumi
import yaml

from config.settings import SettingsError
from config.stack_file import KEY, region_of_stack_file
from tests.config.clusters import any_digests
from tests.program.recording import Resource, Run, run_program
from tests.program.runs import with_artifacts

PROJECT = Path(__file__).parents[1]

ASSUMED_IN = "November 2026"
TYPICAL_SECONDS: dict[str, float] = {
    "aws:ec2/vpc:Vpc": 12,
    "aws:ec2/subnet:Subnet": 1,
    "aws:ec2/subnetCidrReservation:SubnetCidrReservation": 1,
    "aws:ec2/internetGateway:InternetGateway": 1,
    "aws:ec2/natGateway:NatGateway": 100,
    "aws:ec2/eip:Eip": 2,
    "aws:ec2/route:Route": 1,
    "aws:ec2/routeTable:RouteTable": 1,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": 1,
    "aws:ec2/vpcEndpoint:VpcEndpoint": 6,
    "aws:ec2/securityGroup:SecurityGroup": 2,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": 1,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": 1,
    "aws:iam/role:Role": 1,
    "aws:iam/rolePolicy:RolePolicy": 1,
    "aws:iam/instanceProfile:InstanceProfile": 7,
    "aws:ec2/instance:Instance": 30,
    "aws:ebs/volume:Volume": 11,
    "aws:ec2/volumeAttachment:VolumeAttachment": 11,
    "aws:lb/loadBalancer:LoadBalancer": 150,
    "aws:lb/targetGroup:TargetGroup": 1,
    "aws:lb/targetGroupAttachment:TargetGroupAttachment": 1,
    "aws:lb/listener:Listener": 1,
    "command:local:Command": 3,
    "command:remote:Command prepare": 40,
    "command:remote:Command activate": 8,
    "command:remote:Command host-key": 2,
    "command:remote:Command drain": 1,
    "command:remote:Command add-ons": 15,
    "command:remote:Command ready": 20,
}
"""Seconds from a resource's beginning to its end, an instance's until it answers on SSH. Assumptions, not measurements;
commands after what the lab takes, the rest after what AWS usually takes. What is not listed counts as nothing."""


@dataclass(frozen=True)
class Step:
    """When a resource begins and ends if everything begins as early as it may."""

    resource: Resource
    begin: float
    end: float
    previous: str

    @property
    def name(self) -> str:
        """Type without its package, and logical name."""
        return f"{self.resource.type.rpartition(':')[2]} {self.resource.name}"


def typical_seconds(resource: Resource) -> float:
    """How long a resource is assumed to take."""
    if not resource.custom:
        return 0
    by_phase = (
        seconds
        for key, seconds in TYPICAL_SECONDS.items()
        if f"{resource.type} {resource.name}".startswith(key) and " " in key
    )
    return TYPICAL_SECONDS.get(resource.type) or next(by_phase, 0)


def _end_and_name(step: Step) -> tuple[float, str]:
    """By which the latest of several is always the same one."""
    return step.end, step.resource.urn


def schedule(run: Run) -> dict[str, Step]:
    """Every resource's earliest times; whatever it waits for was registered before it."""
    steps: dict[str, Step] = {}
    for resource in run.resources:
        last = max((steps[urn] for urn in resource.waits if urn in steps), key=_end_and_name, default=None)
        begin = last.end if last else 0.0
        previous = last.resource.urn if last else ""
        steps[resource.urn] = Step(resource, begin, begin + typical_seconds(resource), previous)
    return steps


def chain(steps: Mapping[str, Step], urn: str) -> list[Step]:
    """The longest chain of waits that ends in a resource; what takes no time is left out."""
    found: list[Step] = []
    while urn:
        found.append(steps[urn])
        urn = steps[urn].previous
    return [step for step in reversed(found) if step.end > step.begin]


def slack(run: Run, steps: Mapping[str, Step], end: float) -> dict[str, float]:
    """By how much each resource could end later without a later end of the whole."""
    latest = dict.fromkeys(steps, end)
    for resource in reversed(run.resources):
        begin = latest[resource.urn] - typical_seconds(resource)
        for urn in resource.waits & set(latest):
            latest[urn] = min(latest[urn], begin)
    return {urn: latest[urn] - step.end for urn, step in steps.items()}


def settings_of(stack: str) -> tuple[dict[str, Any], str]:
    """A stack file's settings and region, digests that are missing filled in: nothing is fetched here."""
    source = PROJECT / f"Pulumi.{stack}.yaml"
    if not source.is_file():
        sys.exit(f"{source.name} is not there; name a stack that has a file, such as --stack dev")
    text = source.read_text()
    value: dict[str, Any] = yaml.safe_load(text)["config"][KEY]
    if value["platform"]["kind"] == "lab":
        return with_artifacts(value), ""
    artifacts = value.get("artifacts") or {}
    digests = {**any_digests(), **(artifacts.get("digests") or {})}
    return {**value, "artifacts": {**artifacts, "digests": digests}}, region_of_stack_file(text, source.name)


def with_workers(value: Mapping[str, Any], count: int) -> dict[str, Any]:
    """The same cluster with one pool of so many workers, a tenth of it changed at once, and ranges for them."""
    changed = copy.deepcopy(dict(value))
    first = {key: one for key, one in changed["workerPools"][0].items() if key not in ("count", "exclude")}
    # Nobody goes through a thousand one by one; for each new wait the SDK walks along the whole chain before it.
    changed["workerPools"] = [{**first, "count": count, "maxUnavailable": max(1, count // 10)}]
    changed["network"] = {
        **(changed.get("network") or {}),
        "pods": "10.128.0.0/12",
        "services": "10.32.0.0/16",
    }
    return changed


def report(stack: str, run: Run) -> Iterator[str]:
    """Counts by type, the longest chain to a cluster that is ready, and what is off it."""
    custom = [resource for resource in run.resources if resource.custom]
    yield f"{stack}: {len(run.resources)} resources, {len(custom)} of them real, the rest components"
    yield ""
    for kind, count in sorted(Counter(resource.type for resource in custom).items()):
        yield f"{count:6}  {kind}"
    steps = schedule(run)
    ready = next(step for step in steps.values() if step.name == "Command ready")
    last = max(steps.values(), key=_end_and_name)
    yield ""
    yield f"Longest chain of waits until the cluster is ready, by seconds assumed in {ASSUMED_IN}"
    yield "    from  takes      to"
    for step in chain(steps, ready.resource.urn):
        yield f"{step.begin:6.0f} s{step.end - step.begin:5.0f} s{step.end:6.0f} s  {step.name}"
    if last.end > ready.end:
        yield f"The run itself ends {last.end - ready.end:.0f} s later, with {last.name}."
    yield ""
    yield "Not on it: the longest of each type, and by how much it could end later"
    yield "      to  slack"
    room = slack(run, steps, last.end)
    on_chain = {step.resource.urn for step in chain(steps, ready.resource.urn)}
    longest: dict[str, Step] = {}
    for urn, step in steps.items():
        kind = step.resource.type
        if urn in on_chain or step.end - step.begin < 5 or kind.startswith("command:"):
            continue
        if kind not in longest or (room[urn], urn) < (
            room[longest[kind].resource.urn],
            longest[kind].resource.urn,
        ):
            longest[kind] = step
    for step in sorted(longest.values(), key=lambda one: (room[one.resource.urn], one.resource.urn)):
        yield f"{step.end:6.0f} s{room[step.resource.urn]:5.0f} s  {step.name}"


def evaluate(value: Mapping[str, Any], region: str, *, quick: bool) -> tuple[Run, float]:
    """Run the program, and tell its processor seconds; wall time tells more of who else is on this computer."""
    begin = time.process_time()
    run = run_program(value, region=region or None, quick=quick)
    return run, time.process_time() - begin


def scale(value: Mapping[str, Any], region: str, counts: tuple[int, ...]) -> Iterator[str]:
    """Processor seconds of the program itself for so many workers."""
    yield f"evaluation of the program, processor seconds, Pulumi SDK {version('pulumi')}"
    _, loading = evaluate(with_workers(value, 1), region, quick=True)
    yield f"first run, which loads the SDKs: {loading:.1f} s"
    for quick, most in ((False, 100), (True, counts[-1])):
        yield ""
        yield (
            "with the SDK's bookkeeping as it is since May 2026 (pulumi/pulumi#22946)"
            if quick
            else "with the SDK as it is installed"
        )
        yield " workers  machines  resources  seconds  a machine  ratio"
        first = 0.0
        for count in (count for count in counts if count <= most):
            run, seconds = evaluate(with_workers(value, count), region, quick=quick)
            machines = len(run.exports["machines"])
            each = seconds / machines
            first = first or each
            yield (
                f"{count:8}{machines:10}{len(run.resources):11}{seconds:9.1f}{each * 1000:8.0f} ms{each / first:7.2f}"
            )


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description="Resources of a stack and the longest chain of waits.")
    parser.add_argument("--stack", default="dev", help="whose Pulumi.STACK.yaml; default: dev")
    parser.add_argument("--scale", action="store_true", help="time the program for 10, 100 and 1,000 workers")
    arguments = parser.parse_args()
    try:
        value, region = settings_of(arguments.stack)
        lines = (
            scale(value, region, (10, 100, 1000))
            if arguments.scale
            else report(arguments.stack, run_program(value, region=region or None, stack=arguments.stack))
        )
        for line in lines:
            print(line, flush=True)
    except (SettingsError, pulumi.RunError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
