"""The report of a search: one self-contained HTML page that needs no network, no script and no server.

It puts the verdict first, whatever its sign, then shows how the search came to it. Figures are SVG
drawn by the template from plain geometry, so they follow the reader's light or dark mode.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.dashboard.accuracy_figure import accuracy_figure
from gateway.dashboard.control import control_table
from gateway.dashboard.copies import copy_table, novelty_sentence
from gateway.dashboard.delta_outcomes import delta_outcomes
from gateway.dashboard.gain_figure import gain_figure
from gateway.dashboard.learning import learning_rows
from gateway.dashboard.lineage_figure import ancestors, lineage_figure
from gateway.dashboard.losses import failure_groups, funnel_steps
from gateway.dashboard.model_usage import stop_sentence, usage_rows, waits_sentence
from gateway.dashboard.pages import render
from gateway.dashboard.reruns import rerun_rows
from gateway.dashboard.wording import short_id, verdict

Json = dict[str, Any]

_LEADERBOARD_ROWS = 20
_MAX_DIFF_LINES = 400


@dataclass(frozen=True)
class DiffLine:
    """One line of a delta. `kind` is added, removed, place, header or same."""

    kind: str
    text: str


def render_report(
    search: Json,
    cycles: list[Json],
    candidates: list[Json],
    evaluation: Json | None = None,
    diagnostics: Json | None = None,
    control: Json | None = None,
) -> str:
    """The whole page.

    `search`, `cycles`, `candidates` and `diagnostics` are the JSON of `/v1/searches/{id}`, `…/cycles`
    (items), `…/candidates` (items) and `…/diagnostics`; `evaluation` is one evaluation of the search, the
    winner's if there is one: its provenance and isolation are those of all. Of the candidates only the
    winner and its ancestors need their delta, and those of `copies_shown` their difference.
    `control` is the search's control arm.
    """
    winner = winner_id(search)
    line = ancestors(candidates, winner)
    return render(
        "report.html",
        search=search,
        request=search["request"],
        final=search.get("final"),
        verdict=verdict(search),
        gain=gain_figure(search.get("final")),
        accuracy=accuracy_figure(candidates, winner),
        lineage=lineage_figure(candidates, winner),
        steps=funnel_steps(search, candidates),
        reading=delta_outcomes(diagnostics),
        failures=failure_groups(candidates),
        diff_lines=diff_lines,
        deltas=[(short_id(c), c, diff_lines(c.get("delta") or "")) for c in line if c.get("delta")][::-1],
        leaders=_leaders(candidates, winner),
        copies=copy_table(search, candidates),
        diversity=[cycle for cycle in cycles if cycle.get("diversity")],
        has_estimates=any(c.get("estimate") is not None for c in candidates),
        reruns=rerun_rows(candidates),
        control=control_table(search, control),
        usage=usage_rows(search, cycles),
        learning=learning_rows(cycles),
        stopped=stop_sentence(search),
        waits=waits_sentence(search),
        cycles=sorted(cycles, key=lambda cycle: int(cycle["cycle"])),
        totals=_totals(search, candidates),
        provenance=_provenance(search, evaluation or {}),
    )


def diff_lines(delta: str) -> list[DiffLine]:
    """A unified diff, line by line, bounded."""
    lines = delta.splitlines()
    shown = [DiffLine(_diff_kind(line), line) for line in lines[:_MAX_DIFF_LINES]]
    if len(lines) > _MAX_DIFF_LINES:
        shown.append(DiffLine("header", f"… {len(lines) - _MAX_DIFF_LINES} more lines"))
    return shown


def _diff_kind(line: str) -> str:
    if line.startswith(("---", "+++")):
        return "header"
    return {"+": "added", "-": "removed", "@": "place"}.get(line[:1], "same")


def winner_id(search: Json) -> str | None:
    """The winner of the finals; before they are held, the best so far."""
    final, best = search.get("final"), search.get("best")
    chosen = (final or {}).get("winner") or best
    return chosen["proposal_id"] if chosen else None


def _leaders(candidates: list[Json], winner_id: str | None) -> list[Json]:
    measured = [c for c in candidates if c.get("accuracy") is not None]
    measured.sort(key=lambda c: (c.get("estimate") is None, -believed(c), c["proposal_id"]))
    return [
        {
            **candidate,
            "place": place,
            "short_id": short_id(candidate),
            "wins": candidate["proposal_id"] == winner_id,
        }
        for place, candidate in enumerate(measured[:_LEADERBOARD_ROWS], 1)
    ]


def believed(candidate: Json) -> float:
    """The accuracy that selection went by: from all runs of who was trained again, else the measured one."""
    estimate = candidate.get("estimate")
    return float(candidate["accuracy"] if estimate is None else estimate)


def _totals(search: Json, candidates: list[Json]) -> Json:
    measured = [c for c in candidates if c.get("accuracy") is not None]
    return {
        "measured": len(measured),
        "candidates": len(candidates),
        "cpu_seconds": sum(c.get("cpu_seconds") or 0.0 for c in measured)
        + ((search.get("reruns") or {}).get("cpu_seconds") or 0.0),
        "best": max(measured, key=lambda c: c["accuracy"], default=None),
        "elapsed": _elapsed(search.get("started_at"), search.get("finished_at")),
    }


def _listed(options: Json) -> str:
    return ", ".join(f"{name} = {value}" for name, value in options.items())[:500]


def _proposing(request: Json) -> list[tuple[str, Any]]:
    """What proposers were told and allowed, as (name, value) pairs."""
    deployment, budget = request.get("deployment") or {}, request.get("model_budget") or {}
    return [
        ("tries shown to the proposer", (request.get("feedback") or {}).get("window") or None),
        ("operators forbidden", ", ".join(deployment.get("forbidden_operators") or ())),
        ("parameters at most", _grouped(deployment.get("max_parameters"))),
        ("FLOPs at most", _grouped(deployment.get("max_flops"))),
        ("model tokens at most", _grouped(budget.get("max_tokens"))),
        ("model cost at most, US $", budget.get("max_cost_usd")),
        ("model calls at most", _grouped(budget.get("max_calls"))),
        ("contenders trained again", _listed(request.get("replicates") or {})),
        ("audit of each cycle", _listed(request.get("audit_sample") or {})),
        ("first adapter", request.get("adapter")),
        ("what it learns", _listed(request.get("fine_tune") or {})),
    ]


def _grouped(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"


def _elapsed(started: str | None, finished: str | None) -> float | None:
    if not started or not finished:
        return None
    return (datetime.fromisoformat(finished) - datetime.fromisoformat(started)).total_seconds()


def _provenance(search: Json, evaluation: Json) -> list[tuple[str, str]]:
    """What it takes to run the search again, as (name, value) pairs."""
    request, proven = search["request"], evaluation.get("provenance") or {}
    tier = (evaluation.get("isolation") or {}).get("tier")
    final_seeds = [str(pair["seed"]) for pair in (search.get("final") or {}).get("per_seed") or []]
    images = request.get("train_images")
    rows = [
        ("search", search["id"]),
        ("dataset", request["dataset"]),
        ("dataset hash", proven.get("dataset_hash")),
        ("training images", f"{images:,}" if images else "all"),
        ("epochs", request.get("epochs")),
        ("integrity", request.get("integrity")),
        ("isolation tier", tier or f"at least {request.get('minimum_tier', 'namespaces')}"),
        ("search seed", request.get("seed")),
        ("training seed", proven.get("seed")),
        ("seeds of the finals", ", ".join(final_seeds)),
        ("proposer", (request.get("proposer") or {}).get("kind")),
        ("its options", _listed((request.get("proposer") or {}).get("options") or {})),
        ("edits only in", ", ".join((request.get("edits") or {}).get("only") or ())),
        ("edits never in", ", ".join((request.get("edits") or {}).get("never") or ())),
        *_proposing(request),
        ("threads", request.get("threads")),
        ("device", request.get("device")),
        ("novelty", novelty_sentence(request.get("novelty"))),
        ("environment", proven.get("environment_digest")),
        ("runner version", proven.get("runner_version")),
    ]
    return [(name, str(value)) for name, value in rows if value not in (None, "")]
