"""etcd membership: every situation, and what a joining member does to the cluster and its first environment."""

from __future__ import annotations

import io
import itertools
import json
import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.agent import etcd
from components.agent.etcd import Decision, Situation, decide, may_lose
from components.agent.evidence import Failure

NAMES = ("cp-0", "cp-1", "cp-2")
MEMBERS = [
    {"name": name, "peer": f"https://10.0.0.{n}:2380", "client": f"https://10.0.0.{n}:2379"}
    for n, name in enumerate(NAMES)
]
OWN = MEMBERS[1]

START, FOUND, JOIN = Decision.START, Decision.FOUND, Decision.JOIN
REJOIN, DISCARD = Decision.REJOIN, Decision.DISCARD_AND_JOIN


@pytest.mark.parametrize(
    ("situation", "decision"),
    [
        (Situation(has_data=False, others_alive=False, listed=False), FOUND),
        (Situation(has_data=True, others_alive=False, listed=False), START),
        (Situation(has_data=True, others_alive=True, listed=True), START),
        (Situation(has_data=True, others_alive=True, listed=False), DISCARD),
        (Situation(has_data=False, others_alive=True, listed=False), JOIN),
        (Situation(has_data=False, others_alive=True, listed=True), REJOIN),
        (Situation(has_data=False, others_alive=True, listed=True, founding=True), FOUND),
        (Situation(has_data=False, others_alive=True, listed=True, added=True), JOIN),
    ],
    ids=[
        "first-start-of-the-cluster",
        "all-members-down",
        "a-restart-beside-a-living-cluster",
        "removed-while-it-was-away",
        "new-member",
        "wiped-member",
        "late-founder",
        "a-join-that-was-interrupted",
    ],
)
def test_every_situation_has_one_decision(situation: Situation, decision: Decision) -> None:
    assert decide(situation) is decision


def test_a_member_without_data_never_founds_beside_a_living_cluster_that_knew_it_running() -> None:
    for listed, added in itertools.product((False, True), repeat=2):
        found = decide(Situation(has_data=False, others_alive=True, listed=listed, added=added))
        assert found in (JOIN, REJOIN)


def test_data_is_never_discarded_while_no_other_member_answers() -> None:
    for listed in (False, True):
        assert decide(Situation(has_data=True, others_alive=False, listed=listed)) is START


@pytest.mark.parametrize(
    ("others", "members", "spare"),
    [
        (0, 1, True), (0, 3, False), (1, 3, False), (2, 3, True), (1, 5, False), (2, 5, False), (3, 5, True),
        (4, 5, True), (3, 7, False), (4, 7, True),
    ],
)  # fmt: skip
def test_a_member_can_be_spared_while_the_others_are_a_majority(
    others: int, members: int, spare: bool
) -> None:
    assert may_lose(others, members) is spare


class Cluster:
    """A living cluster behind a made-up etcdctl."""

    def __init__(self, *members: dict[str, Any]) -> None:
        self.members = list(members)
        self.calls: list[tuple[str, ...]] = []
        self.refusals: list[str] = []

    def run(self, *command: str, timeout: float = 60, text: str | None = None) -> str:
        """Do what etcdctl would."""
        assert command[: len(etcd.CTL)] == etcd.CTL
        words = tuple(word for word in command[len(etcd.CTL) :] if not word.startswith("--command-timeout"))
        self.calls.append(words)
        _endpoints, _member, verb, *rest = words
        if verb == "list":
            return json.dumps({"header": {}, "members": self.members})
        if verb == "remove":
            self.members = [one for one in self.members if f"{one['ID']:x}" != rest[0]]
            return ""
        if self.refusals:
            raise Failure(self.refusals.pop(0))
        self.members.append({"ID": 0xADDED, "peerURLs": [rest[1].removeprefix("--peer-urls=")]})
        return ""

    def verbs(self) -> list[str]:
        """What was asked for, in order."""
        return [words[2] for words in self.calls]


def running(number: int, identity: int = 0) -> dict[str, Any]:
    """A member that runs, as etcdctl lists it."""
    member = MEMBERS[number]
    return {
        "ID": identity or 0xA0 + number,
        "name": member["name"],
        "peerURLs": [member["peer"]],
        "clientURLs": [member["client"]],
    }


