"""The bundle: the same bytes everywhere, small, and telling nothing of a secret."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from components import bundle
from components.node import _content, _entry
from components.render import File
from components.staging import artifact_entries
from components.tree import machine_files, secret_paths
from config.certificates import certificates_for
from tests.components.artifacts import with_digests
from tests.components.trees import lab_plan

TEXTS = st.text(max_size=30)


@pytest.fixture
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent's sources change with the agent; a bundle's form does not."""
    monkeypatch.setattr(bundle, "agent_sources", lambda phase: {"components": ""})


@pytest.mark.usefixtures("no_agent")
def test_a_small_bundle_is_the_same_to_the_byte_on_every_computer() -> None:
    text = bundle.encode("prepare", {"machine": {"name": "cp-0"}, "numbers": [1, 2]}, key="seed")
    pinned = "1f122d069d0d5db71376d5f7bfacc088a73a04c5d2f4c01f43ab961e64b4d524"
    assert hashlib.sha256(text.encode()).hexdigest() == pinned


@pytest.mark.usefixtures("no_agent")
def test_a_bundle_decodes_to_its_content_phase_digest_and_agent() -> None:
    assert bundle.decode(bundle.encode("prepare", {"b": 1, "a": [2]}, key="seed")) == {
        "a": [2],
        "agent": {"components": ""},
        "b": 1,
        "digest": bundle.keyed_digest("seed", '{"a": [2], "b": 1}'),
        "phase": "prepare",
    }


@given(st.dictionaries(TEXTS, TEXTS, max_size=4))
def test_the_order_in_which_content_was_put_together_does_not_count(content: dict[str, str]) -> None:
    turned = dict(reversed(content.items()))
    assert bundle.encode("prepare", content, "k") == bundle.encode("prepare", turned, "k")


def test_another_process_with_another_hash_seed_makes_the_same_bundle() -> None:
    program = "from components import bundle; print(bundle.encode('prepare', {'b': {'d': 1, 'c': 2}}, 'k'))"
    made = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert made == [bundle.encode("prepare", {"b": {"c": 2, "d": 1}}, "k")] * 2


@pytest.mark.parametrize(
    ("phase", "modules"),
    [
        (
            "prepare",
            {
                *("cloud", "cloud_init", "disks", "downloads", "evidence", "loader", "lock"),
                *("machine_facts", "packages", "prepare", "proxy"),
            },
        ),
        (
            "activate",
            {
                *("activate", "clock", "etcd", "evidence", "files", "kubelet_api", "loader", "lock"),
                *("make_way", "pod_budgets", "running", "skew", "units"),
            },
        ),
        ("rotate_host_key", {"evidence", "loader", "lock", "rotate_host_key"}),
        ("drain", {"drain", "evidence", "loader", "lock", "nodes", "pod_budgets"}),
        ("sweep", {"evidence", "loader", "nodes", "sweep"}),
        ("defragment", {"defragment", "etcd", "evidence", "loader", "lock", "members"}),
        (
            "reboot",
            {
                *("drain", "etcd", "evidence", "files", "loader", "lock", "members"),
                *("nodes", "pod_budgets", "reboot", "units"),
            },
        ),
        ("operate", {"evidence", "files", "loader", "lock", "nodes", "operate", "units"}),
    ],
)
def test_a_bundle_carries_the_modules_of_its_phase_and_no_others(phase: str, modules: set[str]) -> None:
    sources = bundle.decode(bundle.encode(phase, {}, "k"))["agent"]
    expected = {f"components.agent.{name}": (bundle.AGENT / f"{name}.py").read_text() for name in modules}
    assert sources == {"components": "", "components.agent": "", **expected}


@pytest.mark.parametrize("name", ["cp-0", "worker-general-0", "lb-0"])
def test_a_real_bundle_stays_under_forty_kilobytes(name: str) -> None:
    """Two a machine lie in the state, which the file backend rewrites at every step."""
    plan = with_digests(lab_plan())
    machine = plan.machine(name)
    files = machine_files(plan, machine)
    # What a certificate or key of P-256 weighs; random, so that compression gains nothing.
    secrets = secret_paths(plan, machine, certificates_for(plan))
    pem = [_entry(path, File(os.urandom(600).hex(), 0o600, owner)) for path, owner in secrets.items()]
    content = _content(plan, machine, files)
    activate = bundle.encode("activate", {**content, "files": [*content["files"], *pem]}, "k")
    prepare = bundle.encode("prepare", {"artifacts": artifact_entries(plan, machine)}, "k")
    assert len(prepare) < 40_000
    assert len(activate) < 40_000 + 2 * 600 * len(pem)


def test_the_command_line_is_short_and_the_same_but_for_its_bound() -> None:
    assert bundle.remote_command(900) == bundle.remote_command(1200).replace("1200", "900")
    assert len(bundle.remote_command(1200)) < 400


def test_the_command_line_is_one_program_with_plain_words() -> None:
    words = shlex.split(bundle.remote_command(900))
    assert words[:8] == ["sudo", "-n", "timeout", "--kill-after=10", "900", "python3", "-I", "-c"]
    assert len(words) == 9
    compile(words[8], "start", "exec")


@given(st.text(max_size=200), TEXTS)
def test_keys_are_derived_as_rfc_5869_says(seed: str, purpose: str) -> None:
    standard = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"hardway {purpose}".encode())
    assert bundle.derive_key(seed, purpose) == standard.derive(seed.encode())


def test_one_seed_gives_unrelated_keys_for_unrelated_purposes() -> None:
    keys = {bundle.derive_key("seed", purpose) for purpose in ("digests", "encryption at rest 1", "")}
    assert len(keys) == 3


@given(TEXTS, st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_a_digest_tells_equal_from_changed_and_nothing_across_seeds(text: str, one: str, two: str) -> None:
    digest = bundle.keyed_digest(one, text)
    assert digest == bundle.keyed_digest(one, text)
    assert digest != bundle.keyed_digest(one, text + "x")
    assert (digest == bundle.keyed_digest(two, text)) == (one == two)
    assert digest != hashlib.sha256(text.encode()).hexdigest()[:32]
    assert len(digest) == 32
