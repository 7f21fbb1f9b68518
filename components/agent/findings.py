"""What a check found: where, what, and how it is put right."""

ACTIVATE, PREPARE, NOBODY = "activate", "prepare", ""
"""The phase that puts a finding right; nobody where a person has to decide."""

_BY_PHASE = "'make repair' puts it right"


def finding(place: str, what: str, repair: str = NOBODY, way_out: str = _BY_PHASE) -> dict[str, str]:
    """One difference.

    Args:
        place: a path, a unit, or what else the operator can look at.
        what: how it differs from the state.
        repair: the phase that puts it right.
        way_out: what the operator does.
    """
    return {"place": place, "what": what, "wayOut": way_out, "repair": repair}
