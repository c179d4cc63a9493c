"""`POST /v1/training-pairs`: what comes down the stream, refusals, and how it ends when things fail."""

import asyncio
import errno
import gc
import hashlib
import json
import threading
import time
from dataclasses import asdict, dataclass, replace
from itertools import combinations

import pytest
from api_conformance import closed, validator
from baseline_scene import SUMMARY, imported, network
from fastapi.testclient import TestClient
from processes import until

from contracts.chats import ChatMessage
from contracts.training_pairs import (
    CopyOf,
    NearnessLine,
    NearPair,
    PairLeftOut,
    TrainingPair,
    TrainingPairLine,
)
from gateway.bootstrap import MOST_PAIR_ANSWERS, MOST_PAIR_ANSWERS_OF_ONE
from gateway.infra.answer_spool import AnswerSpool
from gateway.infra.chat_spool import ChatSpool
from gateway.infra.service_clients import ServiceUnavailable
from gateway.loop import one_at_a_time
from gateway.routes import training_pairs
from gateway.services import Services

PATH = "/v1/training-pairs"
ACCURACIES = {"ResNet": (0.3, 0.4, 0.5, 0.6), "VGG": (0.35, 0.45), "DPN": (0.2, 0.25, 0.31)}


class Filter:
    """In the filter's place: every source is near every other; some are copies or cannot be compared."""

    name = "filter"

    def __init__(self) -> None:
        self.sent: list[list] = []
        self.copies: dict[str, str] = {}
        self.strange: set[str] = set()
        self.end: list = [NearnessLine(compared=1)]
        self.closed = threading.Event()

    def near(self, sources, at_least):
        try:
            named = list(sources)
            self.sent.append(named)
            yield NearnessLine(progress=0.5)
            out = {*self.copies, *self.strange}
            yield from (NearnessLine(copy=CopyOf(*found)) for found in self.copies.items())
            yield from (NearnessLine(not_comparable=found) for found in self.strange)
            for first, second in combinations([n.id for n in named if n.id not in out], 2):
                yield NearnessLine(near=NearPair(first, second, at_least))
            for line in self.end:
                if isinstance(line, BaseException):
                    raise line
                yield line
        finally:
            self.closed.set()

    def readiness_problems(self):
        return []

    def close(self):
        pass


class Generator:
    """In the generator's place: a delta of as many lines as `lines` says of an order."""

    name = "generator"

    def __init__(self) -> None:
        self.orders: list = []
        self.problems: list[str] = []
        self.end: list = [TrainingPairLine(made=1)]
        self.lines = lambda order: 20

    def training_pairs(self, orders, fewest_lines, most_lines):
        orders = list(orders)
        self.orders += orders
        for order in orders:
            lines = self.lines(order)
            if not fewest_lines <= lines <= most_lines:
                reason = "too_short" if lines < fewest_lines else "too_long"
                yield TrainingPairLine(left_out=PairLeftOut(order.id, reason))
                continue
            # U+2028 ends a line to some, and must not end one of the stream.
            delta = f"-{order.baseline_source[-20:]}\u2028+{(order.target_source or 'mutated')[-20:]}"
            messages = (ChatMessage("user", "improve"), ChatMessage("assistant", delta))
            yield TrainingPairLine(
                pair=TrainingPair(order.id, "delta_v1", messages, delta, lines, 2, "widen")
            )
        for line in self.end:
            if isinstance(line, BaseException):
                raise line
            yield line

    def readiness_problems(self):
        return self.problems

    def close(self):
        pass


@dataclass
class PairScene:
    """A gateway with networks of three families, and who answers in place of the other services."""

    http: TestClient
    services: Services
    filter: Filter
    generator: Generator


@pytest.fixture
def pairs(scene):
    networks = [
        network(f"{family}-{n}", family, accuracies={"cifar-10": accuracy, "mnist": None})
        for family, accuracies in ACCURACIES.items()
        for n, accuracy in enumerate(accuracies)
    ]
    imported(scene, *networks)
    novelty, generator = Filter(), Generator()
    services = replace(scene.services, filter=novelty, generator=generator)
    scene.http.app.state.services = services
    yield PairScene(scene.http, services, novelty, generator)
    scene.http.app.state.services = scene.services


