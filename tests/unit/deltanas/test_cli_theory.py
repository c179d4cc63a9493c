"""`deltanas search diagnose` and `what-if`: instruments and replays as people and programs see them."""

SEARCH = "/v1/searches/se_1"
COUNTS = {"search_id": "se_1", "proposals": [], "delta_failures": [], "hunks": [], "repairs": []}
READINGS = [
    {
        "instrument": "elite_bound", "claim": "C_t", "fit": "fails",
        "verdict": "The bound \x1b[2J does not hold.",
        "cannot_tell": "much", "predicted": {"value": 0.784, "interval": [0.6, 0.9]},
        "observed": {"value": 0.3, "interval": None}, "figures": {},
    },
    {
        "instrument": "proxy_reliability", "claim": "rho", "fit": "cannot_be_told",
        "verdict": "Cannot be told.",
        "cannot_tell": "more", "predicted": None, "observed": None, "figures": {},
    },
]  # fmt: skip
REPLAY = {
    "search_id": "se_1", "rules": {"elites": 1, "seeds": None, "novelty_threshold": None},
    "diverges_after": 1, "note": "From cycle 2 on …",
    "cycles": [
        {
            "cycle": 0, "recorded": ["se_1-c000-s000"], "replayed": ["se_1-c000-s000"], "copies": [],
            "unscored": [], "too_few_runs": 0, "differs": False,
        },
        {
            "cycle": 1, "recorded": [f"se_1-c001-s00{n}" for n in range(5)], "replayed": ["se_1-c001-s000"],
            "copies": ["se_1-c001-s004"], "unscored": [], "too_few_runs": 0, "differs": True,
        },
    ],
}  # fmt: skip


def rows(text):
    return [" ".join(line.split()) for line in text.splitlines()]


def test_diagnose_shows_each_instruments_word(gateway, deltanas):
    gateway.answer("GET", f"{SEARCH}/diagnostics", COUNTS)
    gateway.answer("GET", f"{SEARCH}/diagnostics/theory", {"search_id": "se_1", "readings": READINGS})
    ended = deltanas("search", "diagnose", "se_1")
    assert ended.code == 0
    text = " ".join(rows(ended.out))
    assert "elite bound fails 0.784 (0.600 to 0.900) 0.300" in text
    assert "proxy reliability cannot be told – –" in text
    assert "\x1b" not in ended.out


def test_what_if_asks_for_what_was_changed_alone_and_shows_who_would_be_elite(gateway, deltanas):
    gateway.answer("GET", f"{SEARCH}/diagnostics/what-if", REPLAY)
    ended = deltanas("search", "what-if", "se_1", "--elites", "1")
    assert ended.code == 0
    assert gateway.heard[-1].query == {"elites": "1"}
    found = rows(ended.out)
    assert "0 c000-s000 the same 0 0 0" in found
    assert "1 c001-s000, c001-s001, c001-s002 and 2 more c001-s000 4 1 0" in found
    assert "From cycle 2 on …" in found


def test_what_if_gives_programs_the_replay_as_it_is(gateway, deltanas):
    gateway.answer("GET", f"{SEARCH}/diagnostics/what-if", REPLAY)
    assert deltanas("search", "what-if", "se_1", "--json").json == REPLAY


def test_what_if_refuses_rules_out_of_range(gateway, deltanas):
    assert deltanas("search", "what-if", "se_1", "--elites", "0").code == 2
    assert deltanas("search", "what-if").code == 2


def test_filter_effect_sends_its_pairs_in_order(gateway, deltanas):
    gateway.answer("GET", "/v1/diagnostics/filter-effect", {"readings": READINGS})
    ended = deltanas("search", "filter-effect", "se_1,se_2", "se_3,se_4", "--json")
    assert ended.code == 0
    assert ended.json == {"readings": READINGS}
    assert {"with_filter", "without_filter"} == set(gateway.heard[-1].query)
    assert deltanas("search", "filter-effect", "se_1").code == 2
