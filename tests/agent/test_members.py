"""Operators' steps on etcd and reboots, each by what the machine itself finds."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from components.agent import defragment, drain, etcd, members, nodes, reboot, units
from components.agent.evidence import Failure

NAMES = ("cp-0", "cp-1", "cp-2")


class Etcd:
    """Three members behind a made-up etcdctl.

    Attributes:
        calls: what was asked, without credentials.
        sick: names of members that do not answer.
        young: whether the third was added and has not started.
        alarms: as etcdctl tells them.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.sick: set[str] = set()
        self.young = False
        self.alarms: list[dict[str, int]] = []
        self.size = 4000
        self.handed: list[str] = []

    def run(self, *words: str, timeout: float = 60, text: str | None = None) -> str:
        """One call."""
        line = " ".join(word for word in words if not word.startswith(("/opt", "--c", "--key=", "--write")))
        self.calls.append(line)
        if "member list" in line:
            return json.dumps({"members": [self._member(number) for number in range(3)]})
        if "endpoint status" in line:
            return json.dumps([self._status(number) for number in range(3)])
        if "alarm list" in line:
            return json.dumps({"header": {}, "alarms": self.alarms})
        if "alarm disarm" in line:
            self.alarms = []
        if line.endswith("defrag"):
            self.size = 1000
        if line.startswith("compact"):
            raise AssertionError(line)
        return ""

    def _member(self, number: int) -> dict[str, Any]:
        started = not (self.young and number == 2)
        return {
            "ID": 10 + number,
            "name": NAMES[number] if started else "",
            "peerURLs": [f"https://10.0.0.{number}:2380"],
            "clientURLs": [f"https://10.0.0.{number}:2379"] if started else [],
        }

    def _status(self, number: int) -> dict[str, Any]:
        header = {"member_id": 10 + number, "revision": 100 + number}
        return {
            "Status": {
                "header": header,
                "dbSize": self.size,
                "dbSizeInUse": 900,
                "dbSizeQuota": 8000,
                "leader": 11,
            }
        }

    def succeeds(self, *words: str, timeout: float = 60) -> bool:
        """A linearizable read of one member."""
        [endpoint] = [word for word in words if word.startswith("--endpoints=")]
        return not any(f"10.0.0.{NAMES.index(name)}:" in endpoint for name in self.sick)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Etcd:
    made = Etcd()
    for module, name in ((members, "run"), (defragment, "command"), (reboot, "command")):
        monkeypatch.setattr(module, name, made.run)
    monkeypatch.setattr(etcd, "succeeds", made.succeeds)
    monkeypatch.setattr(members, "is_member", lambda: True)
    monkeypatch.setattr(etcd, "hand_over", lambda own, *_: made.handed.append(own["name"]))
    monkeypatch.setattr(defragment, "machine_lock", nullcontext)
    monkeypatch.setattr(reboot, "machine_lock", nullcontext)
    return made


def ask(step: str, machine: str = "cp-1") -> dict[str, Any]:
    """One step of the defragmentation."""
    return defragment.run({"step": step, "machine": {"name": machine}})


def test_a_look_tells_sizes_leader_revision_and_alarms(cluster: Etcd) -> None:
    cluster.alarms = [{"memberID": 12, "alarm": 1}]
    found = ask("look")
    assert found["members"]["cp-0"] == {"size": 4000, "in_use": 900, "quota": 8000}
    assert (found["leader"], found["revision"]) == ("cp-1", 102)
    assert found["alarms"] == [["cp-2", "NOSPACE"]]
    assert not [line for line in cluster.calls if "defrag" in line or "disarm" in line]


def test_a_member_hands_leadership_over_before_it_writes_its_file_anew(cluster: Etcd) -> None:
    found = ask("defragment")
    assert cluster.handed == ["cp-1"]
    assert [line for line in cluster.calls if line.endswith("defrag")] == [
        "--endpoints=https://10.0.0.1:2379 defrag"
    ]
    assert (found["before"]["size"], found["members"]["cp-1"]["size"]) == (4000, 1000)


@pytest.mark.parametrize("step", ["look", "defragment"])
def test_nothing_is_done_while_a_member_does_not_answer(cluster: Etcd, step: str) -> None:
    cluster.sick = {"cp-2"}
    with pytest.raises(Failure, match=r"etcd on cp-2 does not answer, .* Nothing was changed here"):
        ask(step)
    assert not [line for line in cluster.calls if line.endswith("defrag")]


def test_a_member_that_has_not_started_yet_holds_everything_up(cluster: Etcd) -> None:
    cluster.young = True
    with pytest.raises(
        Failure, match=r"member at https://10\.0\.0\.2:2380 was added and has not started yet"
    ):
        ask("look")


def test_disarming_takes_the_alarm_away(cluster: Etcd) -> None:
    cluster.alarms = [{"memberID": 12, "alarm": 1}]
    assert ask("disarm")["alarms"] == []


def test_a_member_goes_down_only_while_all_others_answer(
    cluster: Etcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reboot, "boot_id", lambda: "one")
    assert reboot.run({"step": "go", "machine": {"name": "cp-0"}}) == {"boot": "one"}
    assert cluster.handed == ["cp-0"]
    assert cluster.calls[-1].endswith("--timer-property=AccuracySec=100ms systemctl reboot")
    cluster.sick, cluster.calls = {"cp-2"}, []
    with pytest.raises(
        Failure, match="etcd on cp-2 does not answer, and a reboot takes one more member away"
    ):
        reboot.run({"step": "go", "machine": {"name": "cp-0"}})
    assert not [line for line in cluster.calls if "reboot" in line]


