"""Browsing the baselines: shipped first, filters, both orders, cursors that neither skip nor repeat."""

import json
from base64 import urlsafe_b64encode

import pytest
from baseline_scene import imported, names, network

NETWORKS = (
    network("AirNet-1", "AirNet", accuracies={"cifar-10": 0.3}),
    network("ResNet-1", "ResNet", accuracies={"cifar-10": 0.5, "mnist": 0.97}),
    network("ResNet-2", "ResNet", accuracies={"cifar-10": 0.5}),
    network("ResNet_3", "ResNet", accuracies={"cifar-10": None}, contract="plain"),
    network("alt-nn1-x", "alt-nn1", accuracies={"mnist": 0.9}),
)


@pytest.fixture
def scene(scene):
    imported(scene, *NETWORKS)
    return scene


def walked(scene, **query) -> list[str]:
    """All pages of a list, one after the other."""
    found, cursor = [], None
    while True:
        page = scene.http.get("/v1/baselines", params={**query, **({"cursor": cursor} if cursor else {})})
        assert page.status_code == 200, page.text
        found += [item["name"] for item in page.json()["items"]]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            return found


EVERYTHING = [
    "oak",
    "elm",
    *(f"lemur/{n}" for n in ("AirNet-1", "ResNet-1", "ResNet-2", "ResNet_3", "alt-nn1-x")),
]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
def test_shipped_baselines_come_first_and_every_page_size_gives_everything_once(scene, limit):
    assert walked(scene, limit=limit) == EVERYTHING


@pytest.mark.parametrize("limit", [1, 2, 50])
def test_by_accuracy_the_best_first_epoch_comes_first_and_unknown_ones_last(scene, limit):
    found = walked(scene, sort="accuracy", dataset="cifar-10", limit=limit)
    assert found == [f"lemur/{n}" for n in ("ResNet-1", "ResNet-2", "AirNet-1", "ResNet_3")]


def test_items_are_light(scene):
    items = scene.http.get("/v1/baselines").json()["items"]
    assert all("source" not in item for item in items)
    light = next(item for item in items if item["name"] == "lemur/ResNet-1")
    expected = {"dataset": "cifar-10", "first_epoch_accuracy": 0.5, "best_accuracy": 0.9, "best_epoch": 5}
    assert light["results"][0] == expected
    assert (light["origin"], light["usable_on"], light["parameters"]) == ("lemur", [], None)
    assert items[0]["usable_on"] is None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"family": "resnet"}, ["ResNet-1", "ResNet-2", "ResNet_3"]),
        ({"dataset": "mnist"}, ["ResNet-1", "alt-nn1-x"]),
        ({"dataset": "mnist", "accuracy_at_least": 0.95}, ["ResNet-1"]),
        ({"dataset": "cifar-10", "accuracy_at_most": 0.3}, ["AirNet-1"]),
        ({"dataset": "cifar-10", "accuracy_at_least": 0.5}, ["ResNet-1", "ResNet-2"]),
        ({"contract": "plain"}, ["ResNet_3"]),
        ({"name_contains": "NN1"}, ["alt-nn1-x"]),
        ({"name_contains": "t_"}, ["ResNet_3"]),
        ({"usable_on": "digits"}, []),
        ({"parameters_at_most": 10**9}, []),
        ({"dataset": "svhn"}, []),
    ],
)
def test_every_filter_narrows_the_list(scene, query, found):
    assert names(scene, **query) == [f"lemur/{name}" for name in found]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"origin": "deltanas"}, ["oak", "elm"]),
        ({"family": "residual"}, ["elm"]),
        ({"contract": "plain"}, ["oak", "elm", "lemur/ResNet_3"]),
        ({"name_contains": "OA"}, ["oak"]),
        ({"usable_on": "digits"}, ["oak", "elm"]),
    ],
)
def test_the_filters_know_the_shipped_baselines_too(scene, query, found):
    assert walked(scene, **query) == found


