"""The decision: is an architecture new within its scope, and if not, what is it a copy of.

Two layers, the sharper first: `exact` (equal canonical sources), then `jaccard` (exact Jaccard index
of the shingles at or above the threshold). Whatever cannot be decided raises; nothing is ever called
novel because something went wrong.
"""

from contracts.jobs import Neighbour, Screening, ScreeningRequest
from contracts.names import NoveltyLayer
from filter_svc.fingerprints import fingerprint
from filter_svc.index import NoveltyIndex
from filter_svc.neighbourhood import Compared

NEAREST = 5


def screen(index: NoveltyIndex, request: ScreeningRequest) -> Screening:
    """Screen a source against its scope, without the proposal itself. Reads only.

    Raises NotScreenable, IndexBroken.
    """
    made = fingerprint(request.source)
    compared = index.compare(request.scope, made, request.threshold, request.proposal_id, request.among)
    layer = _layer(compared, request.threshold)
    nearest = tuple(Neighbour(one.proposal_id, one.jaccard, one.label) for one in compared[:NEAREST])
    return Screening(layer is None, layer, nearest)


def _layer(compared: list[Compared], threshold: float) -> NoveltyLayer | None:
    if not compared:
        return None
    if compared[0].same_digest:
        return NoveltyLayer.EXACT
    return NoveltyLayer.JACCARD if compared[0].jaccard >= threshold else None