def test_a_machine_without_etcd_reboots_without_asking_anybody(
    cluster: Etcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "is_member", lambda: False)
    monkeypatch.setattr(reboot, "boot_id", lambda: "one")
    cluster.sick = set(NAMES)
    assert reboot.run({"step": "go", "machine": {"name": "worker-0"}}) == {"boot": "one"}
    assert len(cluster.calls) == 1


def test_a_look_tells_the_boot_and_whether_an_update_waits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "boot").write_text("abc\n")
    monkeypatch.setattr(reboot, "BOOT_ID", str(tmp_path / "boot"))
    monkeypatch.setattr(reboot, "REQUIRED", str(tmp_path / "required"))
    assert reboot.run({"step": "look"}) == {"boot": "abc", "required": False}
    (tmp_path / "required").touch()
    assert reboot.run({"step": "look"})["required"] is True


def test_a_unit_that_stays_sick_after_a_boot_is_named_with_its_words(
    cluster: Etcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reboot, "_own_units", lambda: ["kubelet.service", "etcd.service"])
    monkeypatch.setattr(reboot, "UNITS_SECONDS", 0.01)
    monkeypatch.setattr(units, "read", lambda name: units.Unit(name, (), None, False))
    monkeypatch.setattr(units, "is_healthy", lambda unit: unit.name == "etcd.service")
    monkeypatch.setattr(reboot, "unit_evidence", lambda unit: f"words of {unit}")
    with pytest.raises(
        Failure, match=r"rebooted, and kubelet\.service not healthy .*\nwords of kubelet\.service"
    ):
        reboot.run({"step": "settled"})


class Api:
    """One Node behind a made-up kubectl."""

    def __init__(self, *, cordoned: bool = False, boot: str = "two") -> None:
        self.cordoned, self.boot = cordoned, boot
        self.annotations: dict[str, str] = {}

    def run(self, *words: str, timeout: float = 60, text: str | None = None) -> str:
        """One call."""
        verb = words[3]
        if verb == "annotate":
            key = words[6]
            if key.endswith("-"):
                self.annotations.pop(key[:-1], None)
            else:
                self.annotations[key.split("=")[0]] = "yes"
        if verb == "uncordon":
            self.cordoned = False
        return json.dumps(self.node())

    def succeeds(self, *words: str, timeout: float = 60) -> bool:
        """One call that may fail."""
        self.run(*words)
        return True

    def node(self) -> dict[str, Any]:
        """The Node as the API has it."""
        ready = {"type": "Ready", "status": "True"}
        return {
            "metadata": {"name": "w", "annotations": dict(self.annotations)},
            "spec": {"unschedulable": True} if self.cordoned else {},
            "status": {"conditions": [ready], "nodeInfo": {"bootID": self.boot}},
        }


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Api]:
    def make(*, error: BaseException | None = None, **state: Any) -> Api:
        made = Api(**state)

        def empty(_kubectl: list[str], node: dict[str, Any], _seconds: float, *, force: bool) -> None:
            if error:
                raise error
            made.cordoned = True

        monkeypatch.setattr(reboot, "command", made.run)
        monkeypatch.setattr(reboot, "succeeds", made.succeeds)
        monkeypatch.setattr(nodes, "read", lambda _kubectl: {"w": made.node()})
        monkeypatch.setattr(drain, "empty", empty)
        monkeypatch.setattr(reboot, "hold", lambda *_: nullcontext())
        return made

    return make


LEAVE = {"step": "leave", "node": "w", "seconds": 300, "force": False}
BACK = {"step": "back", "node": "w", "boot": "two"}


def test_a_node_that_was_drained_for_its_reboot_takes_pods_again(api: Callable[..., Api]) -> None:
    made = api()
    reboot.run(LEAVE)
    assert (made.cordoned, made.annotations) == (True, {reboot.OURS: "yes"})
    assert reboot.run(BACK) == {"node": "w", "cordoned": False}
    assert (made.cordoned, made.annotations) == (False, {})


def test_a_node_that_somebody_cordoned_stays_cordoned(api: Callable[..., Api]) -> None:
    made = api(cordoned=True)
    reboot.run(LEAVE)
    assert reboot.run(BACK) == {"node": "w", "cordoned": True}
    assert made.cordoned


def test_a_drain_that_failed_leaves_no_mark(api: Callable[..., Api]) -> None:
    made = api(error=Failure("pods stayed"))
    with pytest.raises(Failure, match="pods stayed"):
        reboot.run(LEAVE)
    assert (made.cordoned, made.annotations) == (False, {})


def test_a_node_is_not_back_before_the_api_knows_its_new_boot(
    api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = api(boot="one")
    made.annotations[reboot.OURS] = "yes"
    monkeypatch.setattr(reboot, "NODE_SECONDS", 0.01)
    with pytest.raises(Failure, match="Node w has rebooted and takes no pods yet"):
        reboot.run(BACK)
    assert made.annotations == {reboot.OURS: "yes"}
