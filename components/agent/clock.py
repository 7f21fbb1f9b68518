"""A clock that is behind makes new certificates "not yet valid", far from the cause (cluster-api#4304, etcd#7051)."""

from datetime import UTC, datetime
from typing import Any

from components.agent.evidence import Failure, run, wait_until

PATIENCE_SECONDS = 30.0
_FORMAT = "notBefore=%b %d %H:%M:%S %Y %Z"


def check(files: list[dict[str, Any]], now: datetime | None = None) -> None:
    """Refuse, before any file lands, when this machine's clock is behind a certificate's begin.

    Args:
        files: the bundle's. The kubelet's serving certificate decides: it is the machine's own, and renewed with
            all others.
        now: what counts as now; this machine's clock when left out.
    """
    begins = [_begin(file["text"]) for file in files if file["path"].endswith("/kubelet.crt")]
    if begins and now is None:
        # Certificates of this very run begin seconds ago by the operator's clock: a small difference passes by itself.
        wait_until(
            "the clock to reach its certificates' begin",
            lambda: datetime.now(UTC) >= begins[0],
            PATIENCE_SECONDS,
        )
    present = now or datetime.now(UTC)
    if begins and begins[0] > present:
        raise Failure(
            f"this machine's clock says {present:%Y-%m-%d %H:%M:%S} UTC, before its certificates begin "
            f"({begins[0]:%Y-%m-%d %H:%M:%S} UTC). Nothing was changed. Set the clock ('timedatectl' tells whether "
            "it is synchronised; install chrony or systemd-timesyncd), then run again"
        )


def _begin(certificate: str) -> datetime:
    line = run("openssl", "x509", "-noout", "-startdate", text=certificate).strip()
    return datetime.strptime(line, _FORMAT).replace(tzinfo=UTC)