def test_imported_networks_can_be_browsed_while_the_generator_is_away(scene):
    scene.generator.unreachable = True
    assert len(names(scene)) == len(NETWORKS)
    assert scene.http.get("/v1/baselines").status_code == 503


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"sort": "accuracy"}, "accuracies need a dataset"),
        ({"accuracy_at_least": 0.5}, "accuracies need a dataset"),
        ({"accuracy_at_lest": 0.5}, "accuracy_at_lest"),
        ({"dataset": "mnist", "accuracy_at_least": 1.5}, "accuracy_at_least"),
        ({"dataset": "mnist", "accuracy_at_least": "nan"}, "accuracy_at_least"),
        ({"origin": "oak"}, "origin"),
        ({"limit": 0}, "limit"),
        ({"name_contains": "%"}, "name_contains"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_by_name(scene, query, field):
    refused = scene.http.get("/v1/baselines", params=query)
    assert refused.status_code == 422
    assert field in json.dumps(refused.json())


@pytest.mark.parametrize(
    "after", ["nonsense", [], [0.5, "lemur/a", 1], [-1], [True], ["\ud800"], ["a\0b"], {"a": 1}, [[[]]], None]
)
def test_a_cursor_of_another_list_is_refused(scene, after):
    cursor = urlsafe_b64encode(json.dumps(after).encode()).decode().rstrip("=")
    refused = scene.http.get("/v1/baselines", params={"cursor": cursor})
    assert (refused.status_code, refused.json()["field"]) == (422, "cursor")
    assert scene.http.get("/v1/baselines", params={"cursor": "A"}).status_code == 422


@pytest.mark.parametrize("path", ["lemur/ResNet-1", "lemur%2FResNet-1"])
def test_one_network_is_read_with_everything_by_its_name_with_a_slash(scene, path):
    found = scene.http.get(f"/v1/baselines/{path}").json()
    assert found["name"] == "lemur/ResNet-1"
    assert "class Net" in found["source"]
    assert found["licence"] == "MIT, Copyright (c) its authors"
    assert [result["hyperparameters"]["lr"] for result in found["results"]] == [0.5, 0.97]
    assert found["smoke"] == []


@pytest.mark.parametrize(
    "name", ["lemur/none", "yew", "lemur/a%00b", "lemur/%ED%A0%80", "lemur/" + "x" * 300]
)
def test_an_unknown_name_is_not_found(scene, name):
    answer = scene.http.get(f"/v1/baselines/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "baseline_unknown")


def test_facets_count_what_can_be_filtered_by(scene):
    facets = scene.http.get("/v1/baselines/facets").json()
    assert facets["families"][0] == {"value": "ResNet", "networks": 3}
    assert facets["origins"] == [{"value": "lemur", "networks": 5}]
    assert {f["value"]: f["networks"] for f in facets["datasets"]} == {"cifar-10": 4, "mnist": 2}
    assert {f["value"] for f in facets["contracts"]} == {"lemur", "plain"}


def test_an_imported_network_is_evaluated_with_what_was_recorded_on_that_dataset(scene):
    def sent(dataset_results, **fields):
        body = {"baseline": dataset_results, "dataset": "digits", **fields}
        answer = scene.http.post("/v1/evaluations", json=body)
        assert answer.status_code == 202, answer.text
        return answer.json()["request"]["hyperparameters"]

    imported(scene, network("recorded", accuracies={"digits": 0.7}), network("unrecorded"))
    assert sent("lemur/recorded") == {"lr": 0.7, "transform": "norm"}
    assert sent("lemur/recorded", hyperparameters={"lr": 0.2}) == {"lr": 0.2, "transform": "norm"}
    assert sent("lemur/unrecorded") == {"lr": 0.01}
    assert sent("lemur/recorded", delta="grow 3") == {"lr": 0.7, "transform": "norm"}


def test_an_unknown_imported_network_cannot_be_evaluated(scene):
    body = {"baseline": "lemur/none", "dataset": "digits"}
    refused = scene.http.post("/v1/evaluations", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_baseline")
    assert "deltanas baselines list" in refused.json()["remedy"]


def test_deltas_apply_to_imported_networks(scene):
    applied = scene.http.post("/v1/deltas:apply", json={"baseline": "lemur/ResNet-1", "delta": "grow 3"})
    assert applied.json()["status"] == "applied"
    assert "'ResNet-1'" in applied.json()["source"]


def test_a_search_without_names_starts_from_the_shipped_baselines_alone(scene):
    search = scene.http.post("/v1/searches", json={"dataset": "digits"})
    assert search.status_code == 202, search.text
    assert search.json()["request"]["baselines"] == ["oak", "elm"]


def test_a_search_refuses_a_network_that_has_not_passed_and_names_the_command(scene):
    body = {"dataset": "digits", "baselines": ["oak", "lemur/ResNet-1"]}
    refused = scene.http.post("/v1/searches", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "baseline_not_usable")
    assert "deltanas baselines smoke --dataset digits --name lemur/ResNet-1" in refused.json()["remedy"]
    unknown = scene.http.post("/v1/searches", json={"dataset": "digits", "baselines": ["lemur/none"]})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_baseline")
