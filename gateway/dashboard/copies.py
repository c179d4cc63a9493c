"""What candidates are copies of, for the report: with the layer that saw it and the differing lines."""

from dataclasses import dataclass
from typing import Any

from gateway.dashboard.wording import percent, short_id

Json = dict[str, Any]

MOST_ROWS = 24
_COMPARED_WITH = {
    "parent": "its parent",
    "search": "this search",
    "corpus": "the reference networks",
    "tenant": "all of the tenant's searches",
}
_COPY_OF = {
    "parent": "copy of its parent",
    "search": "copy of an earlier candidate",
    "corpus": "copy of a reference network",
    "tenant": "copy from another search",
}
_FATES = {
    "reject": "not evaluated",
    "flag": "evaluated and flagged",
    "penalise": "evaluated, and {penalty:g} % lower in selection",
}
_LAYERS = {
    "exact": "the same program",
    "structure": "the same computation graph",
    "jaccard": "nearly the same text",
}


@dataclass(frozen=True)
class CopyRow:
    """One copy. `link`: to the nearest architecture, where it is a candidate of the same search."""

    short_id: str
    fate: str
    name: str
    link: str | None
    where: str
    layer: str
    similarity: str
    difference: list[str]


@dataclass(frozen=True)
class Copies:
    """The first of them in slot order, and how many there are besides."""

    rows: list[CopyRow]
    more: int


def novelty_sentence(rules: Json | None) -> str | None:
    """The rules of a search in words."""
    if not rules:
        return None
    scopes = ", ".join(_COMPARED_WITH[scope] for scope in rules["scopes"])
    fate = _FATES[rules["policy"]].format(penalty=100 * rules["penalty"])
    return f"compared with {scopes}; copies from a Jaccard similarity of {rules['threshold']} on are {fate}"


def copies_shown(candidates: list[Json]) -> list[Json]:
    """Those copies that the page has room for."""
    return [candidate for candidate in candidates if candidate.get("likeness")][:MOST_ROWS]


def copy_table(search: Json, candidates: list[Json]) -> Copies | None:
    """None where every candidate was new. `difference` of a candidate is shown where it is there."""
    shown = copies_shown(candidates)
    if not shown:
        return None
    count = sum(bool(candidate.get("likeness")) for candidate in candidates)
    return Copies([_row(search, candidate) for candidate in shown], count - len(shown))


def copy_reason(candidate: Json) -> str:
    """Why a duplicate was lost, in a few words."""
    likeness = candidate.get("likeness")
    return _COPY_OF[likeness["scope"]] if likeness else "copy of an earlier candidate"


def _row(search: Json, candidate: Json) -> CopyRow:
    likeness = candidate["likeness"]
    is_here = str(likeness["proposal_id"] or "").startswith(f"{search['id']}-")
    return CopyRow(
        short_id=short_id(candidate),
        fate=_fate(candidate),
        name=likeness["name"],
        link=f"/v1/searches/{search['id']}/candidates/{likeness['proposal_id']}" if is_here else None,
        where=_COMPARED_WITH[likeness["scope"]],
        layer=_LAYERS[likeness["layer"]],
        similarity=percent(likeness["similarity"], 1),
        difference=candidate.get("difference") or [],
    )


def _fate(candidate: Json) -> str:
    if candidate["state"] == "duplicate":
        return "not evaluated"
    penalty = candidate["likeness"]["penalty"]
    return f"flagged, −{100 * penalty:g} % in selection" if penalty else "flagged"
