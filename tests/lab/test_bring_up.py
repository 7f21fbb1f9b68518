"""`make up` and `make down` around the engine: whose lab it is, and which machines lost their disks."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab import (
    backend,
    bring_up,
    cluster,
    event_log,
    fileserver,
    live,
    machines,
    network,
    paths,
    plugins,
    stack,
    stack_plan,
    sweep,
    timeline_page,
)
from lab.errors import LabError
from lab.machines import Machine
from lab.stack import Stack
from tests.lab import recordings


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """The lab's stack in a clone of the test's own, without machines."""
    monkeypatch.setattr(paths, "PROJECT", tmp_path)
    monkeypatch.setattr(paths, "STATE", tmp_path / ".hardway")
    monkeypatch.setattr(bring_up, "OWNER", tmp_path / ".hardway/lab-owner")
    paths.STATE.mkdir()
    have(monkeypatch)
    (tmp_path / "Pulumi.lab.yaml").write_text("config: {'hardway:cluster': {platform: {kind: lab}}}\n")
    return Stack("lab")


def have(monkeypatch: pytest.MonkeyPatch, **identities: str | None) -> None:
    """Let this computer have machines with these identities."""
    found = [
        Machine(name.replace("_", "-"), "172.31.0.10", 1, identity) for name, identity in identities.items()
    ]
    monkeypatch.setattr(machines, "list_machines", lambda: found)


# Whose lab it is


def test_a_second_stack_may_not_take_the_machines_of_the_first(
    lab: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up.OWNER.write_text("lab")
    have(monkeypatch, cp_0="a")
    bring_up._check_owner(lab)
    with pytest.raises(LabError, match=r"^stack two: .* machines of stack lab; 'make down STACK=lab' first"):
        bring_up._check_owner(Stack("two"))


def test_a_lab_without_machines_is_anybodys(lab: Stack) -> None:
    bring_up.OWNER.write_text("lab")
    bring_up._check_owner(Stack("two"))


def test_machines_of_before_owners_were_noted_are_whose_who_asks(
    lab: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    have(monkeypatch, cp_0="a")
    bring_up._check_owner(lab)


def test_a_stack_may_not_take_down_another_stacks_machines(
    lab: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up.OWNER.write_text("two")
    have(monkeypatch, cp_0="a")
    monkeypatch.setattr(bring_up, "_destroy", lambda *_: pytest.fail("destroyed"))
    monkeypatch.setattr(bring_up, "_sweep", lambda: pytest.fail("swept"))
    with pytest.raises(LabError, match="machines of stack two"):
        bring_up.down(lab, [])


def test_taking_the_lab_down_forgets_its_owner(lab: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    bring_up.OWNER.write_text("lab")
    monkeypatch.setattr(backend, "is_locked_out", lambda: False)
    monkeypatch.setattr(bring_up, "_destroy", lambda *_: 0)
    monkeypatch.setattr(fileserver, "stop", lambda: None)
    monkeypatch.setattr(sweep, "sweep", list)
    monkeypatch.setattr(sweep, "leftovers", list)
    assert bring_up.down(lab, []) == 0
    assert not bring_up.OWNER.exists()


def test_a_destruction_that_failed_still_leaves_no_machine_and_no_state_of_it(
    lab: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[str] = []
    monkeypatch.setattr(backend, "is_locked_out", lambda: False)
    monkeypatch.setattr(backend, "forget", forgotten.append)
    monkeypatch.setattr(bring_up, "_destroy", lambda *_: 255)
    monkeypatch.setattr(bring_up, "_sweep", lambda: None)
    assert bring_up.down(lab, []) == 0
    assert forgotten == ["lab"]


def test_a_lab_whose_passphrase_is_gone_can_still_be_removed(
    lab: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[str] = []
    monkeypatch.setattr(backend, "is_locked_out", lambda: True)
    monkeypatch.setattr(backend, "forget", forgotten.append)
    monkeypatch.setattr(bring_up, "_destroy", lambda *_: pytest.fail("the engine cannot read its state"))
    monkeypatch.setattr(bring_up, "_sweep", lambda: None)
    assert bring_up.down(lab, []) == 0
    assert forgotten == ["lab"]


# Which machines lost their disks


def confirm(one: Stack, **identities: str) -> None:
    """What the last good run gave out."""
    one.folder.mkdir(parents=True, exist_ok=True)
    applied = {name.replace("_", "-"): {"identity": identity} for name, identity in identities.items()}
    one.outputs_file.write_text(json.dumps({"applied": applied}))


def record(monkeypatch: pytest.MonkeyPatch, **identities: str) -> list[str]:
    """What the state tells; gives the stacks that it was asked for."""
    asked: list[str] = []

    def recorded(one: Stack) -> dict[str, tuple[str, str]]:
        asked.append(one.name)
        return {
            name.replace("_", "-"): (f"urn:{name.replace('_', '-')}", identity)
            for name, identity in identities.items()
        }

    monkeypatch.setattr(stack, "recorded_machines", recorded)
    return asked


def test_while_every_disk_is_the_confirmed_one_the_state_is_not_even_read(
    lab: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = record(monkeypatch, cp_0="a")
    confirm(lab, cp_0="a", cp_1="b")
    have(monkeypatch, cp_0="a", cp_1="b")
    assert bring_up._lost_machines(lab) == []
    assert asked == []


@pytest.mark.parametrize(
    ("present", "lost"),
    [
        ({"cp_0": "a"}, ["urn:cp-1"]),
        ({"cp_0": "a", "cp_1": "another"}, ["urn:cp-1"]),
        ({"cp_0": "a", "cp_1": None}, ["urn:cp-1"]),
        ({}, ["urn:cp-0", "urn:cp-1"]),
        ({"cp_0": "a", "cp_1": "b", "stray": "c"}, []),
    ],
    ids=["missing", "another-identity", "wiped", "all-missing", "one-too-many"],
)
@pytest.mark.parametrize("confirmed", [True, False], ids=["after-a-good-run", "no-outputs-yet"])
def test_a_machine_whose_disk_is_not_the_states_is_made_anew(
    lab: Stack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    confirmed: bool,
    present: dict[str, str | None],
    lost: list[str],
) -> None:
    record(monkeypatch, cp_0="a", cp_1="b")
    if confirmed:
        confirm(lab, cp_0="a", cp_1="b")
    have(monkeypatch, **present)
    assert bring_up._lost_machines(lab) == lost
    told = capsys.readouterr().err
    assert all(f"machine {urn.removeprefix('urn:')} has lost its disk" in told for urn in lost)


def test_the_state_and_not_the_last_good_outputs_tells_what_was_lost(
    lab: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that failed after it had made a machine anew confirmed nothing, and the state is newer."""
    record(monkeypatch, cp_0="new", cp_1="b")
    confirm(lab, cp_0="old", cp_1="b")
    have(monkeypatch, cp_0="new", cp_1="b")
    assert bring_up._lost_machines(lab) == []


