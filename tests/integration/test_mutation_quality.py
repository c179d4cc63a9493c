"""Mutants of the shipped baselines: their deltas apply, they are distinct, and torch runs them."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.proposals import ProposalRequest, ProposalSlot
from generator_svc.deltas import apply_delta
from generator_svc.proposers import known_proposers
from generator_svc.seeds import baseline_networks

SEEDS = 4
RUNNER = Path(__file__).parent / "mutants_with_torch.py"


@pytest.fixture(scope="module")
def mutants():
    """`SEEDS` mutants of every baseline, and how many proposals were made for them."""
    proposer = known_proposers()["mutation"]
    made = []
    for name, network in baseline_networks().items():
        for seed in range(SEEDS):
            slot = ProposalSlot(0, 1_000_003 * seed + 17, network.source, name)
            (proposal,) = proposer.propose(ProposalRequest("se_1", 1, "mutation", "mnist", (slot,)))
            applied = apply_delta(network.source, proposal.answer)
            if applied.canonical_delta == proposal.answer:
                made.append(
                    {
                        "name": name,
                        "summary": proposal.summary,
                        "contract": network.contract,
                        "source": applied.source,
                    }
                )
    return made


@pytest.mark.slow
def test_nearly_every_proposal_applies(mutants):
    assert len(mutants) >= 0.95 * SEEDS * len(baseline_networks())


@pytest.mark.slow
@pytest.mark.full
def test_another_process_makes_the_same_proposals():
    program = (
        "from contracts.proposals import ProposalRequest, ProposalSlot\n"
        "from generator_svc.proposers import known_proposers\n"
        "from generator_svc.seeds import baseline_networks\n"
        "proposer = known_proposers()['mutation']\n"
        "for name, network in baseline_networks().items():\n"
        "    slot = ProposalSlot(0, 5, network.source, name)\n"
        "    print(*proposer.propose(ProposalRequest('se_1', 1, 'mutation', 'mnist', (slot,))))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            timeout=120,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(outputs) == 1
    assert outputs.pop().count(b"Proposal(") == len(baseline_networks())


@pytest.mark.slow
def test_most_mutants_differ_in_more_than_formatting(mutants):
    distinct = {ast.dump(ast.parse(mutant["source"])) for mutant in mutants}
    assert len(distinct) >= 0.6 * len(mutants)


@pytest.mark.slow
def test_torch_runs_nearly_every_mutant_on_both_image_shapes(mutants):
    lines = "\n".join(json.dumps(mutant) for mutant in mutants)
    result = subprocess.run(
        [sys.executable, str(RUNNER)], input=lines, capture_output=True, text=True, timeout=240, check=True
    )
    failures = json.loads(result.stdout)
    assert len(failures) <= 0.1 * len(mutants), failures
