"""Which host may train which fine-tune, whose turn it is, and why nobody can. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from contracts.fine_tune_attempts import TrainingHost


@dataclass(frozen=True)
class Training:
    """What an attempt at a fine-tune asks of its host."""

    attempt_id: str
    tenant: str
    model: str
    weights_sha256: str | None
    """Of the model where its adapters are used; None: it is not there, and any of the name will do."""
    job_id: str = ""
    promised_until: datetime | None = None
    """Till then it is kept for whom it was offered or published to."""
    has_gpu_seconds: bool = True
    """Whether its tenant has any left today."""


@dataclass(frozen=True)
class Listener:
    """A live agent at the broker. `free`: slots for which nothing runs, nor waits in its own queue."""

    agent_id: str
    host: TrainingHost
    free: int


def can_train(host: TrainingHost, wanted: Training) -> bool:
    """Whether a host has the model with the adapter's weights, and no GPU that the tenant may not use."""
    return _has_model(host, wanted) and (wanted.has_gpu_seconds or host.gpus == 0)


def _has_model(host: TrainingHost, wanted: Training) -> bool:
    has = host.models.get(wanted.model)
    return has is not None and wanted.weights_sha256 in {None, has}


def may_go_on(host: TrainingHost, wanted: Training) -> bool:
    """Whether a host can train a job and still has it from an earlier attempt, perhaps with a checkpoint."""
    return wanted.job_id in host.borrowed and can_train(host, wanted)


def in_turn(waiting: Sequence[Training], running: Mapping[str, int]) -> list[Training]:
    """Attempts in the order in which they are given out, from those in the order of their age.

    The tenant for whom least runs comes first, so many jobs of one do not hold up another's one.
    """
    given = Counter(running)
    ranked = []
    for age, training in enumerate(waiting):
        ranked.append((given[training.tenant], age, training))
        given[training.tenant] += 1
    return [training for _, _, training in sorted(ranked, key=lambda one: one[:2])]


def places(trainings: Sequence[Training], listeners: Sequence[Listener], room: int) -> dict[str, str | None]:
    """Who of those at the broker is told of which attempt; None: whoever of them is free first.

    `room` is how many can be told of in all. What none of them can train is left out, and a job that one of
    them can go on with goes there.
    """
    free = {listener.agent_id: listener.free for listener in listeners}
    told: dict[str, str | None] = {}
    for training in trainings:
        able = [one for one in listeners if can_train(one.host, training) and free[one.agent_id] > 0]
        begun = [one for one in able if may_go_on(one.host, training)]
        best = max(begun or able, key=lambda one: (free[one.agent_id], one.agent_id), default=None)
        if len(told) >= room or best is None:
            continue
        free[best.agent_id] -= 1
        anybody = not begun and all(can_train(one.host, training) for one in listeners)
        told[training.attempt_id] = None if anybody else best.agent_id
    return told


def obstacle(hosts: Sequence[TrainingHost], wanted: Training) -> str | None:
    """What keeps every host that is there from training a job, and what helps; None if one can."""
    able = [host for host in hosts if host.slots > 0]
    if not able:
        return "no agent that trains is there; an operator starts one with `deltanas agent --fine-tunes`"
    named = [host for host in able if wanted.model in host.models]
    if not named:
        known = sorted({name for host in able for name in host.models})
        return (
            f"no agent that trains has the model {wanted.model}; they have: "
            f"{', '.join(known)[:200] or 'none'}; an operator adds it there with `deltanas models add`"
        )
    equal = [host for host in named if _has_model(host, wanted)]
    if not equal:
        return (
            f"the agents that train have other weights under the name {wanted.model} than the generator that "
            "proposes; an operator adds the same model there"
        )
    if not any(can_train(host, wanted) for host in equal):
        return (
            "the tenant's GPU seconds of today (the quota gpu_seconds_per_day) are used up; it goes on with "
            "the next day, in UTC"
        )
    return None
