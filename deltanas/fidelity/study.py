"""Has the chosen networks evaluated through the ordinary queue, and finds again what was asked before.

Every evaluation bears the tag of its study and the tag of its network. So the same study, run again after
a crash of whatever part, goes on: what was accepted is followed, the rest is submitted.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from contracts.failures import FailureReason
from deltanas.client import TERMINAL_STATES, Client
from deltanas.errors import RequestInvalid
from deltanas.fidelity.sample import Criteria, Exclusion, RecordedNetwork, digest, judged

Json = dict[str, Any]

_PRIORITY = -100
"""Whatever else somebody wants evaluated goes first."""
_WALL_PER_CPU_SECOND = 30
_LEAST_WALL_SECONDS = 1_800.0
_PATIENT = {"startup_seconds": 600.0, "predict_batch_seconds": 120.0}
"""The processor's time binds; on a busy machine the wall must not."""
_SMALLEST_WINDOW = 4
_LARGEST_WINDOW = 64
_LOOK_AGAIN_SECONDS = 5
_OF_STUDY, _OF_NETWORK = "fidelity", "network"
_DIGITS_OF_TAG = 32


class State(StrEnum):
    """What became of a network. `lost` fell to the platform's fault; it and `cancelled` are in no rate."""

    RAN = "ran"
    FAILED = "failed"
    REFUSED = "refused"
    """The gateway takes no evaluation of it."""
    LOST = "lost"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Conditions:
    """How each network is measured: one epoch with its recorded hyperparameters, on one CPU thread."""

    dataset: str
    cpu_seconds: float
    train_images: int | None = None
    """None = the whole training split, as recorded accuracies are."""
    train_seed: int = 0

    @property
    def request(self) -> Json:
        """Of `POST /v1/evaluations`, without the baseline and tags."""
        wall_seconds = max(_LEAST_WALL_SECONDS, _WALL_PER_CPU_SECOND * self.cpu_seconds)
        return {
            "dataset": self.dataset,
            "epochs": 1,
            "seed": self.train_seed,
            "train_images": self.train_images,
            "limits": {"cpu_seconds": self.cpu_seconds, "wall_seconds": wall_seconds, **_PATIENT},
            "priority": _PRIORITY,
        }

    @property
    def tag(self) -> str:
        """The same for all studies under these conditions, so that a larger one contains a smaller one."""
        return _tag(_OF_STUDY, self.request)


@dataclass(frozen=True)
class Outcome:
    """One network and its evaluation. `failure` is the gateway's: reason, phase, resource, message."""

    network: RecordedNetwork
    state: State
    evaluation: Json = field(default_factory=dict)
    failure: Json | None = None

    @property
    def accuracy(self) -> float | None:
        """Ours, where it ran."""
        return self.evaluation["measurement"]["accuracy"] if self.state is State.RAN else None


def recorded_networks(
    client: Client, criteria: Criteria, watch: Callable[[int, int], None]
) -> Iterator[RecordedNetwork | Exclusion]:
    """Each imported network with a result on the dataset, or why it is left out.

    `watch` gets how many were read, of how many. Raises RequestInvalid where the dataset is not ready or
    nothing is recorded on it.
    """
    image_pixels = _image_pixels(client, criteria.dataset)
    listed = client.baselines(dataset=criteria.dataset)
    if not listed:
        raise RequestInvalid(
            f"nothing is recorded on {criteria.dataset}",
            {
                "code": "nothing_recorded",
                "field": "dataset",
                "value": criteria.dataset,
                "remedy": "Import networks with `deltanas baselines import lemur --download`.",
            },
        )
    for done, item in enumerate(listed, start=1):
        yield judged(client.baseline(item["name"]), criteria, image_pixels)
        watch(done, len(listed))


