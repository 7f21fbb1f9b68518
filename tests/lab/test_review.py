"""`make preview`: only what changes, under what it stands."""

import textwrap

import pytest

from lab.review import changed_only

HEAD = """\
Previewing update (lab):
  pulumi:pulumi:Stack: (same)
    [urn=urn:pulumi:lab::hardway::pulumi:pulumi:Stack::hardway-lab]
"""
COMPONENT = """\
    ~ hardway:index:NodeConfig: (update)
        [urn=urn:pulumi:lab::hardway::hardway:index:NodeConfig::activate-worker-0]
"""
TAIL = """\
Resources:
    ~ 1 to update
    40 unchanged
"""

DEEP = (
    """\
        files       : {
            /etc/kubernetes/kubelet.env : "A=1"
          ~ /var/lib/kubelet/config.yaml: {
                apiVersion    : "v1"
                authentication: {
                    anonymous: {
                        enabled: false
                    }
                }
              ~ maxPods       : 110 => 90
            }
            /etc/systemd/system/z.service: "text"
        }
        versions    : {
            kubelet: "1.37.2"
        }
""",
    """\
        files       : {
          ~ /var/lib/kubelet/config.yaml: {
              ~ maxPods       : 110 => 90
            }
        }
""",
)
TEXT = (
    """\
        files: {
          ~ /etc/kubernetes/kube-apiserver.env:
                ETCD_SERVERS="https://172.31.0.10:2379"
              - EXTRA_ARGS=""
              + EXTRA_ARGS="--event-ttl=2h"
                NAME="cp-0"
            /etc/other.env: "B=1"
        }
""",
    """\
        files: {
          ~ /etc/kubernetes/kube-apiserver.env:
              - EXTRA_ARGS=""
              + EXTRA_ARGS="--event-ttl=2h"
        }
""",
)
ADDED = (
    """\
        files: {
            /etc/a.yaml: {
                kept: true
            }
          + /etc/new.yaml: {
              + list: [
              +     [0]: "one"
                ]
              + map : {
                  + deep: 1
                }
            }
        }
""",
    """\
        files: {
          + /etc/new.yaml: {
              + list: [
              +     [0]: "one"
                ]
              + map : {
                  + deep: 1
                }
            }
        }
""",
)
TWO_APART = (
    """\
        files: {
          ~ /etc/a.env: "1" => "2"
            /etc/b.env: "1"
          ~ /etc/c.env: "1" => "2"
        }
        links: {
            /opt/a: "/opt/b"
        }
""",
    """\
        files: {
          ~ /etc/a.env: "1" => "2"
          ~ /etc/c.env: "1" => "2"
        }
""",
)


def shown(text: str) -> str:
    return "".join(changed_only(text.splitlines(keepends=True)))


@pytest.mark.parametrize(
    ("printed", "kept"),
    [DEEP, TEXT, ADDED, TWO_APART],
    ids=["deep-in-a-map", "a-line-of-a-text", "an-added-subtree", "two-with-one-between"],
)
def test_of_a_component_only_what_changes_is_shown_with_what_it_stands_under(printed: str, kept: str) -> None:
    assert shown(HEAD + COMPONENT + printed + TAIL) == HEAD + COMPONENT + kept + TAIL


def test_of_a_component_that_changes_nothing_visible_only_its_name_is_shown() -> None:
    inputs = '        files: {\n            /etc/a.env: "1"\n        }\n'
    assert shown(HEAD + COMPONENT + inputs + TAIL) == HEAD + COMPONENT + TAIL


def test_where_nothing_changes_the_count_alone_is_left() -> None:
    tail = "Resources:\n    41 unchanged\n"
    assert shown(HEAD + tail) == HEAD + tail


def test_colours_of_a_terminal_do_not_hide_a_change() -> None:
    same = '          apiVersion: "v1"\n'
    change = "        \x1b[33m~ maxPods: \x1b[0m\x1b[31m110\x1b[0m => \x1b[32m90\x1b[0m\n"
    assert shown(same + change + same) == change


def test_a_value_that_begins_with_a_dash_is_no_change() -> None:
    """Flags of a text that is shown whole, and minus signs."""
    assert shown(HEAD + COMPONENT + "        --event-ttl=2h\n        -1\n" + TAIL) == HEAD + COMPONENT + TAIL


def test_diagnostics_are_shown_whole() -> None:
    diagnostics = textwrap.dedent(
        """\
        Diagnostics:
          pulumi:pulumi:Stack (hardway-lab):
            cluster.controlPlane.count: is 2; an even number survives no more failures than one less

            {"certificates": "three expire soon"}
        """
    )
    assert shown(HEAD + diagnostics) == HEAD + diagnostics


def test_lines_come_as_soon_as_they_are_known() -> None:
    """A preview takes a while: who waits wants to see that it works."""
    lines = iter(["Previewing update (lab):\n"])
    assert next(changed_only(lines)) == "Previewing update (lab):\n"