def asked(scene, **fields):
    """The answer, as it is. The networks of these tests were recorded with different hyperparameters."""
    return scene.http.post(PATH, json={"dataset": "cifar-10", "hyperparameters": "any", **fields})


def lines(scene, **fields) -> list[dict]:
    """The lines of an answer."""
    answer = asked(scene, **fields)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    found = [json.loads(line) for line in answer.content.split(b"\n") if line]
    document = closed(scene.http.app.openapi())
    is_told = validator(document, {"$ref": "#/components/schemas/TrainingPairsLine"})
    for line in found:
        is_told.validate(line)
    return found


def made(found) -> list[dict]:
    return [line["pair"] for line in found if "pair" in line]


def test_a_pair_is_a_chat_with_where_it_is_from(pairs):
    found = lines(pairs, mutation_pairs=0)
    pair = next(p for p in made(found) if p["metadata"]["baseline"]["name"] == "lemur/ResNet-0")
    assert (pair["split"], pair["kind"]) == ("train", "lemur")
    assert [turn["role"] for turn in pair["messages"]] == ["user", "assistant"]
    metadata = pair["metadata"]
    assert metadata["target"]["first_epoch_accuracy"] > metadata["baseline"]["first_epoch_accuracy"]
    assert metadata["gain"] == pytest.approx(
        metadata["target"]["first_epoch_accuracy"] - metadata["baseline"]["first_epoch_accuracy"]
    )
    assert metadata["baseline"]["hyperparameters"] == {"lr": 0.3, "transform": "norm"}
    assert metadata["baseline"]["licence"] == "MIT, Copyright (c) its authors"
    expected = {"dataset": "cifar-10", "jaccard": 0.6, "delta_lines": 20, "prompt_version": "delta_v1"}
    assert {key: metadata[key] for key in expected} == expected


def test_unless_asked_for_networks_with_other_hyperparameters_are_not_compared(pairs):
    found = lines(pairs, hyperparameters="same", mutation_pairs=0)
    assert not made(found)
    assert found[-1]["summary"]["left_out"]["lemur"] == {"hyperparameters_differ": 9 * 8 / 2}


def test_the_accuracy_of_the_baseline_is_told_and_sources_are_the_networks_own(pairs):
    lines(pairs, mutation_pairs=0)
    by_name = {f"{f}-{n}": a for f, found in ACCURACIES.items() for n, a in enumerate(found)}
    for order in pairs.generator.orders:
        name = order.baseline_source.split("lemur/")[-1] if "lemur/" in order.baseline_source else None
        name = name or order.baseline_source.split("'")[1]
        assert order.baseline_accuracy == by_name[name]
        assert order.target_source != order.baseline_source


def test_the_same_request_gives_the_same_bytes_and_another_seed_gives_others(pairs):
    first = asked(pairs, mutation_pairs=4, pairs_per_network=1).content
    assert asked(pairs, mutation_pairs=4, pairs_per_network=1).content == first
    assert asked(pairs, mutation_pairs=4, pairs_per_network=1, seed=1).content != first


def test_the_summary_adds_up_and_its_digests_are_those_of_the_files(pairs):
    pairs.filter.copies = {"000003": "000002"}
    pairs.filter.strange = {"000004"}
    pairs.generator.lines = lambda order: 4 if "0.45" in str(order.baseline_accuracy) else 30
    found = lines(pairs, mutation_pairs=5, validation_share=0.3)
    summary = found[-1]["summary"]
    assert summary["networks"] == {"recorded": 9, "copies": 1, "not_comparable": 1}
    assert sum(summary["families"].values()) == 3
    for split in ("train", "validation"):
        of_split = [pair for pair in made(found) if pair["split"] == split]
        assert sum(summary["pairs"][split].values()) == len(of_split) > 0
        file = b"".join(json.dumps(pair, separators=(",", ":")).encode() + b"\n" for pair in of_split)
        assert summary["sha256"][split] == hashlib.sha256(file).hexdigest()
        assert sum(summary["delta_lines"][split].values()) == len(of_split)
    lemur = sum(counts["lemur"] for counts in summary["pairs"].values())
    assert lemur + sum(summary["left_out"]["lemur"].values()) == summary["near_pairs"] == 7 * 6 / 2
    assert summary["packages"] == [asdict(SUMMARY.wheel)]
    assert summary["prompt_versions"] == ["delta_v1"]


