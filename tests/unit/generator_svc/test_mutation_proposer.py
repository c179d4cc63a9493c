"""The mutation proposer as a whole: repeatable, applicable, sound, and patient with hostile baselines."""

import time

import pytest
from mutation_sources import BLOCKS, LEMUR, LITERAL_WIDTHS, UNDECIDED

from contracts.edit_regions import changed_places
from contracts.proposals import DeploymentLimits, EditPermissions, ProposalRequest, ProposalSlot
from contracts.source_rules import check_source
from generator_svc.answers import AnswerRules, broken_limit
from generator_svc.deltas import apply_delta
from generator_svc.deployment_costs import deployment_costs
from generator_svc.proposers import OptionsInvalid, known_proposers
from generator_svc.proposers.mutation.proposer import DEFAULT_WEIGHTS
from generator_svc.seeds import baseline_networks
from generator_svc.shapes import Verdict, trace_source

pytestmark = pytest.mark.slow

PROPOSER = known_proposers()["mutation"]
EVERYWHERE = EditPermissions()
COSTS = deployment_costs(check_source(LITERAL_WIDTHS), "mnist")


def propose(source, seed, edits=EVERYWHERE, deployment=DeploymentLimits(), **options):
    slot = ProposalSlot(3, seed, source, "baseline")
    request = ProposalRequest("se_1", 1, "mutation", "mnist", (slot,), options, edits, deployment)
    (proposal,) = PROPOSER.propose(request)
    return proposal


def only(*names):
    return {name: float(name in names) for name in DEFAULT_WEIGHTS}


def mutant(source, proposal):
    applied = apply_delta(source, proposal.answer)
    assert applied.status == "applied", applied.message
    assert applied.confidence == 1
    assert applied.canonical_delta == proposal.answer
    return applied.source


@pytest.mark.parametrize("name", sorted(baseline_networks()))
def test_each_baseline_gives_deltas_that_apply_and_stay_consistent(name):
    network = baseline_networks()[name]
    for seed in range(2):
        proposal = propose(network.source, seed)
        assert proposal.failure == ""
        assert (proposal.slot, proposal.proposer) == (3, "mutation")
        result = mutant(network.source, proposal)
        assert check_source(result).contract == network.contract
        assert trace_source(result, (8, 3, 32, 32), 10).verdict == Verdict.PROVEN
        assert proposal.summary
        assert "\n" not in proposal.summary


def test_the_same_seed_gives_the_same_proposal_and_another_seed_another():
    first = [propose(LITERAL_WIDTHS, seed) for seed in range(6)]
    assert first == [propose(LITERAL_WIDTHS, seed) for seed in range(6)]
    assert len({proposal.answer for proposal in first}) >= 5


def test_a_proposal_depends_on_nothing_but_baseline_seed_and_options():
    slot = ProposalSlot(0, 11, BLOCKS, "a")
    other = ProposalSlot(0, 11, BLOCKS, "b")
    (one,) = PROPOSER.propose(ProposalRequest("se_1", 1, "mutation", "mnist", (slot,)))
    (two,) = PROPOSER.propose(ProposalRequest("se_2", 9, "mutation", "cifar-10", (other,)))
    assert one == two


def test_the_number_of_mutations_in_a_delta_can_be_chosen():
    for seed in range(4):
        assert propose(BLOCKS, seed, mutations_per_delta=[2, 2]).summary.count("; ") == 1


def test_mutations_that_could_undo_each_other_are_never_joined():
    weights = only("block_inserted", "block_removed", "attention")
    for seed in range(6):
        summary = propose(BLOCKS, seed, weights=weights, mutations_per_delta=[1, 3]).summary
        assert ("removed" in summary) != ("inserted" in summary or "added" in summary)


def test_a_weight_of_zero_switches_an_operator_off():
    summaries = [propose(BLOCKS, seed, weights=only("activation")).summary for seed in range(4)]
    assert all("ReLU →" in summary for summary in summaries)


def test_a_lemur_network_keeps_its_contract_and_may_change_its_training():
    summaries = {propose(LEMUR, seed, weights=only("training")).summary for seed in range(8)}
    assert len(summaries) >= 4
    result = mutant(LEMUR, propose(LEMUR, 1, weights=only("training")))
    assert check_source(result).contract == "lemur"


def test_shapes_are_left_alone_where_nothing_can_be_proven():
    for seed in range(5):
        proposal = propose(UNDECIDED, seed)
        assert proposal.summary.startswith("ReLU → ")
    assert (
        propose(UNDECIDED, 0, weights=only("width")).failure == "no sound mutation found in the draws allowed"
    )


