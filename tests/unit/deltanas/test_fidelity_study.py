"""A fidelity study against a gateway that does as told: what is asked, found again, and counted."""

import json
import xml.etree.ElementTree as ET

import pytest

from deltanas.errors import RequestInvalid
from deltanas.fidelity.figure import fidelity_figure
from deltanas.fidelity.report import fidelity_report
from deltanas.fidelity.sample import Criteria, Exclusion, RecordedNetwork
from deltanas.fidelity.study import Conditions, State, measured, recorded_networks

CRITERIA = Criteria("mnist", max_pixels=64)
CONDITIONS = Conditions("mnist", cpu_seconds=120)
NETWORKS = [RecordedNetwork(f"lemur/{n}", "ResNet", "norm_64", 64, 16, n / 20, f"v{n}") for n in range(12)]


class Interrupted(Exception):
    """The command ended here."""


class ScriptedGateway:
    """Ends an evaluation when it is read for the third time; `ends` says how, by number, else well."""

    def __init__(self, **ends: str) -> None:
        self.ends = {f"lemur/{name.removeprefix('n')}": end for name, end in ends.items()}
        self.stored: list[dict] = []
        self.most_open = 0
        self.reads_left = 10_000
        self._reads: dict[str, int] = {}

    def capabilities(self) -> dict:
        return {"slots": 2}

    def evaluate(self, **request) -> dict:
        if self.ends.get(request["baseline"]) == "refused":
            raise RequestInvalid("the source breaks a rule", {"code": "policy_violation"})
        made = {
            "id": f"ev_{len(self.stored)}",
            "state": "queued",
            "failure": None,
            "measurement": None,
            "request": request,
        }
        self.stored.append(made)
        self.most_open = max(self.most_open, sum(not self._is_over(found) for found in self.stored))
        return dict(made)

    def evaluation(self, evaluation_id: str, wait: float = 0) -> dict:
        self.reads_left -= 1
        if self.reads_left < 0:
            raise Interrupted
        self._reads[evaluation_id] = self._reads.get(evaluation_id, 0) + 1
        found = next(found for found in self.stored if found["id"] == evaluation_id)
        if self._reads[evaluation_id] == 3:
            found |= self._end(found["request"]["baseline"])
        return dict(found)

    def tagged_evaluations(self, tag: str) -> list[dict]:
        return [dict(found) for found in reversed(self.stored) if tag in found["request"]["tags"]]

    def asked(self) -> list[str]:
        return [found["request"]["baseline"] for found in self.stored]

    def _is_over(self, evaluation: dict) -> bool:
        return self._reads.get(evaluation["id"], 0) >= 3

    def _end(self, name: str) -> dict:
        end = self.ends.get(name, "succeeded")
        if end in {"succeeded", "cancelled"}:
            accuracy = int(name.removeprefix("lemur/")) / 25
            measurement = {"accuracy": accuracy, "cpu_seconds": 7.0, "claimed_parameters": 10}
            return {"state": end, "measurement": measurement if end == "succeeded" else None}
        reason, _, phase = end.partition("/")
        failure = {"reason": reason, "phase": phase or None, "resource": None, "message": "as told"}
        return {"state": "failed", "failure": failure}


def ignore(_) -> None:
    return


def states(outcomes) -> dict[str, State]:
    return {outcome.network.name: outcome.state for outcome in outcomes}


def test_each_network_is_asked_once_with_its_budget_and_the_whole_training_split():
    gateway, seen = ScriptedGateway(), []
    outcomes = measured(gateway, CONDITIONS, NETWORKS, seen.append)
    assert [outcome.network for outcome in outcomes] == NETWORKS
    assert sorted(gateway.asked()) == sorted(network.name for network in NETWORKS)
    assert {outcome.network for outcome in seen} == set(NETWORKS)
    request = gateway.stored[0]["request"]
    assert (request["dataset"], request["epochs"], request["train_images"]) == ("mnist", 1, None)
    assert request["limits"]["cpu_seconds"] == 120
    assert request["limits"]["wall_seconds"] >= 1_800
    assert "hyperparameters" not in request  # the recorded ones are the gateway's default


