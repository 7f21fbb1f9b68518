"""The chain of waits that a run's length came from."""

from lab import critical_path, timeline
from lab.timeline import Step
from tests.lab import recordings

URN = "urn:pulumi:lab::hardway::command:remote:Command::"


def step(name: str, begin: float, end: float | None, outcome: str = "done", op: str = "create") -> Step:
    return Step(URN + name, op, begin, end, outcome)


def names(steps: list[Step], **graph: str) -> list[str]:
    """The chain's names; of each resource, what it waits for."""
    waits = {URN + name: {URN + one for one in after.split()} for name, after in graph.items()}
    return [one.name for one in critical_path.critical_path(steps, waits)]


def test_the_predecessor_is_of_those_waited_for_the_one_that_ended_last() -> None:
    steps = [step("a", 0, 3), step("b", 0, 2), step("c", 0, 4), step("d", 4, 6)]
    assert names(steps, d="a b", a="", b="", c="") == ["a", "d"]
    assert names(steps, d="b c", a="", b="", c="") == ["c", "d"]


def test_it_ends_with_what_ended_last_and_with_a_failure_before_that() -> None:
    steps = [step("a", 0, 1), step("b", 1, 9), step("c", 1, 2, "failed")]
    assert names(steps, a="", b="a", c="a") == ["a", "c"]
    steps[2] = step("c", 1, 2)
    assert names(steps, a="", b="a", c="a") == ["a", "b"]


def test_what_had_not_ended_is_the_end_of_the_chain() -> None:
    assert names([step("a", 0, 1), step("b", 1, None, "unfinished"), step("c", 1, 9)], b="a", c="a") == [
        "a",
        "b",
    ]


def test_a_resource_that_the_state_does_not_know_waited_for_what_ended_last_before_it() -> None:
    assert names([step("a", 0, 1), step("b", 0, 2), step("c", 2.1, 3, "failed")], a="", b="") == ["b", "c"]


def test_what_did_not_change_and_what_ended_later_are_no_part_of_it() -> None:
    steps = [step("same", 0, 0, op="same"), step("late", 0, 5), step("b", 1, 6)]
    assert names(steps, b="same late", late="") == ["b"]


def test_deleting_the_old_one_comes_after_making_the_new_one() -> None:
    steps = [step("a", 0, 2, op="create-replacement"), step("a", 3, 4, op="delete-replaced")]
    assert [one.op for one in critical_path.critical_path(steps, {URN + "a": set()})] == [
        "create-replacement",
        "delete-replaced",
    ]


def test_steps_of_no_length_at_one_moment_do_not_wait_for_each_other_in_a_circle() -> None:
    assert names([step("a", 1, 1), step("b", 1, 1)], a="b", b="a") == ["a"]
    assert names([step("a", 1, 1), step("b", 1, 1)]) == ["a"]


def test_a_run_that_did_nothing_has_none() -> None:
    assert names([]) == []
    assert names([step("a", 0, 0, op="same")]) == []


def test_waits_of_a_component_are_those_of_what_it_holds() -> None:
    resources: list[dict[str, object]] = [
        {"urn": "leaf", "parent": "component", "dependencies": ["one"]},
        {"urn": "component", "parent": "stack", "dependencies": ["two", "leaf"]},
        {"urn": "stack"},
    ]
    assert critical_path.dependencies(resources) == {
        "leaf": {"one", "two"},
        "component": {"two", "leaf"},
        "stack": set(),
    }


def test_in_a_real_run_control_plane_machines_are_activated_one_after_the_other_then_the_workers() -> None:
    run = timeline.read(recordings.FIRST_UP)
    chain = critical_path.critical_path(run, critical_path.dependencies(recordings.state()))
    assert [one.name for one in chain] == recordings.CHAIN
