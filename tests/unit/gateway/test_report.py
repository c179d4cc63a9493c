"""The report of a search: what it says, that hostile text stays text, that it is self-contained."""

import re
from html.parser import HTMLParser

import pytest
from sample_search import (
    EVALUATION,
    SEARCH_ID,
    candidate,
    likeness,
    sample_candidates,
    sample_cycles,
    sample_final,
    sample_search,
)

from gateway.dashboard.home import render_home
from gateway.dashboard.report import diff_lines, render_report

HOSTILE = (
    "</title></style><script>alert(1)</script><a href=//x onclick=y><img src=x onerror=alert(2)>"
    "\x1b[31m\u202e'\"&{{ 7*7 }}"
)


class Balance(HTMLParser):
    """Every tag that opens is closed; scripts, links and handlers are noted."""

    def __init__(self):
        super().__init__()
        self.open, self.forbidden = [], []

    def handle_starttag(self, tag, attrs):
        if tag in {"script", "iframe", "object", "embed", "link", "img", "base", "form"}:
            self.forbidden.append(tag)
        self.forbidden += [name for name, _ in attrs if name.startswith("on")]
        self.forbidden += [
            v for n, v in attrs if n in {"href", "src"} and not v.startswith(("/v1/", "/docs"))
        ]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def checked(page):
    parser = Balance()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    assert parser.forbidden == []
    assert not re.search(r"url\(|@import|https?://", page)
    return page


def report(candidates, evaluation=None, **fields):
    return checked(
        render_report(sample_search(candidates, **fields), sample_cycles(candidates), candidates, evaluation)
    )


@pytest.fixture(scope="module")
def page():
    return report(sample_candidates(), EVALUATION)


def test_the_page_is_self_contained_and_forbids_everything_else(page):
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
    assert page.count("<svg") >= 3


def test_the_verdict_comes_first_with_interval_seeds_and_half(page):
    headline = page.index("+0.73 points over residual: not distinguishable from none")
    assert headline < page.index("Accuracy by cycle")
    assert "95 % interval [−0.15, +1.61]" in page
    assert "sealed half" in page


@pytest.mark.parametrize(
    ("gains", "interval", "headline"),
    [
        ((0.02, 0.03), (0.01, 0.04), '<h1 class="good">+2.50 points over residual</h1>'),
        ((-0.02, -0.03), (-0.04, -0.01), '<h1 class="bad">−2.50 points: the winner is worse'),
        ((0.02,), None, "+2.00 points over residual: not distinguishable from none"),
    ],
)
def test_the_headline_follows_the_evidence_whatever_its_sign(gains, interval, headline):
    candidates = sample_candidates()
    search = sample_search(candidates)
    search["final"] = sample_final(search["best"], candidates[0], gains, interval)
    assert headline in checked(render_report(search, sample_cycles(candidates), candidates))


def test_finals_without_scores_make_no_claim():
    candidates = sample_candidates()
    search = sample_search(candidates)
    pairs = [{"seed": 1, "winner_accuracy": None, "baseline_accuracy": 0.8}]
    search["final"] |= {"per_seed": pairs, "mean_gain": None, "gain_interval": None}
    page = checked(render_report(search, sample_cycles(candidates), candidates))
    assert "No gain can be stated" in page
    assert "What the winner gains" not in page


def test_losses_failures_and_provenance_are_named(page):
    assert "hunk unplaceable" in page
    assert "copy of an earlier candidate" in page
    assert "mat1 and mat2 shapes cannot be multiplied" in page
    assert "c7f3" * 16 in page
    assert "namespaces" in page


def test_the_winning_delta_is_coloured_line_by_line(page):
    assert '<span class="added">+        self.stem = nn.Conv2d(in_shape[1], 32, 3, padding=1)</span>' in page
    assert '<span class="removed">-        self.stem' in page
    assert [line.kind for line in diff_lines("--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n z")] == [
        "header", "header", "place", "removed", "added", "same",
    ]  # fmt: skip


