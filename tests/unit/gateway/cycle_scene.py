"""A search whose first cycle is still to be proposed, and a generator that answers as it is told."""

from pathlib import Path

import pytest
from search_scene import Scene, new_scene

from contracts.proposals import Proposal
from gateway.infra.service_clients import ServiceUnavailable

DOWN = ServiceUnavailable("generator", "connection refused")


def search_after_baselines(folder: Path) -> Scene:
    """A search whose baselines are measured, and whose cycle 1 is still to be proposed."""
    scene = new_scene(folder, cycles=1)
    assert not scene.run().advance()
    scene.farm.work()
    return scene


def slots_of(scene: Scene, cycle: int = 1):
    return scene.journal.slots(cycle)


def advance_through_trouble(scene: Scene, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ServiceUnavailable):
            scene.run().advance()


def propose_only(scene: Scene, monkeypatch, delta: str, failure: str = "") -> None:
    def propose(asked):
        return iter([Proposal(slot.slot, "fake", delta, "as told", failure) for slot in asked.slots])

    monkeypatch.setattr(scene.generator, "propose", propose)