def test_copies_take_no_part_and_no_family_is_in_both_splits(pairs):
    pairs.filter.copies = {"000003": "000002"}
    found = lines(pairs, mutation_pairs=20, validation_share=0.3)
    families = {"train": set(), "validation": set()}
    for pair in made(found):
        ends = [pair["metadata"]["baseline"], pair["metadata"]["target"]]
        families[pair["split"]] |= {end["family"] for end in ends if end}
        assert "lemur/ResNet-0" not in {end["name"] for end in ends if end}  # 000003, by name
    assert families["train"]
    assert families["validation"]
    assert not families["train"] & families["validation"]


def test_mutations_come_on_top_once_for_each_network_with_no_target(pairs):
    found = [pair for pair in made(lines(pairs, mutation_pairs=100)) if pair["kind"] == "mutation"]
    assert sorted(pair["metadata"]["baseline"]["name"] for pair in found) == sorted(
        f"lemur/{family}-{n}" for family, accuracies in ACCURACIES.items() for n in range(len(accuracies))
    )
    assert all(pair["metadata"]["target"] is None for pair in found)
    seeds = {order.seed for order in pairs.generator.orders if order.target_source is None}
    assert len(seeds) == len(found)


def test_of_more_than_are_asked_for_no_more_are_made(pairs):
    found = lines(pairs, mutation_pairs=3, max_pairs=2, validation_share=0.0)
    assert [pair["kind"] for pair in made(found)].count("lemur") == 2
    assert [pair["kind"] for pair in made(found)].count("mutation") == 3
    assert found[-1]["summary"]["left_out"]["lemur"]["enough_pairs"] > 0


