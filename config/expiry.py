"""What a human has to be told about certificates that end soon: sentences from dates, pure.

It goes by what the last run gave out, so no machine is asked: a certificate that somebody else put on a machine is not
seen here. Nothing is refused, since a run may be what renews them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from config.certificates import Authority

LEAF_NOTICE = timedelta(days=30)
"""How long before its end a leaf is told of; raising a generation takes minutes."""
AUTHORITY_NOTICE = timedelta(days=180)
"""How long before its end an authority is told of; its rotation is three runs with restarts of workloads in between."""
_AUTHORITY = re.compile(rf"({'|'.join(Authority)})-ca(-[0-9]+)?")


def expiry_warnings(
    now: datetime, expires: Mapping[str, str], *, generation: int, last_generation: int | None
) -> list[str]:
    """One sentence for the leaves and one for the authorities that end soon or have ended; none for none.

    Args:
        now: the time to compare with.
        expires: output `certificates` of the last run: the end of each leaf and authority by name, as RFC 3339.
        generation: of the leaves that this run wants. When it is another than the last run's, this run renews them
            and they are not told of.
        last_generation: output `certificateGeneration` of the last run, None when there is none.
    """
    ends = sorted((datetime.fromisoformat(end).astimezone(UTC), name) for name, end in expires.items())
    authorities = [(end, name) for end, name in ends if _AUTHORITY.fullmatch(name)]
    leaves = (
        [] if last_generation not in (None, generation) else [one for one in ends if one not in authorities]
    )
    told = (
        _told("leaf", "leaves", leaves, now, LEAF_NOTICE, _renew(generation)),
        _told("authority", "authorities", authorities, now, AUTHORITY_NOTICE, _ROTATE),
    )
    return [sentence for sentence in told if sentence]


def _renew(generation: int) -> str:
    return (
        f"Write `certificates.generation: {generation + 1}` and run again: every leaf is issued anew, one machine after"
        " the other (docs/renewal.md)."
    )


_ROTATE = "Rotate them in three runs, beginning with `certificates.authorities` (docs/certificates.md)."


def _told(
    one: str,
    many: str,
    ends: Iterable[tuple[datetime, str]],
    now: datetime,
    notice: timedelta,
    way_out: str,
) -> str | None:
    """The sentence for one kind; expired ones are louder, and are told alone."""
    known = list(ends)
    expired = [entry for entry in known if entry[0] <= now]
    soon = expired or [entry for entry in known if entry[0] <= now + notice]
    if not soon:
        return None
    end, name = soon[0]
    count = f"{len(soon)} of {len(known)} {many if len(known) != 1 else one}"
    if expired:
        verb = "HAS EXPIRED" if len(soon) == 1 else "HAVE EXPIRED"
        consequence = ", and what restarts with one does not come up again"
        return f"cluster.certificates: {count} {verb}, the first one {name} on {_date(end)}{consequence}. {way_out}"
    verb = "ends" if len(soon) == 1 else "end"
    left = (
        f"{(end - now).days} days left"
        if end - now >= timedelta(days=2)
        else f"{_hours(end - now)} hours left"
    )
    return (
        f"cluster.certificates: {count} {verb} within {notice.days} days, the first one {name} on {_date(end)}"
        f" ({left}). {way_out}"
    )


def _date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _hours(span: timedelta) -> int:
    return int(span.total_seconds() // 3600)
