"""`deltanas delta apply`: how a delta was understood, and what to say to the model that wrote a bad one."""

import pytest

HOSTILE = "\x1b[2J[bold]x[/bold]\u202e"
HUNKS = [
    {"number": 1, "status": "exact", "line": 3, "message": "", "reason": "", "repairs": []},
    {
        "number": 2, "status": "repaired", "line": 17, "message": "", "reason": "",
        "repairs": ["indentation: shifted by 4 columns", f"whitespace: {HOSTILE}"],
    },
]  # fmt: skip
APPLIED = {
    "status": "applied", "reason": "", "message": "", "confidence": 0.85, "source": "class Net: ...\n",
    "canonical_delta": "", "hunks": HUNKS, "repair_prompt": None,
}  # fmt: skip
REFUSED = {
    "status": "refused", "reason": "ambiguous", "message": "hunk 3 fits at lines 4 and 9", "confidence": 0.0,
    "source": None, "canonical_delta": None, "repair_prompt": f"Write it again.\n```\n{HOSTILE}\n```\n",
    "hunks": [
        *HUNKS,
        {
            "number": 3, "status": "refused", "line": None, "message": "hunk 3 fits at lines 4 and 9",
            "reason": "ambiguous", "repairs": [],
        },
    ],
}  # fmt: skip


@pytest.fixture
def delta(tmp_path):
    file = tmp_path / "change.diff"
    file.write_text("@@\n-a\n+b\n")
    return file


def test_an_applied_delta_says_what_was_repaired_and_how_sure_it_is(gateway, deltanas, delta):
    gateway.answer("POST", "/v1/deltas:apply", APPLIED)
    ended = deltanas("delta", "apply", "residual", delta)
    assert ended.code == 0
    assert ended.out == "class Net: ...\n"
    assert "applied 2 hunks, 1 of them repaired, confidence 0.85" in ended.err
    assert "indentation: shifted by 4 columns" in ended.err
    assert "\x1b" not in ended.err
    assert "\u202e" not in ended.err
    assert "exact" not in ended.err
    assert "edits" not in gateway.heard[0].json


def test_a_refused_delta_shows_every_hunk_and_how_to_get_the_prompt(gateway, deltanas, delta):
    gateway.answer("POST", "/v1/deltas:apply", REFUSED)
    ended = deltanas("delta", "apply", "residual", delta)
    assert (ended.code, ended.out) == (1, "")
    assert "refused (ambiguous): hunk 3 fits at lines 4 and 9" in ended.err
    assert ended.err.count("fits at lines") == 1
    assert "exact" in ended.err
    assert "--repair-prompt" in ended.err


def test_the_repair_prompt_alone_goes_to_standard_output(gateway, deltanas, delta):
    gateway.answer("POST", "/v1/deltas:apply", REFUSED)
    ended = deltanas("delta", "apply", "residual", delta, "--repair-prompt")
    assert ended.code == 1
    assert ended.out == REFUSED["repair_prompt"]


def test_permissions_are_sent_as_named(gateway, deltanas, delta):
    gateway.answer("POST", "/v1/deltas:apply", APPLIED)
    deltanas(
        "delta", "apply", "residual", delta, "--only", "forward", "--only", "Block", "--never", "imports"
    )
    assert gateway.heard[0].json["edits"] == {"only": ["forward", "Block"], "never": ["imports"]}


def test_of_thousands_of_hunks_the_refused_ones_are_shown(gateway, deltanas, delta):
    many = [{**HUNKS[0], "number": number} for number in range(1, 3000)]
    gateway.answer("POST", "/v1/deltas:apply", {**REFUSED, "hunks": [*many, REFUSED["hunks"][-1]]})
    ended = deltanas("delta", "apply", "residual", delta)
    assert "refused (ambiguous)" in ended.err.replace("refused (ambiguous):", "", 1)
    assert "and 2980 more; --json shows all" in ended.err


def test_the_whole_answer_is_one_json_document(gateway, deltanas, delta):
    gateway.answer("POST", "/v1/deltas:apply", REFUSED)
    ended = deltanas("delta", "apply", "residual", delta, "--json")
    assert ended.json == REFUSED
    assert ended.err == ""