def test_hostile_text_stays_text_wherever_it_stands():
    parent = candidate(0, 0, accuracy=0.8, name=HOSTILE)
    child = candidate(1, 0, accuracy=0.9, parent=parent, summary=HOSTILE, delta=f"+{HOSTILE}\n-{HOSTILE}")
    failure = {"reason": HOSTILE, "code": HOSTILE, "message": HOSTILE}
    failed = candidate(1, 1, state="failed", parent=parent, summary=HOSTILE, failure=failure)
    copied = candidate(
        1, 2, state="duplicate", parent=parent, likeness=likeness(parent), difference=[f"+{HOSTILE}"]
    )
    candidates = [parent, child, failed, copied]
    search = sample_search(candidates, name=HOSTILE)
    search["request"] |= {"dataset": HOSTILE, "proposer": {"kind": HOSTILE}}
    search["final"]["note"] = HOSTILE
    for state in ("succeeded", "failed"):
        search |= {
            "state": state,
            "failure": HOSTILE,
            "final": search["final"] if state == "succeeded" else None,
        }
        page = checked(render_report(search, sample_cycles(candidates), candidates))
        assert "<script>" not in page
        assert "\x1b" not in page
        assert "\u202e" not in page
        assert "{{ 7*7 }}" in page  # and not 49


def test_a_copy_is_explained_by_layer_scope_similarity_and_the_lines_that_differ():
    parent = candidate(0, 0, accuracy=0.8, name="oak")
    near = candidate(
        1, 0, accuracy=0.7, parent=parent, likeness=likeness(parent, penalty=0.1), selection_score=0.63
    )
    known = candidate(1, 1, state="duplicate", parent=parent, likeness=likeness(parent, "exact", "corpus"))
    page = report([parent, near, known])
    shown = page[page.index("<h2>Copies") : page.index("<h2>Diversity")]
    words = " ".join(re.sub(r"<[^>]+>", " ", shown).split())
    assert "c001-s000 nearly the same text as oak 95.3 % alike, compared with this search" in words
    assert "flagged, −10 % in selection" in words
    assert "c001-s001 the same program as oak 100.0 % alike, compared with the reference networks" in words
    assert f'<a href="/v1/searches/{SEARCH_ID}/candidates/{parent["proposal_id"]}">oak</a>' in shown
    assert shown.count("<a ") == 1
    assert '<span class="added">+        self.stem' in shown
    assert "like oak, ranked as 63.00 %" in page
    assert "copy of a reference network" in page


def test_a_copy_from_another_search_is_not_linked():
    elsewhere = {**candidate(1, 3, name="c001-s003"), "proposal_id": "se_other-c001-s003"}
    mine = candidate(1, 0, state="duplicate", likeness=likeness(elsewhere, scope="tenant"))
    shown = report([candidate(0, 0, accuracy=0.8, name="oak"), mine])
    assert "<b>c001-s003</b>" in shown
    assert "se_other" not in shown


def test_of_many_copies_some_are_shown_and_the_rest_counted():
    parent = candidate(0, 0, accuracy=0.8, name="oak")
    copies = [
        candidate(1, place, state="duplicate", parent=parent, likeness=likeness(parent))
        for place in range(30)
    ]
    page = report([parent, *copies])
    assert "6 more are in" in page
    assert page.count("nearly the same text as") == 24


def test_a_search_without_copies_says_nothing_of_them():
    assert "<h2>Copies" not in report([candidate(0, 0, accuracy=0.8, name="oak")])


def test_each_cycle_tells_how_diverse_it_is_and_counts_graphs_only_where_there_are(page):
    shown = page[page.index("<h2>Diversity") : page.index("<h2>Cycle by cycle")]
    rows = [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in shown.split("<tr>")[2:]]
    assert rows[0].startswith("0 ")
    assert " – 0.412 4.80" in rows[0]
    assert " 75 % of 4 0.412 4.80" in rows[1]


def test_the_rules_of_novelty_are_part_of_the_provenance(page):
    assert (
        "compared with this search, the reference networks; copies from a Jaccard similarity of 0.9 on are "
        "evaluated, and 5 % lower in selection"
    ) in page