def test_only_a_few_wait_at_a_time():
    gateway = ScriptedGateway()
    measured(gateway, CONDITIONS, NETWORKS, ignore)
    assert gateway.most_open == 4


def test_a_second_run_asks_for_nothing_and_finds_the_same():
    gateway = ScriptedGateway(n3="timeout/train")
    first = measured(gateway, CONDITIONS, NETWORKS, ignore)
    again = measured(gateway, CONDITIONS, NETWORKS, ignore)
    assert again == first
    assert len(gateway.stored) == len(NETWORKS)


@pytest.mark.parametrize("reads", [0, 1, 5, 13, 20])
def test_an_interrupted_run_goes_on_and_asks_for_nothing_twice(reads):
    gateway = ScriptedGateway()
    gateway.reads_left = reads
    with pytest.raises(Interrupted):
        measured(gateway, CONDITIONS, NETWORKS, ignore)
    assert 0 < len(gateway.stored) < len(NETWORKS)
    gateway.reads_left = 10_000
    outcomes = measured(gateway, CONDITIONS, NETWORKS, ignore)
    assert set(states(outcomes).values()) == {State.RAN}
    assert len(gateway.asked()) == len(set(gateway.asked())) == len(NETWORKS)


def test_a_larger_study_begins_with_what_a_smaller_one_found():
    gateway = ScriptedGateway()
    measured(gateway, CONDITIONS, NETWORKS[:5], ignore)
    measured(gateway, CONDITIONS, NETWORKS, ignore)
    assert len(gateway.stored) == len(NETWORKS)


def test_other_conditions_and_other_versions_are_measured_anew():
    gateway = ScriptedGateway()
    measured(gateway, CONDITIONS, NETWORKS[:1], ignore)
    measured(gateway, Conditions("mnist", cpu_seconds=60), NETWORKS[:1], ignore)
    measured(gateway, Conditions("mnist", cpu_seconds=120, train_seed=1), NETWORKS[:1], ignore)
    other = RecordedNetwork("lemur/0", "ResNet", "norm_64", 64, 16, 0.0, "changed")
    measured(gateway, CONDITIONS, [other], ignore)
    assert len(gateway.stored) == 4


def test_what_was_lost_or_cancelled_is_tried_again_by_the_next_run_and_by_no_earlier_one():
    gateway = ScriptedGateway(n1="infrastructure", n2="cancelled", n3="train_error")
    first = states(measured(gateway, CONDITIONS, NETWORKS, ignore))
    assert (first["lemur/1"], first["lemur/2"], first["lemur/3"]) == (
        State.LOST,
        State.CANCELLED,
        State.FAILED,
    )
    assert len(gateway.stored) == len(NETWORKS)
    gateway.ends = {}
    again = states(measured(gateway, CONDITIONS, NETWORKS, ignore))
    assert (again["lemur/1"], again["lemur/2"], again["lemur/3"]) == (State.RAN, State.RAN, State.FAILED)
    assert sorted(gateway.asked()[len(NETWORKS) :]) == ["lemur/1", "lemur/2"]


def test_a_network_that_the_gateway_refuses_does_not_end_the_study():
    outcomes = measured(ScriptedGateway(n4="refused"), CONDITIONS, NETWORKS, ignore)
    assert states(outcomes)["lemur/4"] is State.REFUSED
    assert sum(outcome.state is State.RAN for outcome in outcomes) == len(NETWORKS) - 1


def reported(**ends: str) -> dict:
    outcomes = measured(ScriptedGateway(**ends), CONDITIONS, NETWORKS, ignore)
    chosen = [*NETWORKS, Exclusion.TOO_LARGE, Exclusion.TOO_LARGE, Exclusion.NO_TRANSFORM]
    report = fidelity_report(CRITERIA, CONDITIONS, chosen, outcomes, seed=0)
    return json.loads(json.dumps(report))


