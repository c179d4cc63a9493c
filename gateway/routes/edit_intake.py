"""From the regions that a request names to permissions that mean something for its baselines."""

from collections.abc import Iterable, Sequence

from contracts.edit_regions import NETWORK, covers, permits, place_names
from contracts.proposals import EditPermissions
from gateway.routes.problems import RequestProblem
from gateway.schemas.edits_body import EditsBody

LISTED_REGIONS = 40
"""Known regions that a remedy lists; a search may start from hundreds of networks."""


def edit_permissions(body: EditsBody, sources: Iterable[str]) -> EditPermissions:
    """The permissions, when each region exists in one of the baselines and `only` leaves something to change.

    Raises RequestProblem: unknown_region, contradictory_edits.
    """
    edits = EditPermissions(tuple(body.only), tuple(body.never))
    if edits == EditPermissions():
        return edits
    places = list(dict.fromkeys(place for source in sources for place in place_names(source)))
    for field, regions in (("only", edits.only), ("never", edits.never)):
        for index, region in enumerate(regions):
            if not any(covers(region, place) for place in places):
                raise _unknown(f"edits.{field}.{index}", region, places)
    for index, region in enumerate(edits.only):
        if not any(covers(region, place) and permits(edits, place) for place in places):
            raise _contradictory(f"edits.only.{index}", region)
    if not any(permits(edits, place) for place in places):
        raise _contradictory("edits.never", ", ".join(edits.never))
    return edits


def _unknown(field: str, region: str, places: Sequence[str]) -> RequestProblem:
    names = [place.removeprefix(f"{NETWORK}.") for place in places]
    known = ", ".join(names[:LISTED_REGIONS])
    more = f" and {len(names) - LISTED_REGIONS} more" if len(names) > LISTED_REGIONS else ""
    return RequestProblem(
        422,
        "unknown_region",
        f"No baseline has a region {region!r}.",
        field=field,
        value=region,
        remedy=f"Use some of: {known}{more}; or the name of a class, for all of it.",
    )


def _contradictory(field: str, region: str) -> RequestProblem:
    return RequestProblem(
        422,
        "contradictory_edits",
        f"`edits.never` forbids all of {region!r}: nothing of it could be changed.",
        field=field,
        value=region,
        remedy="Leave it out of `edits.only`, or name less in `edits.never`.",
    )
