"""The family tree of a search, cycle by cycle from left to right. Geometry only."""

from dataclasses import dataclass
from typing import Any

from gateway.dashboard.wording import percent, short_id, shortened

_FIRST_COLUMN, _COLUMN, _ROW, _MARGIN = 280, 214, 26, 22
_BEND = 44
"""Over what width an edge goes from the row of the parent to that of the child."""
_MOST_NODES = 70
"""A larger family is shown by its elites and their ancestors alone."""


@dataclass(frozen=True)
class Node:
    """One candidate. `detail` is its score, or why it has none."""

    x: float
    y: float
    kind: str
    label: str
    detail: str
    title: str


@dataclass(frozen=True)
class Edge:
    """From a parent to its child, as an SVG path."""

    path: str
    on_winning_line: bool


@dataclass(frozen=True)
class LineageFigure:
    """Everything the template draws, in figure units. `hidden` counts candidates left out for room."""

    nodes: list[Node]
    edges: list[Edge]
    columns: list[tuple[float, str]]
    hidden: int
    width: int
    height: int


def ancestors(candidates: list[dict[str, Any]], proposal_id: str | None) -> list[dict[str, Any]]:
    """The line of descent from the root baseline to a candidate, both included."""
    by_id = {c["proposal_id"]: c for c in candidates}
    line: list[dict[str, Any]] = []
    current = by_id.get(proposal_id or "")
    while current is not None and current not in line:
        line.append(current)
        parent = current.get("parent")
        current = by_id.get(parent["proposal_id"]) if parent else None
    return line[::-1]


def lineage_figure(candidates: list[dict[str, Any]], winner_id: str | None) -> LineageFigure | None:
    """The figure, or None when there is no candidate."""
    if not candidates:
        return None
    shown = _worth_showing(candidates, winner_id)
    winning_line = {c["proposal_id"] for c in ancestors(candidates, winner_id)}
    rows = _rows(shown)
    nodes = {
        c["proposal_id"]: _node(c, 2 * _MARGIN + rows[c["proposal_id"]] * _ROW, winner_id) for c in shown
    }
    cycles = max(c["cycle"] for c in shown)
    return LineageFigure(
        nodes=list(nodes.values()),
        edges=_edges(shown, nodes, winning_line),
        columns=[(_column(n), f"cycle {n}" if n else "baselines") for n in range(cycles + 1)],
        hidden=len(candidates) - len(shown),
        width=_column(cycles + 1),
        height=round(3 * _MARGIN + max(rows.values()) * _ROW),
    )


def _worth_showing(candidates: list[dict[str, Any]], winner_id: str | None) -> list[dict[str, Any]]:
    ordered = sorted(candidates, key=lambda c: (c["cycle"], c["slot"]))
    if len(ordered) <= _MOST_NODES:
        return ordered
    kept = {c["proposal_id"] for c in ancestors(candidates, winner_id)}
    for candidate in ordered:
        if candidate.get("elite") or candidate["cycle"] == 0:
            kept |= {c["proposal_id"] for c in ancestors(candidates, candidate["proposal_id"])}
    return [c for c in ordered if c["proposal_id"] in kept]


def _rows(shown: list[dict[str, Any]]) -> dict[str, float]:
    """Leaves get a row each, in family order; a parent stands in the middle of its children.

    Walked without recursion: a lineage may be as deep as a search has cycles.
    """
    ids = {c["proposal_id"] for c in shown}
    children: dict[str | None, list[str]] = {}
    for candidate in shown:
        parent = candidate.get("parent")
        parent_id = parent["proposal_id"] if parent and parent["proposal_id"] in ids else None
        children.setdefault(parent_id, []).append(candidate["proposal_id"])
    rows: dict[str, float] = {}
    free_row = 0
    pending = [(root, False) for root in reversed(children.get(None, []))]
    while pending:
        node, children_placed = pending.pop()
        own = children.get(node, [])
        if not own:
            rows[node] = free_row
            free_row += 1
        elif children_placed:
            rows[node] = (rows[own[0]] + rows[own[-1]]) / 2
        else:
            pending += [(node, True), *((child, False) for child in reversed(own))]
    return rows


def _column(cycle: int) -> int:
    return _MARGIN + (_FIRST_COLUMN + (cycle - 1) * _COLUMN if cycle else 0)


def _node(candidate: dict[str, Any], y: float, winner_id: str | None) -> Node:
    failure = candidate.get("failure") or {}
    scored = candidate.get("accuracy") is not None
    outcome = percent(candidate["accuracy"]) if scored else failure.get("reason") or candidate["state"]
    name = candidate.get("name") if candidate["cycle"] == 0 else short_id(candidate).split("-")[-1]
    what = candidate.get("summary") or candidate.get("name") or ""
    return Node(
        x=_column(candidate["cycle"]),
        y=y,
        kind=_kind(candidate, scored, winner_id),
        label=shortened(name or "", 20),
        detail=shortened(str(outcome).replace("_", " "), 18),
        title=f"{short_id(candidate)} {shortened(what, 100)}: {outcome}",
    )


def _kind(candidate: dict[str, Any], scored: bool, winner_id: str | None) -> str:
    if candidate["proposal_id"] == winner_id:
        return "winner"
    if not scored:
        return "unscored"
    if candidate["cycle"] == 0:
        return "baseline"
    return "elite" if candidate.get("elite") else "candidate"


def _edges(shown: list[dict[str, Any]], nodes: dict[str, Node], winning_line: set[str]) -> list[Edge]:
    edges = []
    for candidate in shown:
        parent = candidate.get("parent")
        if parent and parent["proposal_id"] in nodes:
            path = _path(nodes[parent["proposal_id"]], nodes[candidate["proposal_id"]])
            edges.append(Edge(path, candidate["proposal_id"] in winning_line))
    # Drawn last is seen best.
    return sorted(edges, key=lambda edge: edge.on_winning_line)


def _path(parent: Node, child: Node) -> str:
    """Out of the parent's row right behind its label, then along the child's own row.

    A child's row belongs to it alone, so a line over several cycles crosses no other candidate.
    """
    start = round(parent.x + 18 + 7.9 * len(parent.label) + 7.3 * len(parent.detail))
    middle, arrival = start + _BEND // 2, start + _BEND
    return f"M{start},{parent.y}C{middle},{parent.y} {middle},{child.y} {arrival},{child.y}H{child.x}"