def unstarted(number: int, name: str = "") -> dict[str, Any]:
    """A member that was added or founded and has not started."""
    return {"ID": 0xB0 + number, "peerURLs": [MEMBERS[number]["peer"]], **({"name": name} if name else {})}


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This machine's etcd folders."""
    (tmp_path / "etcd").mkdir()
    monkeypatch.setattr(etcd, "DATA", str(tmp_path / "etcd/member"))
    monkeypatch.setattr(etcd, "LOG", str(tmp_path / "etcd/member/wal/*.wal"))
    monkeypatch.setattr(etcd, "ENVIRONMENT", str(tmp_path / "etcd-initial.env"))
    return tmp_path


def plant_log(disk: Path) -> None:
    """What a member that has run leaves behind."""
    (disk / "etcd/member/wal").mkdir(parents=True)
    (disk / "etcd/member/wal/0000000000000000-0000000000000000.wal").write_text("entries")


def use(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd, "run", cluster.run)


def environment(disk: Path) -> dict[str, str]:
    lines = (disk / "etcd-initial.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_a_member_has_data_when_it_has_a_log(disk: Path) -> None:
    assert not etcd.has_data()
    plant_log(disk)
    assert etcd.has_data()


def test_a_folder_without_a_log_is_no_data_since_etcd_makes_it_before_its_peers_refuse_it(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (disk / "etcd/member/wal").mkdir(parents=True)
    (disk / "etcd/member/snap").mkdir()
    (disk / "etcd/member/snap/db").write_text("empty")
    assert not etcd.has_data()
    use(Cluster(running(0), running(1), running(2)), monkeypatch)
    assert etcd.look(OWN, ["https://10.0.0.0:2379"])[0].has_data is False


class Peers:
    """Peer ports of other members: what each tells of the members it knows; None is one that is not reached."""

    def __init__(self, **told: list[dict[str, Any]] | None) -> None:
        self.told = {member["peer"]: told.get(member["name"].replace("-", "_")) for member in MEMBERS}
        self.asked: list[str] = []

    def open(self, url: str, timeout: float, context: object) -> io.BytesIO:
        """Answer as a member's peer port does."""
        assert url.endswith("/members")
        peer = url.removesuffix("/members")
        self.asked.append(peer)
        told = self.told[peer]
        if told is None:
            raise urllib.error.URLError("no route to host")
        return io.BytesIO(json.dumps(told).encode())


def peers(monkeypatch: pytest.MonkeyPatch, **told: list[dict[str, Any]] | None) -> Peers:
    """Use made-up peer ports; no certificate is read."""
    made = Peers(**told)
    context = SimpleNamespace(load_cert_chain=lambda *_: None)
    monkeypatch.setattr(ssl, "create_default_context", lambda cafile: context)
    monkeypatch.setattr(urllib.request, "urlopen", made.open)
    return made


@pytest.mark.parametrize(
    ("told", "established"),
    [
        ({"cp_0": None, "cp_2": None}, False),
        ({"cp_0": [unstarted(n, name) for n, name in enumerate(NAMES)], "cp_2": None}, False),
        ({"cp_0": [{**unstarted(0, "cp-0"), "clientURLs": []}], "cp_2": []}, False),
        ({"cp_0": None, "cp_2": [running(0), running(1), running(2)]}, True),
        ({"cp_0": [running(0), unstarted(1)], "cp_2": None}, True),
    ],
    ids=["nobody-answers", "founding", "empty-list", "one-of-two-knows", "one-started-is-enough"],
)
def test_a_cluster_is_established_when_any_other_member_knows_one_that_has_started(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, list[dict[str, Any]] | None], established: bool
) -> None:
    peers(monkeypatch, **told)
    assert etcd.is_established(OWN, MEMBERS) is established


def test_a_member_does_not_ask_itself_whether_a_cluster_is_established(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = peers(monkeypatch).asked
    etcd.is_established(OWN, MEMBERS)
    assert sorted(asked) == ["https://10.0.0.0:2380", "https://10.0.0.2:2380"]


def test_a_peer_that_answers_with_no_json_knows_of_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    peers(monkeypatch)
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(b"404 page not found"))
    assert not etcd.is_established(OWN, MEMBERS)


ALL_THREE = "cp-0=https://10.0.0.0:2380,cp-1=https://10.0.0.1:2380,cp-2=https://10.0.0.2:2380"


def test_the_first_members_found_the_cluster_with_all_planned_members(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster()
    use(cluster, monkeypatch)
    assert etcd.join(OWN, MEMBERS, healthy=[]) is FOUND
    assert environment(disk) == {"ETCD_INITIAL_CLUSTER_STATE": "new", "ETCD_INITIAL_CLUSTER": ALL_THREE}
    assert cluster.calls == []


def test_the_last_founder_finds_a_quorum_of_the_others_and_still_founds(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(running(0), unstarted(1, "cp-1"), running(2))
    use(cluster, monkeypatch)
    assert etcd.join(OWN, MEMBERS, healthy=["cp-0", "cp-2"]) is FOUND
    assert environment(disk) == {"ETCD_INITIAL_CLUSTER_STATE": "new", "ETCD_INITIAL_CLUSTER": ALL_THREE}
    assert cluster.verbs() == ["list"]


def test_a_wiped_member_is_removed_added_again_and_starts_as_existing(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(running(0), running(1, identity=0xDEAD), running(2))
    use(cluster, monkeypatch)
    assert etcd.join(OWN, MEMBERS, healthy=["cp-0", "cp-2"]) is REJOIN
    assert cluster.verbs() == ["list", "remove", "add"]
    assert cluster.calls[1] == (
        "--endpoints=https://10.0.0.0:2379,https://10.0.0.2:2379",
        "member",
        "remove",
        "dead",
    )
    assert cluster.calls[2][2:] == ("add", "cp-1", "--peer-urls=https://10.0.0.1:2380")
    assert environment(disk) == {"ETCD_INITIAL_CLUSTER_STATE": "existing", "ETCD_INITIAL_CLUSTER": ALL_THREE}


def test_a_new_member_is_added_and_names_exactly_the_members_there_are(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(running(0))
    use(cluster, monkeypatch)
    assert etcd.join(OWN, MEMBERS, healthy=["cp-0"]) is JOIN
    assert cluster.verbs() == ["list", "add"]
    assert (
        environment(disk)["ETCD_INITIAL_CLUSTER"] == "cp-0=https://10.0.0.0:2380,cp-1=https://10.0.0.1:2380"
    )


def test_an_interrupted_join_goes_on_without_adding_a_second_time(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(running(0), unstarted(1), running(2))
    use(cluster, monkeypatch)
    assert etcd.join(OWN, MEMBERS, healthy=["cp-0", "cp-2"]) is JOIN
    assert cluster.verbs() == ["list"]
    assert environment(disk) == {"ETCD_INITIAL_CLUSTER_STATE": "existing", "ETCD_INITIAL_CLUSTER": ALL_THREE}


def test_data_of_a_removed_member_goes_aside_and_is_not_lost(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_log(disk)
    (disk / "etcd/member/db").write_text("old data")
    cluster = Cluster(running(0), running(2))
    use(cluster, monkeypatch)
    monkeypatch.setattr(os, "rename", _rename_into(disk))
    assert etcd.join(OWN, MEMBERS, healthy=["cp-0", "cp-2"]) is DISCARD
    (aside,) = (disk / "aside").iterdir()
    assert aside.name.startswith("removed-")
    assert (aside / "db").read_text() == "old data"
    assert cluster.verbs() == ["list", "add"]


def _rename_into(disk: Path) -> Any:
    (disk / "aside").mkdir()

    def rename(source: str, target: str) -> None:
        Path(source).replace(disk / "aside" / Path(target).name)

    return rename


@pytest.mark.parametrize("healthy", [[], ["cp-0", "cp-2"], ["cp-0", "cp-1", "cp-2"]])
def test_a_member_with_data_that_is_listed_just_starts(
    disk: Path, monkeypatch: pytest.MonkeyPatch, healthy: list[str]
) -> None:
    plant_log(disk)
    (disk / "etcd-initial.env").write_text("ETCD_INITIAL_CLUSTER_STATE=new\n")
    cluster = Cluster(running(0), running(1), running(2))
    use(cluster, monkeypatch)
    assert etcd.join(OWN, MEMBERS, healthy) is START
    assert environment(disk) == {"ETCD_INITIAL_CLUSTER_STATE": "new"}
    assert set(cluster.verbs()) <= {"list"}


def test_its_unit_finds_an_environment_even_when_it_was_lost(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_log(disk)
    use(Cluster(), monkeypatch)
    assert etcd.join(OWN, MEMBERS, healthy=[]) is START
    assert environment(disk) == {"ETCD_INITIAL_CLUSTER_STATE": "existing", "ETCD_INITIAL_CLUSTER": ALL_THREE}


def test_etcd_is_asked_again_while_it_says_that_it_is_not_ready_for_a_member(
    disk: Path, monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    cluster = Cluster(running(0), running(2))
    cluster.refusals = ["etcdserver: unhealthy cluster"] * 3
    use(cluster, monkeypatch)
    assert etcd.join(OWN, MEMBERS, healthy=["cp-0", "cp-2"]) is JOIN
    assert cluster.verbs() == ["list", "add", "add", "add", "add"]
    assert len(slept) == 3


@pytest.mark.parametrize(
    ("refusal", "asked"), [("etcdserver: Peer URLs already exists", 1), ("etcdserver: unhealthy cluster", 10)]
)
def test_another_refusal_ends_it_and_so_does_the_tenth(
    disk: Path, monkeypatch: pytest.MonkeyPatch, slept: list[float], refusal: str, asked: int
) -> None:
    cluster = Cluster(running(0), running(2))
    cluster.refusals = [refusal] * 20
    use(cluster, monkeypatch)
    with pytest.raises(Failure, match=refusal):
        etcd.join(OWN, MEMBERS, healthy=["cp-0", "cp-2"])
    assert cluster.verbs().count("add") == asked
    assert not (disk / "etcd-initial.env").exists()


def test_members_are_healthy_that_answer_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def succeeds(*command: str, timeout: float) -> bool:
        (endpoint,) = (word for word in command if word.startswith("--endpoints="))
        asked.append(endpoint)
        return "10.0.0.1" not in endpoint

    monkeypatch.setattr(etcd, "succeeds", succeeds)
    assert etcd.healthy_members(MEMBERS) == ["cp-0", "cp-2"]
    assert sorted(asked) == [f"--endpoints={member['client']}" for member in MEMBERS]


class Leading:
    """etcdctl of a cluster with a leader; remembers to whom leadership was moved."""

    def __init__(self, leader: str) -> None:
        self.leader = leader
        self.moved: list[str] = []

    def run(self, *command: str, timeout: float = 60, text: str | None = None) -> str:
        """Status of the own endpoint, or the members."""
        if "status" in command:
            own, leader = (0xA0 + NAMES.index(name) for name in (OWN["name"], self.leader))
            return json.dumps([{"Status": {"header": {"member_id": own}, "leader": leader}}])
        return json.dumps({"members": [running(number) for number in range(3)]})

    def succeeds(self, *command: str, timeout: float) -> bool:
        """Moving succeeds."""
        assert command[-2] == "move-leader"
        self.moved.append(command[-1])
        return True


@pytest.mark.parametrize(
    ("leader", "healthy", "moved"),
    [
        ("cp-1", ["cp-0", "cp-1", "cp-2"], ["a0"]),
        ("cp-1", ["cp-1", "cp-2"], ["a2"]),
        ("cp-0", ["cp-0", "cp-1", "cp-2"], []),
        ("cp-1", ["cp-1"], []),
        ("cp-1", ["cp-0", "cp-2"], []),
    ],
    ids=["leads", "leads-beside-a-sick-one", "follows", "alone", "is-sick-itself"],
)
def test_a_leader_hands_over_to_a_healthy_member_before_it_stops(
    monkeypatch: pytest.MonkeyPatch, leader: str, healthy: list[str], moved: list[str]
) -> None:
    cluster = Leading(leader)
    monkeypatch.setattr(etcd, "run", cluster.run)
    monkeypatch.setattr(etcd, "succeeds", cluster.succeeds)
    etcd.hand_over(OWN, MEMBERS, healthy)
    assert cluster.moved == moved


@pytest.mark.parametrize("silent", ["status", "list"])
def test_a_leader_that_does_not_answer_in_time_stops_without_handing_over(
    monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    cluster = Leading("cp-1")

    def run(*command: str, timeout: float = 60, text: str | None = None) -> str:
        if silent in command:
            raise Failure("context deadline exceeded")
        return cluster.run(*command)

    monkeypatch.setattr(etcd, "run", run)
    monkeypatch.setattr(etcd, "succeeds", cluster.succeeds)
    etcd.hand_over(OWN, MEMBERS, list(NAMES))
    assert cluster.moved == []