PLACE = {"cycle": 1, "proposer": "mutation"}
WRITER = {"cycle": 1, "proposer": HOSTILE}
READING = {
    "proposals": [
        {**PLACE, "answered": 10, "applied": 9, "mean_confidence": 1.0},
        {**PLACE, "cycle": 2, "answered": 10, "applied": 1, "mean_confidence": 0.5},
        {**WRITER, "answered": 5, "applied": 0, "mean_confidence": None},
    ],
    "delta_failures": [
        {**PLACE, "code": "no_proposal", "count": 1}, {**PLACE, "cycle": 2, "code": "ambiguous", "count": 9},
        {**WRITER, "code": HOSTILE, "count": 5},
    ],
    "hunks": [
        {**PLACE, "status": "refused", "reason": "ambiguous", "count": 9},
        {**PLACE, "status": "exact", "reason": "", "count": 20},
        {**WRITER, "status": HOSTILE, "reason": HOSTILE, "count": 1},
    ],
    "repairs": [{**PLACE, "kind": "indentation", "count": 3}, {**WRITER, "kind": HOSTILE, "count": 2}],
}  # fmt: skip


def test_what_became_of_the_deltas_is_shown_by_outcome_hunk_and_proposer():
    candidates = sample_candidates()
    page = checked(
        render_report(sample_search(candidates), sample_cycles(candidates), candidates, None, READING)
    )
    shown = page[page.index("How the deltas were read") : page.index("<h2>Lineage")]
    words = " ".join(re.sub(r"<[^>]+>", " ", shown).split())
    assert "What became of 25 proposals" in words
    assert "applied 10 the delta fits" in words
    assert "ambiguous 9 its lines fit in several places, and nothing is guessed" in words
    assert "nothing proposed 1" in words
    assert words.index("exact 20") < words.index("refused 9 9 ambiguous")
    assert "Repairs: 3 indentation" in words
    assert "mutation 20 10 (50 %) 0.95 ambiguous (9)" in words
    assert "<script>" not in shown
    assert 'style="width:40.0%"' in shown


def test_a_search_without_proposals_says_nothing_of_deltas(page):
    assert "How the deltas were read" not in page


@pytest.mark.parametrize("state", ["queued", "running", "paused", "failed", "cancelled", "succeeded"])
@pytest.mark.parametrize("known", [0, 1, 12, 32])
def test_a_search_can_be_shown_at_any_moment(state, known):
    candidates = sample_candidates()[:known]
    page = report(candidates, state=state, failure=None, finished_at=None)
    assert "Where the proposals went" in page


def test_equal_scores_and_a_single_candidate_make_a_figure():
    flat = [candidate(0, slot, accuracy=0.5, name="n") for slot in range(5)]
    assert "Accuracy by cycle" in report(flat, state="running")
    assert "Accuracy by cycle" in report([candidate(0, 0, accuracy=0.0, name="n")], state="running")


def test_one_very_poor_candidate_does_not_flatten_the_figure():
    candidates = [candidate(0, slot, accuracy=0.85 + slot / 1000, name="n") for slot in range(8)]
    candidates.append(candidate(0, 8, accuracy=0.1, name="poor"))
    page = report(candidates, state="running")
    assert "1 far below the others is drawn as a triangle" in page
    assert 'text-anchor="end">20 %' not in page


def test_a_search_of_the_papers_size_is_drawn_by_its_elites():
    candidates = sample_candidates(cycles=22, slots=50)
    page = report(candidates)
    assert re.search(r"1\d\d\d others are left out", page)
    assert len(page) < 400_000


def test_a_deep_lineage_does_not_exhaust_the_stack():
    chain = [candidate(0, 0, accuracy=0.5, name="root")]
    for cycle in range(1, 101):
        chain.append(candidate(cycle, 0, accuracy=0.5 + cycle / 1000, parent=chain[-1], elite=True))
    assert "c100-s000" in report(chain)


def test_the_front_page_links_reports_and_escapes_names():
    search = sample_search(sample_candidates(), name=HOSTILE)
    evaluation = {
        "id": "ev_1", "state": "failed", "request": {"dataset": HOSTILE}, "measurement": None,
        "failure": {"reason": "train_error"}, "created_at": "2026-01-02T03:04:05Z",
    }  # fmt: skip
    page = checked(render_home([search], [evaluation]))
    assert f'href="/v1/searches/{search["id"]}/report"' in page
    assert "train error" in page
    assert "None yet" in checked(render_home([], []))


