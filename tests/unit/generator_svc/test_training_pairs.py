"""Orders become chats that teach only what a search would accept, or are left out with a reason."""

import pytest
from mutation_sources import BLOCKS, LITERAL_WIDTHS
from sample_networks import LEARNS_BY_ITSELF

from contracts.training_pairs import PairOrder
from generator_svc.deltas import apply_delta, canonical_delta
from generator_svc.fine_tuning import Lengths, training_pair_line, training_pairs
from generator_svc.prompts import PROMPT_VERSION
from generator_svc.proposers import known_proposers

MUTATION = known_proposers()["mutation"]
BETTER = LITERAL_WIDTHS.replace("32", "48").replace("relu(self.norm1", "gelu(self.norm1")


def line_for(target=BETTER, baseline=LITERAL_WIDTHS, lengths=Lengths(), **fields):
    return training_pair_line(PairOrder("p1", "cifar-10", baseline, target, **fields), lengths, MUTATION)


def pair_of(*arguments, **fields):
    line = line_for(*arguments, **fields)
    assert line.left_out is None, line.left_out
    assert line.made is line.failed is None
    return line.pair


def reason_for(*arguments, **fields):
    line = line_for(*arguments, **fields)
    assert line.pair is None
    assert line.left_out.id == "p1"
    return line.left_out.reason


def test_a_pair_is_a_chat_whose_answer_leads_from_the_baseline_to_the_target():
    pair = pair_of(baseline_accuracy=0.5)
    assert (pair.id, pair.prompt_version, pair.summary) == ("p1", PROMPT_VERSION, "")
    assert [message.role for message in pair.messages] == ["system", "user", "assistant"]
    assert pair.delta == canonical_delta(LITERAL_WIDTHS, BETTER)
    assert LITERAL_WIDTHS in pair.messages[1].content
    assert "50.00%" in pair.messages[1].content
    assert pair.delta in pair.messages[2].content
    assert apply_delta(LITERAL_WIDTHS, pair.messages[2].content).source == BETTER


def test_changes_of_layout_beside_a_real_one_are_not_learnt():
    relaid = BETTER.replace("\n\n\n", "\n").replace("# the stem", "# sees the image")
    pair = pair_of(
        relaid.replace("        x = self.pool(x)\n", "\n\n        # pools\n        x = self.pool( x )\n")
    )
    assert pair.delta == canonical_delta(LITERAL_WIDTHS, BETTER)


def test_lines_are_counted_without_the_file_headers():
    pair = pair_of(LITERAL_WIDTHS.replace("# the stem", "# the stem\n        self.extra = nn.Identity()"))
    body = pair.delta.splitlines()[2:]
    assert body[0].startswith("@@ ")
    assert (pair.delta_lines, pair.changed_lines) == (len(body), 1)
    assert (pair.delta_lines, pair.changed_lines) == (8, 1)


def test_a_delta_is_as_long_as_was_asked_for():
    lines = pair_of().delta_lines
    assert pair_of(lengths=Lengths(lines, lines)).delta_lines == lines
    assert reason_for(lengths=Lengths(lines + 1, lines + 1)) == "too_short"
    assert reason_for(lengths=Lengths(1, lines - 1)) == "too_long"


@pytest.mark.parametrize(
    ("baseline", "target", "reason"),
    [
        ("x = (", BETTER, "baseline_invalid"),
        ("x = 1\n", BETTER, "baseline_invalid"),
        ("\ud800", BETTER, "baseline_invalid"),
        ("x = (", None, "baseline_invalid"),
        (LITERAL_WIDTHS, "x = (", "target_invalid"),
        (LITERAL_WIDTHS, BETTER + f"x = '{'y' * 5000}'\n", "target_invalid"),
        (LITERAL_WIDTHS, LEARNS_BY_ITSELF, "contract_differs"),
        (LITERAL_WIDTHS, LITERAL_WIDTHS, "no_delta"),
        (LITERAL_WIDTHS, LITERAL_WIDTHS.replace("# the stem", "# a stem"), "no_delta"),
        (LITERAL_WIDTHS, BLOCKS * 3, "too_long"),
        ("class Net(object):\n    pass\n", None, "no_mutation"),
    ],
)
def test_what_would_teach_something_wrong_is_left_out_with_a_reason(baseline, target, reason):
    assert reason_for(target, baseline) == reason


def test_a_delta_that_our_own_applier_reads_otherwise_is_left_out(monkeypatch):
    monkeypatch.setattr(
        training_pairs,
        "apply_delta",
        lambda baseline, answer: apply_delta(baseline, answer.replace("48", "47")),
    )
    assert reason_for() == "does_not_apply"


@pytest.mark.parametrize("change", [str, lambda text: text.replace("\n", "\r\n"), str.strip])
def test_line_ends_are_taken_as_they_are(change):
    baseline, target = change(LITERAL_WIDTHS), change(BETTER)
    pair = pair_of(target, baseline)
    assert apply_delta(baseline, pair.messages[2].content).source == target


def test_without_a_target_the_mutation_proposer_makes_one_from_the_seed():
    pairs = [pair_of(None, BLOCKS, seed=seed) for seed in (1, 1, 2)]
    assert pairs[0] == pairs[1] != pairs[2]
    for pair in pairs:
        assert pair.summary
        applied = apply_delta(BLOCKS, pair.messages[2].content)
        assert (applied.status, applied.confidence) == ("applied", 1.0)
        assert applied.canonical_delta == pair.delta
