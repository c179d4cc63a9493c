"""`…/diagnostics/…`: the instruments of the theory on searches and pairs, and selection under other rules."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Annotated

from fastapi import APIRouter, Query, Response

from gateway.domain.search import SearchRecord
from gateway.infra.search_recordings import SearchRecordings, recorded_runs
from gateway.loop.likeness import likeness_of
from gateway.routes.answers import json_response
from gateway.routes.api_document import may_answer
from gateway.routes.dependencies import ServicesOf, Tenant
from gateway.routes.problems import RequestProblem
from gateway.schemas.theory_document import filter_effect_document, replay_document, theory_document
from gateway.schemas.theory_shape import FilterEffectDocument, ReplayDocument, TheoryDocument
from gateway.theory.search_instruments import read_filter_pairs, read_search
from gateway.theory.what_if import Rules, replay_selection

router = APIRouter(prefix="/v1", tags=["searches"], responses=may_answer(404))

MOST_PAIRS = 20
MOST_COMPARED = 2000
"""Sources that the filter compares with each other for a changed threshold: some seconds' work."""
LEAST_THRESHOLD = 0.5
"""Below it nearly everything is near everything."""


@router.get("/searches/{search_id}/diagnostics/theory", response_model=TheoryDocument)
def read_theory(search_id: str, services: ServicesOf, tenant: Tenant) -> Response:
    """What the convergence theory predicts, what this search shows, and whether they agree.

    Of a search that goes on, what needs the sealed half or the finals cannot be told yet.
    """
    recorded = SearchRecordings(services.database, services.evaluations).recorded(search_id, tenant)
    return json_response(theory_document(search_id, read_search(recorded)))


@router.get(
    "/searches/{search_id}/diagnostics/what-if", response_model=ReplayDocument, responses=may_answer(502)
)
def replay_search(
    search_id: str,
    services: ServicesOf,
    tenant: Tenant,
    elites: Annotated[int | None, Query(ge=1, le=200)] = None,
    seeds: Annotated[int | None, Query(ge=1, le=20)] = None,
    novelty_threshold: Annotated[float | None, Query(ge=LEAST_THRESHOLD, le=1)] = None,
) -> Response:
    """Who would have been elite with another number of elites, of seeds, or another novelty threshold.

    Nothing is measured anew. A threshold is tried on the sources, by the filter's exact Jaccard similarity.
    """
    recordings = SearchRecordings(services.database, services.evaluations)
    search = services.searches.read(search_id, tenant)
    slots = recordings.slots(search_id, tenant)
    rules = Rules(elites, seeds, novelty_threshold)
    finals = recordings.later_runs(search_id) if search.state.is_terminal and seeds is not None else {}
    runs = recorded_runs(search, slots, finals)
    likeness = None
    if novelty_threshold is not None:
        sources = recordings.screened_sources(search_id, tenant, MOST_COMPARED + 1)
        _require_comparable(sources, novelty_threshold)
        likeness = likeness_of(services.filter, sources, novelty_threshold)
    replay = replay_selection(slots, rules, search.request.elites, runs, likeness)
    return json_response(replay_document(search_id, rules, replay))


@router.get("/diagnostics/filter-effect", response_model=FilterEffectDocument)
def read_pairs(
    services: ServicesOf,
    tenant: Tenant,
    with_filter: Annotated[list[str], Query(min_length=1, max_length=MOST_PAIRS)],
    without_filter: Annotated[list[str], Query(min_length=1, max_length=MOST_PAIRS)],
) -> Response:
    """What the novelty filter adds to the diversity of proposals, over pairs of searches with one seed each.

    The n-th of `with_filter` and the n-th of `without_filter` are a pair: alike, but for a higher threshold.
    """
    if len(with_filter) != len(without_filter):
        raise _no_pair("query.without_filter", without_filter, "there are not as many as with_filter")
    for kept, free in zip(with_filter, without_filter, strict=True):
        _require_pair(services.searches.read(kept, tenant), services.searches.read(free, tenant))
    recordings = SearchRecordings(services.database, services.evaluations)
    readings = read_filter_pairs(
        [
            (recordings.recorded(kept, tenant), recordings.recorded(free, tenant))
            for kept, free in zip(with_filter, without_filter, strict=True)
        ]
    )
    return json_response(filter_effect_document(with_filter, without_filter, readings))


def _require_pair(kept: SearchRecord, free: SearchRecord) -> None:
    """Refuse two searches whose difference would not be the filter's."""
    one, other = _but_threshold(kept), _but_threshold(free)
    differing = sorted(name for name in one if one[name] != other[name])
    if differing:
        raise _no_pair(
            "query.without_filter", free.id, f"it differs from {kept.id} in {', '.join(differing)}"
        )
    if not kept.request.novelty.threshold < free.request.novelty.threshold:
        raise _no_pair("query.without_filter", free.id, f"its threshold is not above that of {kept.id}")


def _but_threshold(search: SearchRecord) -> dict[str, object]:
    """All that a pair must share."""
    request = replace(search.request, name="", novelty=replace(search.request.novelty, threshold=1.0))
    return asdict(request)


def _no_pair(field: str, value: object, why: str) -> RequestProblem:
    remedy = "Name searches that differ in novelty.threshold alone; 1.0 is the nearest to no filter."
    return RequestProblem(
        422, "not_a_pair", f"This is no pair: {why}.", field=field, value=value, remedy=remedy
    )


def _require_comparable(sources: Mapping[str, str], threshold: float) -> None:
    if len(sources) > MOST_COMPARED:
        raise RequestProblem(
            422,
            "search_too_large",
            f"Another threshold can be tried on searches of up to {MOST_COMPARED} sources.",
            field="query.novelty_threshold",
            value=threshold,
            remedy="Leave it out; elites and seeds can be replayed on searches of any size.",
        )
