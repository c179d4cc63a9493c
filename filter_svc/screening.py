"""The decision: is an architecture new within its scope, and if not, what is it a copy of.

Three layers, the cheapest first: `exact` (equal canonical sources), `structure` (isomorphic computation
graphs), `jaccard` (exact Jaccard index of the shingles at or above the threshold). A graph is the word of two
candidates, the one that is screened and the one that was admitted with it; so equal graphs make a copy only
where their sources have something in common as well
(docs/decisions/0022-a-graph-is-the-guests-word.md). Whatever cannot be decided raises; nothing is ever called
novel because something went wrong.
"""

from dataclasses import dataclass
from functools import lru_cache

from contracts.jobs import Admission, Neighbour, Screening, ScreeningRequest
from contracts.names import NoveltyLayer, StructureComparison
from filter_svc.difference import difference
from filter_svc.fingerprints import FINGERPRINTS_KEPT, Fingerprint, fingerprint
from filter_svc.index import NEAREST, NoveltyIndex
from filter_svc.neighbourhood import Compared
from filter_svc.structure import TooSymmetric, structure_key

CORROBORATION = 0.1
"""The Jaccard similarity below which equal graphs are no evidence."""
MOST_ALIKE = 64
"""So many architectures with an equal graph are looked at."""


def screen(index: NoveltyIndex, request: ScreeningRequest) -> Screening:
    """Screen a source against its scope, without the proposal itself. Reads only.

    Raises NotScreenable, GraphMalformed, IndexBroken.
    """
    made = fingerprint(request.source)
    compared = index.compare(request.scope, made, request.threshold, request.proposal_id, request.among)
    structure = _structure(index, request, made)
    layer, found = _decide(compared, structure.alike, request.threshold)
    nearest = tuple(_neighbour(index, request.scope, one, structure) for one in found[:NEAREST])
    return Screening(
        novel=layer is None,
        layer=layer,
        nearest=nearest,
        difference=_difference(index, request, found),
        structure=structure.comparison,
        structure_key=None if structure.key is None else structure.key.hex(),
    )


def admit(index: NoveltyIndex, proposal_id: str, admission: Admission) -> None:
    """Add an architecture to its scope, with its graph's key if it came with a graph that has one.

    Raises NotScreenable, GraphMalformed, IndexBroken.
    """
    _, key = _key(admission.graph)
    index.admit(admission.scope, proposal_id, admission.source, admission.label, key)


@dataclass(frozen=True)
class _Structure:
    """What is known of a request's graph, and who has an equal one, nearest source first."""

    comparison: StructureComparison
    key: bytes | None = None
    alike: tuple[Compared, ...] = ()


def _structure(index: NoveltyIndex, request: ScreeningRequest, made: Fingerprint) -> _Structure:
    if request.structure_threshold is None:
        return _Structure(StructureComparison.OFF)
    comparison, key = _key(request.graph)
    if key is None:
        return _Structure(comparison)
    alike = set(index.with_structure(request.scope, key)) - {request.proposal_id}
    if request.among is not None:
        alike &= set(request.among)
    if not alike:
        return _Structure(comparison, key)
    names = sorted(alike)[:MOST_ALIKE]
    return _Structure(
        comparison,
        key,
        tuple(index.compare(request.scope, made, request.threshold, request.proposal_id, names)),
    )


# Up to two seconds of work, asked for by each scope of a search and by the admission.
@lru_cache(maxsize=FINGERPRINTS_KEPT)
def _key(graph: str | None) -> tuple[StructureComparison, bytes | None]:
    if graph is None:
        return StructureComparison.NOT_TRACED, None
    try:
        return StructureComparison.COMPARED, structure_key(graph)
    except TooSymmetric:
        return StructureComparison.UNDECIDED, None


def _decide(
    compared: list[Compared], alike: tuple[Compared, ...], threshold: float
) -> tuple[NoveltyLayer | None, list[Compared]]:
    """The layer that recognises a copy, and the nearest, first what was recognised."""
    if compared and compared[0].same_digest:
        return NoveltyLayer.EXACT, compared
    if alike and alike[0].jaccard >= CORROBORATION:
        others = [one for one in compared if one.proposal_id != alike[0].proposal_id]
        return NoveltyLayer.STRUCTURE, [alike[0], *others]
    if compared and compared[0].jaccard >= threshold:
        return NoveltyLayer.JACCARD, compared
    return None, compared


def _neighbour(index: NoveltyIndex, scope: str, one: Compared, structure: _Structure) -> Neighbour:
    likeness: float | None = None
    if structure.key is not None:
        admitted = index.find(scope, one.proposal_id)
        if admitted is not None and admitted.structure is not None:
            likeness = 1.0 if admitted.structure == structure.key else 0.0
    return Neighbour(one.proposal_id, one.jaccard, one.label, likeness)


def _difference(index: NoveltyIndex, request: ScreeningRequest, found: list[Compared]) -> tuple[str, ...]:
    """Nothing where the two are the same program: what is left then is wording."""
    if not found or found[0].same_digest:
        return ()
    admitted = index.find(request.scope, found[0].proposal_id)
    if admitted is None:
        return ()
    return difference(admitted.source, request.source, admitted.label or admitted.proposal_id)
