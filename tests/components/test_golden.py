"""What every machine receives, to the byte, as files that a reviewer can read.

`make golden` rewrites them and fails when any differed, so that nobody updates by accident. Secret files are
pinned by name, owner and mode; their contents are only known to the engine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.add_ons import absent_manifests, wanted_manifests
from components.node import PACKAGES
from components.staging import binary_links
from components.tree import STAGED_BY_PREPARE, machine_files, machine_folders, machine_units, secret_paths
from config.certificates import certificates_for
from config.plan import ClusterPlan
from tests.components.artifacts import published, with_digests
from tests.components.trees import lab_plan, single_plan
from tests.config.clusters import plan_of, prod

GOLDEN = Path(__file__).parents[1] / "golden"
UPDATE = os.environ.get("HARDWAY_UPDATE_GOLDEN") == "1"

CASES: dict[str, tuple[Callable[[], ClusterPlan], tuple[str, ...]]] = {
    "lab": (lambda: with_digests(lab_plan()), ("cp-0", "worker-general-0", "lb-0")),
    "single-host": (lambda: published(single_plan()), ("solo", "batch-a")),
    "aws": (lambda: plan_of(prod()), ("cp-0", "worker-batch-0")),
}
MACHINES = [(case, machine) for case, (_, machines) in CASES.items() for machine in machines]


def expected(folder: Path) -> dict[str, str]:
    """The golden files below a folder, by their path from it."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def compare(folder: Path, made: dict[str, str]) -> None:
    """Fail where the golden files differ from what was made; rewrite them first if asked to."""
    golden = expected(folder)
    if made == golden:
        return
    if UPDATE:
        _rewrite(folder, made)
        pytest.fail(
            f"rewrote {folder.relative_to(GOLDEN)}; read the diff, then run again without the variable"
        )
    assert sorted(made) == sorted(golden)
    for path, text in made.items():
        assert text == golden[path], path


def _rewrite(folder: Path, made: dict[str, str]) -> None:
    for path in set(expected(folder)) - set(made):
        (folder / path).unlink()
    for path, text in made.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


@pytest.mark.parametrize(("case", "machine"), MACHINES)
def test_a_machine_receives_exactly_the_golden_tree(case: str, machine: str) -> None:
    plan = CASES[case][0]()
    files = machine_files(plan, plan.machine(machine))
    compare(GOLDEN / case / machine, {path.lstrip("/"): file.text for path, file in files.items()})


def _summary(plan: ClusterPlan, name: str) -> Iterator[str]:
    """What else a machine is told: one fact a line, sorted within its kind."""
    machine = plan.machine(name)
    files = machine_files(plan, machine)
    yield from (f"package {package}" for package in PACKAGES[machine.role])
    for folder in machine_folders(machine):
        yield f"folder  {folder['mode']:04o} {folder['owner']:5} {folder['path']}"
    staged = {path for path in files if path.startswith(STAGED_BY_PREPARE)}
    yield from (f"staged  0644 root  {path}" for path in sorted(staged))
    for path in sorted(files.keys() - staged):
        yield f"file    {files[path].mode:04o} {files[path].owner:5} {path}"
    secrets = secret_paths(plan, machine, certificates_for(plan))
    yield from (f"secret  0600 {owner:5} {path}" for path, owner in secrets.items())
    yield from (f"link    {link} -> {target}" for link, target in sorted(binary_links(plan, machine).items()))
    yield from (f"unit    {unit}" for unit in machine_units(files))


@pytest.mark.parametrize("case", CASES)
def test_owners_modes_secrets_links_and_units_are_exactly_the_golden_ones(case: str) -> None:
    make, machines = CASES[case]
    plan = make()
    made = {f"{name}.txt": "\n".join(_summary(plan, name)) + "\n" for name in machines}
    compare(GOLDEN / f"{case}-machines", made)


@pytest.mark.parametrize("case", CASES)
def test_manifests_are_exactly_the_golden_ones(case: str) -> None:
    plan = CASES[case][0]()
    wanted = {f"wanted/{name}.yaml": text for name, text in wanted_manifests(plan).items()}
    absent = {f"absent/{name}.yaml": text for name, text in absent_manifests(plan).items()}
    compare(GOLDEN / f"{case}-manifests", wanted | absent)