def test_progress_reaches_its_end_in_every_step(pairs):
    news = [line["progress"] for line in lines(pairs, mutation_pairs=3) if "progress" in line]
    for step in ("comparing", "trying"):
        done = [(n["done"], n["total"]) for n in news if n["step"] == step]
        assert done == sorted(done)
        assert done[-1][0] == done[-1][1]
    assert [n["step"] for n in news if n["step"] == "mutations"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"dataset": None}, "dataset"),
        ({"dataset": "../x"}, "dataset"),
        ({"hyperparameters": "some"}, "hyperparameters"),
        ({"min_gain": -0.1}, "min_gain"),
        ({"min_gain": "nan"}, "min_gain"),
        ({"at_least": 0.1}, "at_least"),
        ({"at_least": 1.1}, "at_least"),
        ({"pairs_per_network": 0}, "pairs_per_network"),
        ({"max_pairs": 10**9}, "max_pairs"),
        ({"mutation_pairs": -1}, "mutation_pairs"),
        ({"validation_share": 0.6}, "validation_share"),
        ({"seed": -1}, "seed"),
        ({"fewest_lines": 0}, "fewest_lines"),
        ({"most_lines": 10**6}, "most_lines"),
        ({"pairs": 5}, "pairs"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(pairs, fields, field):
    refused = asked(pairs, **fields)
    assert (refused.status_code, refused.json()["field"]) == (422, field)


def test_fewest_lines_above_most_lines_are_refused_with_both_numbers(pairs):
    refused = asked(pairs, fewest_lines=30, most_lines=20)
    assert refused.status_code == 422
    assert "fewest_lines (30)" in refused.text
    assert "most_lines (20)" in refused.text


def test_without_imported_networks_the_remedy_is_the_import(scene):
    refused = asked(scene)
    assert (refused.status_code, refused.json()["code"]) == (422, "no_recorded_networks")
    assert "deltanas baselines import lemur" in refused.json()["remedy"]


@pytest.mark.parametrize("dataset", ["svhn", "mnist"])
def test_a_dataset_without_recorded_first_epochs_names_those_that_have_results(pairs, dataset):
    refused = asked(pairs, dataset=dataset)
    assert (refused.status_code, refused.json()["field"]) == (422, "dataset")
    assert "cifar-10" in refused.json()["remedy"]


def test_a_service_that_is_away_is_a_503_before_anything_is_sent(pairs):
    pairs.generator.problems.append("the generator cannot be reached")
    refused = asked(pairs)
    assert (refused.status_code, refused.json()["code"]) == (503, "service_unavailable")
    pairs.generator.problems.clear()
    assert lines(pairs)[-1].get("summary")


NO_ROOM = {"status": 503, "code": "no_room", "detail": "no room"}


@pytest.mark.parametrize(
    ("part", "end", "code"),
    [
        ("filter", [], "service_unavailable"),
        ("filter", [NearnessLine(failed=NO_ROOM)], "no_room"),
        ("filter", [ServiceUnavailable("filter", "gone")], "service_unavailable"),
        ("filter", [NearnessLine(near=NearPair("000001", "000099", 0.9))], "service_unavailable"),
        ("filter", [NearnessLine(near=NearPair("1\u0663", "x", 0.9))], "service_unavailable"),
        ("filter", [RuntimeError("unforeseen")], "internal_error"),
        ("generator", [], "service_unavailable"),
        ("generator", [TrainingPairLine(failed=NO_ROOM)], "no_room"),
        ("generator", [TrainingPairLine(left_out=PairLeftOut("77", "no"))], "service_unavailable"),
        ("generator", [ServiceUnavailable("generator", "gone")], "service_unavailable"),
    ],
)
def test_what_breaks_in_the_middle_ends_with_a_problem_and_without_a_summary(pairs, part, end, code):
    getattr(pairs, part).end = end
    found = lines(pairs)
    assert found[-1]["failed"]["code"] == code
    assert not any("summary" in line for line in found)
    # The next one may come in.
    assert "failed" in lines(pairs)[-1]


def test_a_full_disk_is_told_as_such(pairs, monkeypatch):
    def full(self, chat):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ChatSpool, "add", full)
    failed = lines(pairs)[-1]["failed"]
    assert (failed["code"], failed["status"]) == ("disk_full", 507)


def test_a_network_that_goes_in_the_meantime_is_told_as_such(pairs, monkeypatch):
    monkeypatch.setattr(type(pairs.services.baselines), "sources", lambda self, wanted: {})
    assert lines(pairs)[-1]["failed"]["code"] == "catalogue_changed"


def test_a_stopping_gateway_ends_the_stream(pairs, monkeypatch):
    monkeypatch.setattr(pairs.services.database.signals, "ended", True)
    assert lines(pairs)[-1]["failed"]["code"] == "server_stopping"


def test_one_set_is_made_at_a_time_and_one_that_was_dropped_is_over(pairs, monkeypatch):
    monkeypatch.setattr(one_at_a_time, "NOTICING_SECONDS", 0.0)

    class Held:
        is_over = is_abandoned = False

    held = Held()
    assert pairs.services.pair_makings.enter(held)
    refused = asked(pairs)
    assert (refused.status_code, refused.json()["code"]) == (429, "training_pairs_being_made")
    assert int(refused.headers["retry-after"]) > 0
    del held
    assert lines(pairs)[-1].get("summary")


def a_stream(pairs):
    body = training_pairs.TrainingPairsBody(dataset="cifar-10", hyperparameters="any")
    stream = training_pairs._PairStream(pairs.services, body.settings)
    stream.begin()
    return stream


def test_a_client_that_leaves_ends_the_comparison(pairs):
    stream = a_stream(pairs)
    while b"comparing" not in next(stream):
        pass
    assert not pairs.filter.closed.is_set()
    stream.close()
    assert pairs.filter.closed.is_set()
    assert list(stream) == []


