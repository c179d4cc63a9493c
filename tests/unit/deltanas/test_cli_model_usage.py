"""`deltanas search` tells what models took, what a search waits for, and why it stopped or paused."""

import pytest
from test_cli_search import BASELINE, FINAL, SEARCH, WINNER, search

from deltanas.cli.model_usage import settings_sentence, stop_sentence, usage_sentence

MODEL = {
    "calls": 24, "repairs": 3, "prompt_tokens": 11_000, "completion_tokens": 1_345, "tokens": 12_345,
    "tokens_per_valid_candidate": 1543.1, "cost_usd": 0.0123, "seconds": 312.4, "calls_without_tokens": 0,
    "calls_without_cost": 0,
}  # fmt: skip
PAUSED_BY = {"code": "key_missing", "message": "The endpoint has no key.", "remedy": "Set the key."}


def shown_with(gateway, deltanas, **fields):
    gateway.answer("GET", SEARCH, search("succeeded", final=FINAL, **fields))
    gateway.answer("GET", f"{SEARCH}/candidates", {"items": [BASELINE, WINNER]})
    gateway.answer("GET", f"{SEARCH}/cycles", {"items": [{"cycle": 0}, {"cycle": 1, "model": MODEL}]})
    return deltanas("search", "show", "se_1")


def test_show_tells_what_the_models_took_cycle_by_cycle(gateway, deltanas):
    shown = shown_with(gateway, deltanas, model=MODEL)
    sentence = (
        "24 model calls, 3 repairs, 12,345 tokens (1,543 a valid candidate), $0.0123, 312 s of model time"
    )
    assert sentence in shown.out
    row = next(line for line in shown.out.splitlines() if line.split()[:2] == ["1", "24"])
    assert row.split() == ["1", "24", "3", "12,345", "1,543", "$0.0123", "312", "s"]


def test_without_models_nothing_is_told_of_them(gateway, deltanas):
    shown = shown_with(gateway, deltanas, model={**MODEL, "calls": 0})
    assert "model" not in shown.out
    assert f"{SEARCH}/cycles" not in {heard.path for heard in gateway.heard}


def test_show_tells_what_is_set_and_what_is_waited_for(gateway, deltanas):
    request = {
        "dataset": "mnist", "feedback": {"window": 5}, "model_budget": {"max_calls": 9, "max_cost_usd": 0.5},
        "deployment": {"forbidden_operators": ["Conv3d"], "max_parameters": 10**6, "max_flops": None},
    }  # fmt: skip
    progress = {
        "cycle": 1,
        "cycles": 1,
        "slots_done": 1,
        "slots_total": 3,
        "waiting_for": "the \x1b[2J endpoint",
    }
    shown = shown_with(gateway, deltanas, request=request, progress=progress)
    told = shown.err.replace("\n", " ")
    assert "feedback of the last 5 tries; without Conv3d; at most 1,000,000 parameters" in told
    assert "budget: $0.5000, 9 calls" in told
    assert "waits for: the" in told
    assert "\x1b" not in shown.err


@pytest.mark.parametrize(
    ("stop", "told"),
    [
        (("max_tokens", 12_345, 10_000, 0), "12,345 tokens spent, model_budget.max_tokens = 10,000 tokens"),
        (("max_cost_usd", 0.5, 0.25, 2), "$0.5000 spent (2 calls of unknown size counted as the largest)"),
        (("max_cost_usd", None, 0.25, 8), "no model call says what it took"),
    ],
)
def test_a_search_that_its_budget_stopped_says_so(gateway, deltanas, stop, told):
    names = ("limit", "spent", "allowed", "unknown_calls")
    shown = shown_with(gateway, deltanas, stopped_by=dict(zip(names, stop, strict=True)))
    assert told in shown.out.replace("\n", " ")


def test_a_search_that_waits_says_for_what_while_it_is_followed(gateway, deltanas):
    gateway.answer("GET", SEARCH, search("running"))
    waits = {"state": "running", "waiting_for": "The endpoint cannot be reached."}
    skipped = {**WINNER, "state": "skipped", "accuracy": None}
    stopped = {"state": "running", "stopped_by": {"limit": "max_calls", "spent": 9, "allowed": 8}}
    gateway.events(
        f"{SEARCH}/events", ("state", waits), ("state", stopped), ("slot", skipped), ("finished", {})
    )
    for _ in range(2):
        gateway.answer("GET", SEARCH, search("running"))
    gateway.answer("GET", SEARCH, search("succeeded", final=FINAL))
    gateway.answer("GET", f"{SEARCH}/candidates", {"items": [BASELINE]})
    told = deltanas("search", "resume", "se_1").err
    assert "waits for: The endpoint cannot be reached." in told
    assert "stopped proposing: 9 calls spent, model_budget.max_calls = 8 calls" in told
    assert "nothing proposed: the model budget is spent" in told


def test_a_search_that_the_platform_paused_names_reason_and_remedy(gateway, deltanas):
    gateway.answer("GET", SEARCH, search("running"))
    gateway.events(f"{SEARCH}/events", ("state", {"state": "paused", "paused_by": PAUSED_BY}))
    gateway.answer("GET", SEARCH, search("running"))
    gateway.answer("GET", SEARCH, search("paused", paused_by=PAUSED_BY))
    gateway.answer("GET", f"{SEARCH}/candidates", {"items": [BASELINE]})
    ended = deltanas("search", "resume", "se_1")
    assert ended.code == 3
    assert "the search is paused: The endpoint has no key." in ended.err
    assert "Set the key. Then go on with: deltanas search resume se_1" in ended.err.replace("\n", " ")


def test_what_is_not_there_has_no_words():
    assert (usage_sentence({}), stop_sentence({}), settings_sentence({})) == (None, None, None)
    assert "cost unknown" in (usage_sentence({"model": {**MODEL, "cost_usd": None}}) or "")