MODEL = {
    "calls": 12, "repairs": 3, "prompt_tokens": 9000, "completion_tokens": 1500, "tokens": 10_500,
    "tokens_per_valid_candidate": 1312.5, "cost_usd": 0.0425, "seconds": 95.0, "calls_without_tokens": 0,
    "calls_without_cost": 1,
}  # fmt: skip
STOP = {"limit": "max_cost_usd", "spent": 0.0425, "allowed": 0.04, "unknown_calls": 0}


def page_with(**fields):
    candidates = sample_candidates()
    cycles = [{**cycle, "model": MODEL if cycle["cycle"] else None} for cycle in sample_cycles(candidates)]
    return render_report(sample_search(candidates, **fields), cycles, candidates)


def test_what_the_models_took_is_shown_cycle_by_cycle():
    shown = page_with(model=MODEL)
    assert "What the models took" in shown
    assert shown.count("1,312") + shown.count("1,313") == 4
    assert "$0.0425 or more" in shown


def test_a_search_without_models_has_no_such_section(page):
    assert "What the models took" not in page


@pytest.mark.parametrize(
    ("stop", "told"),
    [
        (STOP, "its models had spent $0.0425 of $0.0400."),
        (
            {**STOP, "limit": "max_tokens", "spent": 10_500, "allowed": 10_000},
            "had spent 10,500 tokens of 10,000 tokens.",
        ),
        ({**STOP, "unknown_calls": 2}, "2 calls of unknown size counted as the largest"),
        ({**STOP, "spent": None}, "so $0.0400 could not be kept"),
    ],
)
def test_a_search_that_its_budget_stopped_says_so(stop, told):
    assert told in page_with(model=MODEL, stopped_by=stop)


def test_one_call_of_unknown_size_is_one_call():
    assert "(1 call of unknown size" in page_with(model=MODEL, stopped_by={**STOP, "unknown_calls": 1})


def test_a_search_says_what_its_models_took_at_its_head_and_how_often_it_waited():
    candidates = sample_candidates()
    waits = {"endpoint_unreachable": 2, "rate_limited": 11, HOSTILE: 1}
    search = sample_search(candidates, model=MODEL)
    search["progress"] |= {"platform_waits": waits}
    shown = checked(render_report(search, sample_cycles(candidates), candidates))
    assert "<b>10,500</b><span>tokens of language models, $0.0425 or more</span>" in shown
    assert "It waited 14 times for what its proposer depends on: 11 × rate limited, 2 × endpoint" in shown


def test_nobody_is_called_the_winner_before_the_finals():
    candidates = sample_candidates()
    running = render_report(sample_search(candidates, "running"), sample_cycles(candidates), candidates)
    assert '<span class="tag winner">best so far</span>' in running
    assert not re.search(r">winner<|the winner\b", running)


def test_the_front_page_says_what_a_search_waits_for_and_why_one_is_paused():
    candidates = sample_candidates()
    waiting, paused = (sample_search(candidates, state) for state in ("running", "paused"))
    waiting["progress"] |= {"waiting_for": HOSTILE}
    paused["paused_by"] = {"code": "key_missing", "message": "No key is set.", "remedy": "Set it."}
    shown = checked(render_home([waiting, paused], []))
    assert '<div class="news">waits for: ' in shown
    assert '<div class="news">No key is set.</div>' in shown


def test_a_paused_search_heads_its_page_with_reason_and_remedy():
    reason = {"code": "key_missing", "message": "No <b>key</b>.", "remedy": "Set it."}
    shown = page_with(state="paused", paused_by=reason)
    assert "The search is paused" in shown
    assert "No &lt;b&gt;key&lt;/b&gt;. Set it. Then resume the search." in shown


def test_what_the_proposer_was_told_and_allowed_is_part_of_the_provenance():
    candidates = sample_candidates()
    search = sample_search(candidates)
    search["request"] |= {
        "proposer": {"kind": "openai_compatible", "options": {"model": "qwen", "temperature": 0.35}},
        "feedback": {"window": 5}, "model_budget": {"max_calls": 99},
        "deployment": {"forbidden_operators": ["Conv3d"], "max_parameters": 10**6},
    }  # fmt: skip
    shown = render_report(search, sample_cycles(candidates), candidates)
    for value in ("model = qwen, temperature = 0.35", "Conv3d", "1,000,000", "model calls at most"):
        assert value in shown