@pytest.mark.parametrize(
    ("only", "never", "allowed"),
    [
        (("forward",), (), {"Net.forward"}),
        (("train_setup", "learn"), (), {"Net.train_setup", "Net.learn"}),
        (("Net",), ("Net.__init__",), {"Net", "Net.forward", "Net.train_setup", "Net.learn"}),
        ((), ("train_setup", "learn", "imports"), {"module", "Net", "Net.__init__", "Net.forward"}),
    ],
)
def test_mutations_stay_where_edits_are_allowed(only, never, allowed):
    proposals = [propose(LEMUR, seed, EditPermissions(only, never)) for seed in range(4)]
    assert [proposal.failure for proposal in proposals] == [""] * 4
    for proposal in proposals:
        assert set(changed_places(LEMUR, mutant(LEMUR, proposal))) <= allowed


def test_where_nothing_may_be_mutated_it_says_so():
    proposal = propose(BLOCKS, 0, EditPermissions(only=("imports",)))
    assert (proposal.answer, proposal.failure) == ("", "nothing to propose within the allowed regions")


@pytest.mark.parametrize(
    ("limits", "weights"),
    [
        (DeploymentLimits(forbidden_operators=("gelu", "silu", "mish", "elu")), only("activation")),
        (DeploymentLimits(max_parameters=COSTS.parameters), only("width", "block_inserted", "block_removed")),
        (DeploymentLimits(max_flops=COSTS.flops), only("width", "block_inserted", "block_removed")),
    ],
)
def test_mutations_keep_within_the_deployment_limits(limits, weights):
    rules = AnswerRules(deployment=limits, dataset="mnist")
    free = [propose(LITERAL_WIDTHS, seed, weights=weights) for seed in range(6)]
    assert any(broken_limit(mutant(LITERAL_WIDTHS, proposal), rules)[0] for proposal in free)
    bound = [propose(LITERAL_WIDTHS, seed, deployment=limits, weights=weights) for seed in range(6)]
    assert not any(broken_limit(mutant(LITERAL_WIDTHS, proposal), rules)[0] for proposal in bound)


def test_where_no_mutation_can_be_deployed_it_says_so():
    proposal = propose(LITERAL_WIDTHS, 0, deployment=DeploymentLimits(max_parameters=1))
    assert (proposal.answer, proposal.failure) == ("", "nothing to propose within the deployment limits")


def test_equal_seeds_and_permissions_give_equal_proposals():
    edits = EditPermissions(only=("forward",))
    assert [propose(LEMUR, n, edits) for n in range(3)] == [propose(LEMUR, n, edits) for n in range(3)]


def test_comments_and_formatting_outside_the_change_survive():
    proposal = propose(BLOCKS, 5, weights=only("width"))
    assert "# keeps the size" in mutant(BLOCKS, proposal)
    changed = [
        line for line in proposal.answer.splitlines() if line[:1] in "+-" and line[:3] not in {"+++", "---"}
    ]
    assert len(changed) == 2


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("class Net(object:\n", "cannot be mutated"),
        ("x = 1\n", "no top-level `class Net`"),
        ("class Net(object):\n    pass\n", "no sound mutation"),
        ("x = " + "-" * 150 + "1\nclass Net(object):\n    pass\n", "nests deeper"),
        ("#" + "x" * 70_000, "bytes"),
        ("\ud800", "Unicode"),
    ],
)
def test_a_baseline_that_cannot_be_mutated_says_why(source, words):
    proposal = propose(source, 1)
    assert words in proposal.failure
    assert proposal.answer == ""


@pytest.mark.parametrize(
    "hostile",
    [
        "x = " + "(" * 190 + "1" + ")" * 190 + "\n",
        "x = " + "[" * 100 + "]" * 100 + "\n",
        "x = " + "f(" * 60 + "1" + ")" * 60 + "\n",
        "x = " + "lambda: " * 90 + "1\n",
        "while True:\n    x = [0] * 9\n",
        "é = '" + "é" * 500 + "'\n",
        "x = 1\r\ny = 2\r\n\x0c\n",
    ],
)
def test_a_hostile_baseline_is_answered_soon(hostile):
    started = time.process_time()
    proposal = propose(hostile + BLOCKS, 2)
    assert proposal.failure or mutant(hostile + BLOCKS, proposal)
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"weight": {}}, "options.weight"),
        ({"weights": {"widht": 1}}, "options.weights.widht"),
        ({"weights": {"width": -1}}, "options.weights.width"),
        ({"weights": {"width": True}}, "options.weights.width"),
        ({"weights": {"width": float("nan")}}, "options.weights.width"),
        ({"weights": [1]}, "options.weights"),
        ({"weights": dict.fromkeys(DEFAULT_WEIGHTS, 0)}, "options.weights"),
        ({"mutations_per_delta": 2}, "options.mutations_per_delta"),
        ({"mutations_per_delta": [0, 2]}, "options.mutations_per_delta"),
        ({"mutations_per_delta": [3, 2]}, "options.mutations_per_delta"),
        ({"mutations_per_delta": [1, 1000]}, "options.mutations_per_delta"),
    ],
)
def test_wrong_options_are_refused_by_name(options, field):
    with pytest.raises(OptionsInvalid) as refusal:
        PROPOSER.check_options(options)
    assert refusal.value.field == field
    assert refusal.value.remedy
