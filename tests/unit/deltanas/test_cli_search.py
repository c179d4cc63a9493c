"""`deltanas search` against a gateway that gives prepared answers."""

import pytest

SEARCH = "/v1/searches/se_1"
BASELINE = {
    "proposal_id": "se_1-c000-s000", "cycle": 0, "slot": 0, "state": "judged", "parent": None,
    "name": "residual", "summary": "", "accuracy": 0.86, "accuracy_standard_error": 0.005,
    "cpu_seconds": 10.0, "peak_memory_bytes": 2**29, "failure": None, "duplicate_of": None, "elite": True,
}  # fmt: skip
PARENT = {"proposal_id": "se_1-c000-s000", "name": "residual"}
WINNER = {
    **BASELINE, "proposal_id": "se_1-c001-s001", "cycle": 1, "slot": 1, "parent": PARENT, "name": "c1",
    "summary": "widen \x1b[2Jconv2 32 → 48", "accuracy": 0.87,
}  # fmt: skip
LOSER = {
    **WINNER, "proposal_id": "se_1-c001-s000", "slot": 0, "state": "failed", "accuracy": None, "elite": False,
    "failure": {"reason": "train_error", "message": "shapes"},
}  # fmt: skip
FINAL = {
    "winner": WINNER, "baseline": BASELINE, "per_seed": [{"seed": n} for n in range(3)], "mean_gain": 0.004,
    "gain_interval": [-0.003, 0.011], "confidence": 0.95, "scored_on": "sealed_half", "note": "",
}  # fmt: skip


def search(state, **fields):
    progress = {"cycle": 1, "cycles": 1, "slots_done": 3, "slots_total": 3}
    funnel = {"proposed": 2, "applied": 2, "novel": 2, "ran": 1, "elite": 1, "lost": 0}
    request = {"dataset": "mnist"}
    common = {"id": "se_1", "name": "demo", "progress": progress, "funnel": funnel, "request": request}
    return {**common, "state": state, "best": WINNER, "final": None, "failure": None, **fields}


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "demo.yaml"
    file.write_text("dataset: mnist\ncycles: 1\nedits:\n  never: [imports, train_setup]\n")
    return file


@pytest.fixture
def finished(gateway):
    gateway.answer("POST", "/v1/searches", search("queued"), status=202)
    gateway.answer("GET", SEARCH, search("running"))
    slots = (("slot", {**LOSER, "state": "evaluating"}), ("slot", LOSER), ("slot", WINNER))
    gateway.events(
        f"{SEARCH}/events", ("state", {"state": "running"}), *slots, ("finished", {"state": "succeeded"})
    )
    for _ in range(2):
        gateway.answer("GET", SEARCH, search("running"))
    gateway.answer("GET", SEARCH, search("succeeded", final=FINAL))
    gateway.answer("GET", f"{SEARCH}/candidates", {"items": [BASELINE, LOSER, WINNER]})
    gateway.answer("GET", f"{SEARCH}/report", "<html>report</html>")
    return gateway


def test_run_tells_the_story_and_ends_with_leaderboard_and_finals(finished, deltanas, config, tmp_path):
    page = tmp_path / "report.html"
    ended = deltanas("search", "run", config, "--report", page)
    assert ended.code == 0
    edits = {"never": ["imports", "train_setup"]}
    assert finished.heard[0].json == {"dataset": "mnist", "cycles": 1, "name": "demo", "edits": edits}
    assert "c001-s000" in ended.err
    assert "train_error: shapes" in ended.err
    assert ended.err.count("c001-s000") == 1
    assert "87.00 ± 0.50 %" in ended.out
    assert ended.out.index("c001-s001") < ended.out.index("c000-s000")
    assert "mean gain +0.4 points, 95 % interval [−0.3, +1.1], 3 fresh seeds, sealed half" in ended.out
    assert "\x1b" not in ended.out + ended.err
    assert page.read_text() == "<html>report</html>"


def test_run_prints_one_json_document(finished, deltanas, config):
    ended = deltanas("search", "run", config, "--json")
    assert ended.json["final"]["mean_gain"] == 0.004
    assert ended.err == ""


def test_resume_wakes_a_paused_search_and_follows_it(gateway, deltanas):
    gateway.answer("GET", SEARCH, search("paused"))
    gateway.answer("POST", f"{SEARCH}:resume", search("running"))
    gateway.answer("GET", SEARCH, search("succeeded", final=FINAL))
    gateway.answer("GET", f"{SEARCH}/candidates", {"items": [BASELINE, WINNER]})
    assert deltanas("search", "resume", "se_1").code == 0
    assert [(heard.method, heard.path) for heard in gateway.heard][:2] == [
        ("GET", SEARCH),
        ("POST", f"{SEARCH}:resume"),
    ]


