"""The flags that operators may not give: in step with the units that set them."""

from __future__ import annotations

import re

import pytest

from config.flags import OWN_FLAGS, REPLACED_FLAGS
from tests.config.clusters import PROJECT

UNITS = PROJECT / "components" / "rootfs" / "control-plane" / "etc" / "systemd" / "system"

# Hardway's choice, and the operator's to make differently. A list of plugins given again adds to the first.
MAY_BE_OVERRIDDEN = {
    "apiServer": {
        "audit-log-maxage",
        "audit-log-maxbackup",
        "audit-log-maxsize",
        "audit-log-path",
        "enable-admission-plugins",
        "profiling",
        "service-account-extend-token-expiration",
        "shutdown-delay-duration",
        "shutdown-watch-termination-grace-period",
        "tls-cipher-suites",
    },
    "controllerManager": {"profiling", "terminated-pod-gc-threshold", "tls-cipher-suites", "tls-min-version"},
    "scheduler": {"profiling", "tls-cipher-suites", "tls-min-version"},
}
UNIT_OF = {
    "apiServer": "kube-apiserver",
    "controllerManager": "kube-controller-manager",
    "scheduler": "kube-scheduler",
}


def flags_of_unit(component: str) -> set[str]:
    text = (UNITS / f"{UNIT_OF[component]}.service").read_text()
    return set(re.findall(r"^\s+--([a-z0-9-]+)=", text, re.MULTILINE))


@pytest.mark.parametrize("component", UNIT_OF)
def test_every_flag_of_a_unit_is_refused_or_knowingly_left_to_the_operator(component: str) -> None:
    flags = flags_of_unit(component)
    assert len(flags) >= 6
    assert flags - OWN_FLAGS[component] == MAY_BE_OVERRIDDEN[component]


@pytest.mark.parametrize("component", UNIT_OF)
def test_no_flag_is_both_refused_and_left_to_the_operator(component: str) -> None:
    assert OWN_FLAGS[component] & MAY_BE_OVERRIDDEN[component] == set()
    assert OWN_FLAGS[component] & set(REPLACED_FLAGS.get(component, {})) == set()


@pytest.mark.parametrize("flag", ["disable-admission-plugins", "token-auth-file", "tls-min-version"])
def test_a_flag_that_would_take_a_secure_default_away_is_refused(flag: str) -> None:
    """No unit sets the first two: given, they would switch admission off, or let static tokens in."""
    assert flag in OWN_FLAGS["apiServer"]