def test_a_stream_that_nobody_holds_is_over_at_once(pairs):
    inside = one_at_a_time.OneAtATime()
    gc.disable()
    try:
        assert inside.enter(a_stream(pairs))
        assert inside.enter(a_stream(pairs))
    finally:
        gc.enable()


def test_an_abandoned_making_stops_at_the_next_chat_and_lets_the_next_one_in(pairs):
    stream, ordered = a_stream(pairs), []
    assert pairs.services.pair_makings.enter(stream)

    def leave(order):
        ordered.append(order)
        stream.abandon()
        return 20

    pairs.generator.lines = leave
    assert b"server_stopping" in list(stream)[-1]
    assert len(ordered) == 1
    pairs.generator.lines = lambda order: 20
    assert lines(pairs)[-1].get("summary")


def test_a_client_that_reads_slowly_keeps_nobody_from_making_pairs(pairs):
    expected = asked(pairs).content
    stream = a_stream(pairs)
    assert pairs.services.pair_makings.enter(stream)
    received, reads_on, hangs_up = [], threading.Event(), threading.Event()

    async def receive():
        await asyncio.to_thread(hangs_up.wait, 60)
        return {"type": "http.disconnect"}

    async def send(message):
        if message["type"] == "http.response.body":
            await asyncio.to_thread(reads_on.wait, 60)
            received.append(message.get("body", b""))

    answer = training_pairs._Answer(stream, pairs.services.settings.home)
    reading = threading.Thread(target=lambda: asyncio.run(answer({"type": "http"}, receive, send)))
    reading.start()
    try:
        until(lambda: stream.is_over, 20, "all is made although nothing is read")
        assert received == []
        assert asked(pairs).content == expected, "others are served meanwhile"
    finally:
        reads_on.set()
        reading.join(30)
        hangs_up.set()
    assert b"".join(received) == expected
    assert answer.is_over


class Unread:
    is_over = False


def test_no_more_sets_wait_for_their_readers_than_the_disk_is_meant_to_hold(pairs):
    unread = [Unread() for _ in range(MOST_PAIR_ANSWERS)]
    assert all(pairs.services.pair_answers.enter(one, f"tenant {n}") for n, one in enumerate(unread))
    refused = asked(pairs)
    assert (refused.status_code, refused.json()["code"]) == (429, "training_pairs_unread")
    assert int(refused.headers["retry-after"]) > 0
    unread[0].is_over = True
    assert lines(pairs)[-1].get("summary")
    unread.clear()


def test_one_tenants_unread_sets_leave_places_for_those_of_others(pairs):
    enter = pairs.services.pair_answers.enter
    unread = [Unread() for _ in range(MOST_PAIR_ANSWERS)]
    entered = [enter(one, "local") for one in unread]
    assert entered == [True] * MOST_PAIR_ANSWERS_OF_ONE + [False] * (len(unread) - MOST_PAIR_ANSWERS_OF_ONE)
    assert asked(pairs).status_code == 429
    assert enter(unread[-1], "somebody else")


def test_a_disk_that_is_full_of_unread_pairs_is_told_as_such(pairs, monkeypatch):
    def add(_spool, _lines):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(AnswerSpool, "add", add)
    assert lines(pairs)[-1]["failed"]["code"] == "disk_full"


def test_a_client_that_hangs_up_is_noticed_while_a_service_computes(pairs, monkeypatch):
    stream, computing = a_stream(pairs), threading.Event()

    def slow(sources, at_least):
        computing.set()
        while True:
            time.sleep(0.01)
            yield NearnessLine(progress=0.5)

    monkeypatch.setattr(pairs.filter, "near", slow)

    async def receive():
        await asyncio.to_thread(computing.wait, 30)
        return {"type": "http.disconnect"}

    async def send(message):
        pass

    asyncio.run(training_pairs._Answer(stream, pairs.services.settings.home)({"type": "http"}, receive, send))
    assert stream.is_over