def test_resume_of_a_running_search_only_follows(finished, deltanas):
    assert deltanas("search", "resume", "se_1").code == 0
    assert all(heard.method == "GET" for heard in finished.heard)


@pytest.mark.parametrize(("state", "code"), [("failed", 3), ("cancelled", 1)])
def test_the_exit_code_tells_how_a_search_ended(gateway, deltanas, state, code):
    gateway.answer("GET", SEARCH, search(state, failure="no disk"))
    gateway.answer("GET", f"{SEARCH}/candidates", {"items": []})
    assert deltanas("search", "resume", "se_1").code == code


def test_a_negative_gain_is_stated_as_such(gateway, deltanas):
    final = {**FINAL, "mean_gain": -0.0123, "gain_interval": None, "per_seed": [{"seed": 1}]}
    gateway.answer("GET", SEARCH, search("succeeded", final=final))
    gateway.answer("GET", f"{SEARCH}/candidates", {"items": [WINNER]})
    shown = deltanas("search", "show", "se_1").out
    assert "mean gain −1.2 points, no interval from so few seeds, 1 fresh seed, sealed half" in shown


def test_show_without_an_id_shows_the_newest(gateway, deltanas):
    gateway.answer("GET", "/v1/searches", {"items": [search("running")], "next_cursor": None})
    gateway.answer("GET", SEARCH, search("running"))
    gateway.answer("GET", f"{SEARCH}/candidates", {"items": [WINNER, LOSER]})
    ended = deltanas("search", "show", "--json")
    assert ended.json["id"] == "se_1"
    assert len(ended.json["candidates"]) == 2
    assert "demo" in deltanas("search", "list").out


DIAGNOSTICS = {
    "search_id": "se_1",
    "proposals": [
        {"cycle": 1, "proposer": "mutation", "answered": 8, "applied": 8, "mean_confidence": 1.0},
        {"cycle": 1, "proposer": "llm \x1b[2J", "answered": 40, "applied": 30, "mean_confidence": 0.912},
        {"cycle": 2, "proposer": "llm \x1b[2J", "answered": 2, "applied": 0, "mean_confidence": None},
    ],
    "delta_failures": [
        {"cycle": 1, "proposer": "llm \x1b[2J", "code": "no_op", "count": 3},
        {"cycle": 1, "proposer": "llm \x1b[2J", "code": "ambiguous", "count": 7},
        {"cycle": 2, "proposer": "llm \x1b[2J", "code": "no_op", "count": 2},
    ],
    "hunks": [
        {"cycle": 1, "proposer": "x", "status": "refused", "reason": "ambiguous", "count": 9},
        {"cycle": 1, "proposer": "x", "status": "exact", "reason": "", "count": 27},
    ],
    "repairs": [{"cycle": 1, "proposer": "x", "kind": "indentation", "count": 4}],
}


def test_diagnose_shows_where_deltas_were_lost(gateway, deltanas):
    gateway.answer("GET", f"{SEARCH}/diagnostics", DIAGNOSTICS)
    gateway.answer("GET", f"{SEARCH}/diagnostics/theory", {"readings": []})
    ended = deltanas("search", "diagnose", "se_1")
    assert ended.code == 0
    rows = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert "1 mutation 8 8 100 % 1.00 –" in rows
    assert "1 llm �[2J 40 30 75 % 0.91 ambiguous (7)" in rows
    assert "2 llm �[2J 2 0 0 % – no_op (2)" in rows
    assert rows.index("ambiguous 7 58 %") < rows.index("no_op 5 42 %")
    assert rows.index("exact 27 75 %") < rows.index("refused: ambiguous 9 25 %")
    assert "indentation 4 100 %" in rows
    assert "\x1b" not in ended.out


def test_diagnose_gives_programs_the_records_as_they_are(gateway, deltanas):
    gateway.answer("GET", f"{SEARCH}/diagnostics", DIAGNOSTICS)
    gateway.answer("GET", f"{SEARCH}/diagnostics/theory", {"readings": [{"fit": "fails"}]})
    ended = deltanas("search", "diagnose", "se_1", "--json")
    assert ended.json == {**DIAGNOSTICS, "theory": [{"fit": "fails"}]}


def test_diagnose_says_when_nothing_has_been_proposed(gateway, deltanas):
    empty = {"search_id": "se_1", "proposals": [], "delta_failures": [], "hunks": [], "repairs": []}
    gateway.answer("GET", f"{SEARCH}/diagnostics", empty)
    gateway.answer("GET", f"{SEARCH}/diagnostics/theory", {"readings": []})
    assert "nothing has been proposed yet" in deltanas("search", "diagnose", "se_1").out


