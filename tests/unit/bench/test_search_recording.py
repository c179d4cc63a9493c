"""A recording of a long search keeps every score, and what is shown comes from it alone."""

import json
from xml.etree import ElementTree

import pytest
from search_recording.figure import search_figure
from search_recording.recording import recording, written
from search_recording.tables import tables

from contracts.names import SlotState
from gateway.domain.candidate import Score, Slot
from gateway.theory.search_instruments import RecordedSearch, read_search

SEARCH = "se_1"


def candidate(cycle, slot, accuracy=None, state="judged", **more):
    given = {
        "proposal_id": f"{SEARCH}-c{cycle:03d}-s{slot:03d}",
        "cycle": cycle,
        "slot": slot,
        "name": f"c{cycle:03d}-s{slot:03d}",
        "parent": None if cycle == 0 else {"proposal_id": f"{SEARCH}-c000-s000", "name": "plain-cnn"},
        "state": state,
        "failure": None,
        "likeness": None,
        "accuracy": accuracy,
        "plausible": None if accuracy is None else True,
        "estimate": None,
        "elite": False,
        "cpu_seconds": 5.0,
        "summary": "kernel 3 → 5",
        "reruns": [],
    }
    return given | more


def cycle(number):
    return {
        "cycle": number,
        "funnel": {},
        "best_accuracy": 0.7,
        "mean_accuracy": 0.6,
        "diversity": {"sources": 2, "new": 1, "unique_graph_rate": 0.5, "mean_distance": 0.8},
        "fine_tune": None,
        "state": "finished",
    }


@pytest.fixture
def candidates():
    audit = {"purpose": "audit", "seed": 7, "accuracy": 0.65, "cpu_seconds": 4.0, "evaluation_id": "ev_1"}
    copy = {"layer": "structure", "name": "plain-cnn"}
    return [
        candidate(2, 1, state="failed", failure={"reason": "train_error"}),
        candidate(2, 0, 0.75, reruns=[audit]),
        candidate(1, 1, state="duplicate", likeness=copy),
        candidate(1, 0, 0.6),
        candidate(0, 0, 0.7),
    ]


@pytest.fixture
def record(candidates):
    names = "dataset cycles candidates_per_cycle seed proposer epochs train_images elites final_seeds"
    others = "novelty replicates audit_sample fine_tune feedback baselines"
    final = {
        "winner": {"proposal_id": f"{SEARCH}-c002-s000", "name": "c002-s000"},
        "baseline": {"proposal_id": f"{SEARCH}-c000-s000", "name": "plain-cnn"},
        "per_seed": [{"winner_accuracy": 0.74, "baseline_accuracy": None}],
        "mean_gain": None,
        "gain_interval": None,
        "note": "",
    }
    search = {
        "id": SEARCH,
        "request": dict.fromkeys(f"{names} {others}".split(), 1),
        "state": "succeeded",
        "started_at": "a",
        "finished_at": "b",
        "funnel": {},
        "model": {},
        "final": final,
    }
    slots = tuple(
        Slot(
            proposal_id=one["proposal_id"],
            search_id=SEARCH,
            cycle=one["cycle"],
            slot=one["slot"],
            state=SlotState(one["state"]),
            name=one["name"],
            root_id="",
            family="",
            candidate_id=one["proposal_id"],
            score=None if one["accuracy"] is None else Score(one["accuracy"], 0.0, None, 0.0, 0, None, True),
        )
        for one in reversed(candidates)
    )
    readings = [
        {
            "instrument": one.instrument,
            "fit": one.fit.value,
            "predicted": one.predicted and {"value": one.predicted.value, "interval": one.predicted.interval},
            "observed": one.observed and {"value": one.observed.value, "interval": one.observed.interval},
            "verdict": one.verdict,
            "figures": dict(one.figures),
        }
        for one in read_search(RecordedSearch(slots, has_ended=True))
    ]
    return recording(search, [cycle(n) for n in range(3)], candidates, {"readings": readings})


def test_recording_keeps_every_candidate_in_order_under_short_names(record):
    assert [one["id"] for one in record["candidates"]] == [
        "c000-s000", "c001-s000", "c001-s001", "c002-s000", "c002-s001"
    ]  # fmt: skip
    assert [one.get("accuracy") for one in record["candidates"]] == [0.7, 0.6, None, 0.75, None]
    assert record["candidates"][3]["reruns"] == [
        {"purpose": "audit", "seed": 7, "accuracy": 0.65, "cpu_seconds": 4.0}
    ]


def test_finals_stand_with_their_candidates_without_runs_that_failed(record):
    assert [one["finals"] for one in record["candidates"]] == [[], [], [], [0.74], []]


def test_recording_is_read_back_as_it_was_and_has_a_line_for_each_candidate(record):
    text = written(record)
    assert json.loads(text) == json.loads(json.dumps(record))
    assert sum(line.strip().startswith('{"id"') for line in text.splitlines()) == 5


def test_tables_name_what_became_of_proposals(record):
    text = tables(record)
    assert "| trained and scored | 2 |" in text
    assert "| copies (structure) | 1 |" in text
    assert "| failed: train_error | 1 |" in text
    assert "| 2 | 2 | 1 | 75.0 % | 75.0 % | 1 | 50.0 % | 0.80 |" in text


def test_tables_give_every_instrument_its_word(record):
    text = tables(record)
    assert all(f"| `{one['instrument']}` |" in text for one in record["readings"])


def test_figure_is_well_formed_and_draws_a_dot_for_each_score(record):
    root = ElementTree.fromstring(search_figure(record))
    dots = [one for one in root.iter() if one.get("class") == "dot"]
    assert len(dots) == 3
    assert "the paper's bound" in "".join(root.itertext())