def measured(
    client: Client,
    conditions: Conditions,
    networks: Sequence[RecordedNetwork],
    watch: Callable[[Outcome], None],
) -> list[Outcome]:
    """Evaluate all that have not been, a few at a time, and wait; outcomes in the order of `networks`.

    What an earlier run lost, or somebody cancelled, is tried anew. `watch` gets each outcome as it comes.
    """
    window = max(_SMALLEST_WINDOW, min(2 * client.capabilities()["slots"], _LARGEST_WINDOW))
    known = _accepted_before(client, conditions.tag)
    waiting = deque(network for network in networks if _network_tag(network) not in known)
    running = {
        network: known[_network_tag(network)] for network in networks if _network_tag(network) in known
    }
    found: dict[RecordedNetwork, Outcome] = {}

    def note(outcome: Outcome) -> None:
        running.pop(outcome.network, None)
        found[outcome.network] = outcome
        watch(outcome)

    while waiting or running:
        for network in _ended(running):
            note(_outcome(network, running[network]))
        while waiting and len(running) < window:
            network = waiting.popleft()
            try:
                running[network] = _submitted(client, conditions, network)
            except RequestInvalid as error:
                note(Outcome(network, State.REFUSED, failure={"reason": error.code, "message": str(error)}))
        _read_again(client, running)
    return [found[network] for network in networks]


def _image_pixels(client: Client, dataset: str) -> int:
    report = next((found for found in client.datasets() if found["name"] == dataset), None)
    if report is None or not report["ready"]:
        raise RequestInvalid(
            f"the dataset {dataset!r} is {'unknown' if report is None else 'not ready'}",
            {
                "code": "dataset_unknown" if report is None else "dataset_not_ready",
                "field": "dataset",
                "value": dataset,
                "remedy": "`deltanas datasets list` shows all."
                if report is None
                else f"Prepare it with `deltanas datasets prepare {dataset}`.",
            },
        )
    return int(max(report["input_shape"][1:]))


def _accepted_before(client: Client, tag: str) -> dict[str, Json]:
    """Evaluations of this study by the tag of their network, the newest of each, without the vain ones."""
    known: dict[str, Json] = {}
    for evaluation in reversed(client.tagged_evaluations(tag)):
        if _state(evaluation) in {State.LOST, State.CANCELLED}:
            continue
        tags = evaluation["request"]["tags"]
        known |= {found: evaluation for found in tags if found.startswith(_OF_NETWORK)}
    return known


def _submitted(client: Client, conditions: Conditions, network: RecordedNetwork) -> Json:
    tags = [conditions.tag, _network_tag(network)]
    return client.evaluate(baseline=network.name, tags=tags, **conditions.request)


def _read_again(client: Client, running: dict[RecordedNetwork, Json]) -> None:
    """Bring all up to date; while none has ended, wait a little for the oldest."""
    if not running or _ended(running):
        return
    oldest = next(iter(running))
    for network in running:
        wait = _LOOK_AGAIN_SECONDS if network == oldest else 0
        running[network] = client.evaluation(running[network]["id"], wait=wait)


def _ended(running: dict[RecordedNetwork, Json]) -> list[RecordedNetwork]:
    return [network for network, evaluation in running.items() if evaluation["state"] in TERMINAL_STATES]


def _outcome(network: RecordedNetwork, evaluation: Json) -> Outcome:
    state = _state(evaluation)
    assert state is not None, "the evaluation has ended"
    return Outcome(network, state, evaluation, evaluation["failure"])


def _state(evaluation: Json) -> State | None:
    """None while it has not ended."""
    failure = evaluation["failure"]
    if evaluation["state"] == "failed" and failure["reason"] == FailureReason.INFRASTRUCTURE:
        return State.LOST
    return {"succeeded": State.RAN, "failed": State.FAILED, "cancelled": State.CANCELLED}.get(
        evaluation["state"]
    )


def _network_tag(network: RecordedNetwork) -> str:
    return _tag(_OF_NETWORK, [network.name, network.version])


def _tag(kind: str, content: Any) -> str:
    return f"{kind}:{digest(content)[:_DIGITS_OF_TAG]}"