# Platform aws runs on official plugins only

AWS = """\
config:
  aws:region: eu-central-1
  hardway:cluster:
    name: dev
    platform: {kind: aws}
"""


@pytest.fixture
def dev(lab: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack on aws, on a computer without official plugins; nothing but reading its file is allowed."""
    (paths.PROJECT / "Pulumi.dev.yaml").write_text(AWS)
    monkeypatch.setattr(stack_plan, "plan_of", lambda _: SimpleNamespace())

    def refuse() -> None:
        raise LabError("official plugins")

    def touched(*_: object, **__: object) -> None:
        pytest.fail("touched something")

    monkeypatch.setattr(plugins, "require_official", refuse)
    for module, names in (
        (backend, ("prepare", "release_dead_locks", "forget", "is_locked_out")),
        (stack, ("ensure", "run", "run_filtered", "capture", "exists")),
        (bring_up, ("_sweep", "_destroy", "_check_owner")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, touched)
    return Stack("dev")


@pytest.mark.parametrize(
    "verb",
    [
        lambda one: bring_up.up(one, []),
        lambda one: bring_up.down(one, []),
        lambda one: bring_up.preview(one, [], whole=False),
        bring_up.refresh,
    ],
    ids=["up", "down", "preview", "env"],
)
def test_on_aws_stand_ins_are_refused_before_anything_is_touched(
    dev: Stack, verb: Callable[[Stack], object]
) -> None:
    before = sorted(paths.PROJECT.rglob("*"))
    with pytest.raises(LabError, match=r"^official plugins$"):
        verb(dev)
    assert sorted(paths.PROJECT.rglob("*")) == before


def test_the_lab_is_never_asked_for_official_plugins(lab: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "require_official", lambda: pytest.fail("asked"))
    bring_up.refresh(lab)


# What stands in the way


def plan_in(cidr: str) -> Any:
    return SimpleNamespace(network=SimpleNamespace(machines=cidr))


def test_a_range_is_checked_before_the_bridge_is_there_and_kept_while_machines_are(
    lab: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    monkeypatch.setattr(network, "check", checked.append)
    monkeypatch.setattr(network, "saved_spec", lambda: None)
    bring_up._check_range(plan_in("10.1.0.0/16"))
    assert checked == ["10.1.0.0/16"]
    monkeypatch.setattr(network, "saved_spec", lambda: SimpleNamespace(cidr="10.1.0.0/16"))
    bring_up._check_range(plan_in("10.2.0.0/16"))
    have(monkeypatch, cp_0="a")
    bring_up._check_range(plan_in("10.1.0.0/16"))
    with pytest.raises(LabError, match=r"is 10\.2\.0\.0/16, and machines exist in 10\.1\.0\.0/16"):
        bring_up._check_range(plan_in("10.2.0.0/16"))


def test_after_a_run_that_did_not_end_well_every_machine_confirms_anew(
    lab: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "confirmable", lambda _stack: ["urn:activate"])
    assert bring_up._unconfirmed(lab) == []
    lab.folder.mkdir(parents=True)
    lab.unfinished.touch()
    assert bring_up._unconfirmed(lab) == ["urn:activate"]


# What a run leaves, and what its picture may cost it

DISTURBED = [
    (KeyError("metadata"), "KeyError: 'metadata'"),
    (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
    (LabError("one line\nand another"), "LabError: one line and another"),
    (KeyboardInterrupt(), "interrupted"),
]


@dataclass
class Run:
    """An `up` of the lab whose engine is none.

    Attributes:
        status: how the engine ends.
        done: what was done after it, in order.
        plain: whether the engine was run without a table.
    """

    stack: Stack
    status: int = 0
    done: list[str] = field(default_factory=list)
    plain: bool | None = None

    def engine(self, chosen: Stack, _plan: object, line: list[str], *, plain: bool) -> int:
        self.plain = plain
        chosen.events.write_bytes(recordings.FAILED_UP.read_bytes())
        return self.status

    def note(self, what: str, gives: object = None) -> Callable[..., object]:
        def noted(*_: object) -> object:
            self.done.append(what)
            return gives

        return noted


@pytest.fixture
def run(lab: Stack, monkeypatch: pytest.MonkeyPatch) -> Run:
    one = Run(lab)
    monkeypatch.setattr(stack_plan, "plan_of", lambda _: SimpleNamespace())
    monkeypatch.setattr(bring_up, "_prepare_lab", lambda *_: [])
    monkeypatch.setattr(bring_up, "_lost_machines", lambda _: [])
    monkeypatch.setattr(stack, "confirmable", lambda _: [])
    monkeypatch.setattr(stack, "exported", lambda _: [])
    monkeypatch.setattr(stack, "ensure", lambda _: None)
    monkeypatch.setattr(live, "run", one.engine)
    monkeypatch.setattr(stack, "save_outputs", one.note("outputs", {}))
    monkeypatch.setattr(stack, "pending", one.note("pending", ["activate-cp-0"]))
    monkeypatch.setattr(cluster, "wait_for_nodes", one.note("nodes"))
    monkeypatch.setattr(cluster, "summary", one.note("summary", "the summary"))
    return one


def disturb(run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the timeline fail as soon as it is drawn."""

    def write(_: Stack) -> Path:
        run.done.append("timeline")
        raise error

    monkeypatch.setattr(timeline_page, "write", write)


@pytest.mark.parametrize(("error", "reason"), DISTURBED)
def test_a_timeline_that_fails_costs_a_good_run_one_note_and_nothing_else(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    reason: str,
) -> None:
    disturb(run, monkeypatch, error)
    assert bring_up.up(run.stack, []) == 0
    assert run.done == ["outputs", "nodes", "summary", "timeline"]
    assert not run.stack.unfinished.exists()
    said = capsys.readouterr()
    assert said.out == "the summary\n"
    assert said.err.splitlines()[1:] == [
        f"no timeline of this run was drawn ({reason}); 'make timeline STACK=lab' tries again"
    ]


@pytest.mark.parametrize(("error", "reason"), DISTURBED)
def test_a_timeline_that_fails_hides_no_failure_of_the_run(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    reason: str,
) -> None:
    disturb(run, monkeypatch, error)
    run.status = 255
    assert bring_up.up(run.stack, []) == 255
    assert run.done == ["timeline", "pending"]
    assert run.stack.unfinished.exists()
    said = capsys.readouterr().err
    assert said.index(reason) < said.index(
        "The run stopped; what was done is kept.\nNot yet confirmed: activate-cp-0."
    )


@pytest.mark.parametrize("status", [0, 255])
def test_a_run_leaves_its_timeline_however_it_ended(
    run: Run, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    run.status = status
    assert bring_up.up(run.stack, []) == status
    assert "activate-cp-0" in run.stack.timeline.read_text()
    assert ("  make timeline     to see where the time went\n" in capsys.readouterr().out) is (status == 0)


def test_a_log_of_an_unexpected_shape_breaks_no_run(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(event_log, "read", lambda _: [event_log.Heard(0, {"diagnosticEvent": {"urn": "u"}})])
    assert bring_up.up(run.stack, []) == 0
    assert "no timeline of this run was drawn (KeyError: 'severity')" in capsys.readouterr().err


def test_a_run_that_never_began_leaves_no_timeline_and_no_word_of_one(
    lab: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.folder.mkdir(parents=True)
    assert bring_up._draw_timeline(lab) is False
    assert not lab.timeline.exists()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("arguments", "plain"), [([], False), (["--diff"], True), (["--json"], True)])
def test_who_gives_the_engine_arguments_sees_all_that_it_prints(
    run: Run, arguments: list[str], plain: bool
) -> None:
    bring_up.up(run.stack, arguments)
    assert run.plain is plain