def test_a_report_counts_by_reason_and_leaves_the_platforms_losses_out_of_the_share():
    report = reported(
        n0="timeout/train",
        n1="infrastructure",
        n2="cancelled",
        n3="timeout/train",
        n4="refused",
        n5="timeout/startup",
    )
    assert report["catalogue"] == {
        "recorded": 15,
        "fitting": 12,
        "excluded": {"transform_too_large": 2, "no_transform_recorded": 1},
    }
    runs = report["runs"]
    assert (runs["ran"], runs["failed"], runs["refused"], runs["lost"], runs["cancelled"]) == (6, 3, 1, 1, 1)
    assert runs["share_that_ran"] == 0.6
    assert [(found["reason"], found["phase"], found["networks"]) for found in runs["failures"]] == [
        ("timeout", "train", 2),
        ("policy_violation", None, 1),
        ("timeout", "startup", 1),
    ]
    assert report["agreement"]["networks"] == 6


def test_a_report_tells_agreement_and_each_networks_difference():
    report = reported()
    agreement = report["agreement"]
    assert agreement["spearman"] == pytest.approx(1)
    assert agreement["interval"] == pytest.approx([1, 1])
    assert agreement["largest_difference"] == pytest.approx(11 / 25 - 11 / 20)
    row = report["networks"][10]
    assert (row["name"], row["accuracy"], row["recorded_accuracy"]) == ("lemur/10", 0.4, 0.5)
    assert row["difference"] == pytest.approx(-0.1)


def test_a_report_of_nothing_measured_has_no_share_and_no_agreement():
    report = reported(**{f"n{n}": "infrastructure" for n in range(12)})
    assert report["runs"]["share_that_ran"] is None
    assert report["agreement"] is None
    assert fidelity_figure(report) is None


def test_the_picture_has_a_dot_for_each_network_that_ran_and_escapes_names():
    report = reported(n3="train_error")
    report["networks"][0]["name"] = '<script>&"'
    picture = ET.fromstring(fidelity_figure(report))
    dots = picture.findall("{http://www.w3.org/2000/svg}circle")
    assert len(dots) == 11
    assert dots[0][0].text.startswith('<script>&": 0.00 %')
    places = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in dots]
    assert all(0 < x < 520 and 0 < y < 520 for x, y in places)
    assert places == sorted(places, key=lambda place: (place[0], -place[1]))


class Catalogue:
    """Two networks on mnist, of which one is too large."""

    def datasets(self) -> list[dict]:
        return [
            {"name": "mnist", "ready": True, "input_shape": [1, 28, 28]},
            {"name": "svhn", "ready": False, "input_shape": None},
            {"name": "digits", "ready": True, "input_shape": [1, 8, 8]},
        ]

    def baselines(self, **filters) -> list[dict]:
        return [{"name": "lemur/a"}, {"name": "lemur/b"}] if filters == {"dataset": "mnist"} else []

    def baseline(self, name: str) -> dict:
        hyperparameters = {"transform": {"lemur/a": "norm", "lemur/b": "norm_128"}[name]}
        result = {"dataset": "mnist", "first_epoch_accuracy": 0.9, "hyperparameters": hyperparameters}
        return {"name": name, "family": "ResNet", "source": "", "parameters": None, "results": [result]}


def test_the_catalogue_is_read_whole():
    read = []
    found = list(recorded_networks(Catalogue(), CRITERIA, lambda *counts: read.append(counts)))
    assert [getattr(one, "pixels", one) for one in found] == [28, Exclusion.TOO_LARGE]
    assert read == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("dataset", "code"),
    [("svhn", "dataset_not_ready"), ("nothing", "dataset_unknown"), ("digits", "nothing_recorded")],
)
def test_a_dataset_that_cannot_serve_is_refused_with_a_remedy(dataset, code):
    with pytest.raises(RequestInvalid) as refused:
        list(recorded_networks(Catalogue(), Criteria(dataset, 64), lambda *_: None))
    assert refused.value.code == code
    assert refused.value.field == "dataset"
    assert "deltanas" in refused.value.remedy
