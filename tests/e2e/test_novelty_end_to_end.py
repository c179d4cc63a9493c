"""What counts as a copy in a real search: candidates are traced in real sandboxes before they are trained."""

import pytest
from live_server import DATASET

from deltanas.client import Client

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(600)]

SEARCH = {
    "name": "structure",
    "dataset": DATASET,
    "cycles": 1,
    "candidates_per_cycle": 2,
    "seed": 3,
    "baselines": ["plain-cnn"],
    "train_images": 400,
    "final_seeds": 1,
    "novelty": {"threshold": 1.0, "structure": True},
    "proposer": {"kind": "external"},
}


def the_same_in_other_words(source: str) -> str:
    """Activations that are layers instead of functions: another program, and the same computation."""
    return source.replace(
        "self.pool = nn.MaxPool2d(2)", "self.pool = nn.MaxPool2d(2)\n        self.act = nn.ReLU()"
    ).replace("F.relu(", "self.act(")


def another_computation(source: str) -> str:
    """One word less than a line is other: by text this is all but its parent."""
    return source.replace("F.relu(self.hidden(x))", "F.gelu(self.hidden(x))")


def test_the_same_computation_in_other_words_is_not_trained_and_another_in_nearly_the_same_words_is(server):
    answers = [the_same_in_other_words, another_computation]
    with Client(f"http://127.0.0.1:{server.port}") as client:
        search_id = client.start_search(**SEARCH)["id"]
        for task in client.tasks(search_id, agent="two-answers"):
            baseline = task["baseline"]["source"]
            told = answers[task["proposal_id"].endswith("s001")](baseline)
            assert told != baseline
            client.tell(task, source=told)
        assert server.finished_search(search_id)["state"] == "succeeded"
        baseline, copy, other = sorted(
            client.candidates(search_id), key=lambda one: one["name"] != "plain-cnn"
        )
        whole_copy = client.candidate(search_id, copy["proposal_id"])

    assert copy["state"] == "duplicate"
    assert copy["traced"] is True
    assert (copy["likeness"]["layer"], copy["likeness"]["name"]) == ("structure", "plain-cnn")
    assert copy["duplicate_of"] == baseline["proposal_id"]
    assert any("self.act" in line for line in whole_copy["difference"])
    assert other["state"] == "judged"
    assert (other["traced"], other["likeness"]) == (True, None)