def test_pause_cancel_and_report(gateway, deltanas, tmp_path):
    gateway.answer("POST", f"{SEARCH}:pause", search("paused"))
    gateway.answer("POST", f"{SEARCH}:cancel", {"detail": "it has ended", "code": "ended"}, status=409)
    gateway.answer("GET", f"{SEARCH}/report", "<html>")
    assert "paused" in deltanas("search", "pause", "se_1").err
    assert deltanas("search", "cancel", "se_1").code == 2
    page = tmp_path / "r.html"
    assert deltanas("search", "report", "se_1", "-o", page).code == 0
    assert page.read_text() == "<html>"
    assert deltanas("search", "report", "se_1", "-o", tmp_path / "no" / "r.html").code == 2


def test_ctrl_c_leaves_the_search_running_and_says_how_to_resume(gateway, deltanas, monkeypatch):
    gateway.answer("GET", SEARCH, search("running"))

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("deltanas.client.Client.search_events", interrupted)
    ended = deltanas("search", "resume", "se_1")
    assert ended.code == 130
    assert "deltanas search resume se_1" in ended.err
    assert {heard.method for heard in gateway.heard} == {"GET"}


def test_a_stream_that_ends_early_is_followed_on_from_the_last_event(gateway, deltanas):
    for state in (*["running"] * 5, "succeeded"):
        gateway.answer("GET", SEARCH, search(state, final=FINAL))
    gateway.events(f"{SEARCH}/events", ("slot", LOSER))
    gateway.events(f"{SEARCH}/events", ("slot", LOSER), ("slot", WINNER))
    gateway.answer("GET", f"{SEARCH}/candidates", {"items": [WINNER, LOSER]})
    ended = deltanas("search", "resume", "se_1")
    assert ended.err.count("train_error: shapes") == 1
    follows = [heard for heard in gateway.heard if heard.path.endswith("events")]
    assert [heard.headers.get("last-event-id") for heard in follows] == [None, "1"]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("running", "the finals come at the end"),
        ("paused", "the finals come at the end"),
        ("cancelled", "no finals: the search was cancelled"),
        ("failed", "no finals: the search failed"),
        ("succeeded", "nothing to compare"),
    ],
)
def test_a_search_without_finals_says_why(gateway, deltanas, state, told):
    gateway.answer("GET", SEARCH, search(state))
    gateway.answer("GET", f"{SEARCH}/candidates", {"items": [BASELINE]})
    assert told in deltanas("search", "show", "se_1").out


@pytest.mark.parametrize(("state", "code"), [("succeeded", 0), ("failed", 3), ("cancelled", 1)])
def test_resuming_a_search_that_has_ended_shows_its_end_and_advises_nothing_useless(
    gateway, deltanas, state, code
):
    gateway.answer("GET", SEARCH, search(state, failure="no baseline ran"))
    gateway.answer("GET", f"{SEARCH}/candidates", {"items": [BASELINE]})
    ended = deltanas("search", "resume", "se_1")
    assert ended.code == code
    assert "search resume" not in ended.err


@pytest.mark.parametrize(
    ("field", "place"),
    [
        ("cycles", "line 2: cycles: "),
        ("edits.never.1", "line 4: edits.never.1: "),
        ("edits.only", "line 3: edits.only: "),
        ("proposer.kind", "demo.yaml: proposer.kind: "),
    ],
)
def test_a_setting_that_is_refused_is_named_with_its_line(gateway, deltanas, config, field, place):
    problem = {"code": "invalid_request", "detail": "It cannot be.", "field": field, "value": 7}
    gateway.answer("POST", "/v1/searches", problem, status=422)
    ended = deltanas("search", "run", config)
    assert ended.code == 2
    assert f"{place}It cannot be." in " ".join(ended.err.split())


NO_CONFIGS = {
    "a list": ("- dataset: mnist\n", "must hold"),
    "nothing": ("", "must hold"),
    "a number as a name": ("1: 2\n", "must hold"),
    "an unfinished list": ("dataset: mnist\nedits: {only: [\n", "line 3"),
    "an object": ("dataset: !!python/object:os.system {}\n", "line 1"),
    "a date that is none": ("dataset: mnist\nname: 2026-13-01\n", "not YAML"),
    "too deep": ("dataset: " + "[" * 3000, "not YAML"),
    "a name twice": ("dataset: mnist\ncycles: 2\ncycles: 3\n", "line 3: cycles is set a second time"),
    "a name twice within": ("dataset: mnist\nedits:\n  only: [a]\n  only: [b]\n", "line 4: only"),
}


@pytest.mark.parametrize("case", NO_CONFIGS)
def test_a_file_that_is_no_configuration_is_bad_usage_with_its_line(gateway, deltanas, config, case):
    content, told = NO_CONFIGS[case]
    config.write_text(content)
    ended = deltanas("search", "run", config)
    assert (ended.code, gateway.heard) == (2, [])
    assert told in " ".join(ended.err.replace("│", " ").split())
