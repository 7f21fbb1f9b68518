"""Securing interactions: who may talk to whom is a manifest."""

from demo.scenarios.limiting import small_pod
from demo.show import Show

STRANGER = "stranger"
PROGRAM = """
import socket, sys
try:
    socket.create_connection(("database", 3306), timeout=3).close()
except OSError as error:
    sys.exit(f"refused: {error}")
print("connected")
"""


def stranger_is_kept_out(show: Show) -> None:
    """Connect to the database from a pod of the site, and from one that is none, by the same program."""
    own = show.kubectl("exec", "deployment/web", "--container=web", "--", "python3", "-c", PROGRAM)
    show.expect("the site's pod connects", "connected" in own, own)
    show.apply(small_pod(show, STRANGER, PROGRAM))
    try:
        show.site.wait(
            "the stranger has tried",
            lambda: show.site.get("pod", STRANGER)["status"]["phase"] in ("Failed", "Succeeded"),
        )
        said = show.kubectl("logs", STRANGER).strip()
        phase = show.site.get("pod", STRANGER)["status"]["phase"]
    finally:
        show.site.kubectl("delete", "pod", STRANGER, "--ignore-not-found", "--grace-period=1")
    show.expect("the stranger does not", phase == "Failed" and "timed out" in said, f"{phase}: {said}")
    show.result("a pod of the site connects; the same program in another pod of the namespace gets no answer")
