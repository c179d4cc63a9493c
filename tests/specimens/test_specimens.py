"""Every hostile candidate against the real sandbox: it fails for the right reason or earns its true score."""

import threading

import pytest
from bouts import Bouts

from contracts.names import IsolationTier
from sandbox_runner.specimens.catalogue import SPECIMENS
from sandbox_runner.specimens.specimen import Specimen
from sandbox_runner.specimens.surroundings import Surroundings

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


def test_specimen(bouts: Bouts, specimen: Specimen) -> None:
    if specimen.device not in bouts.arena.devices:
        pytest.skip(f"no {specimen.device} for this tier on this machine")
    trial = bouts.trial_of(specimen)

    assert trial.shortcomings == (), trial.outcome.log[-2000:]
    assert trial.aftermath == ()


def test_a_running_specimen_is_seen_by_the_accounting(bouts: Bouts) -> None:
    arena = bouts.arena
    sleeper = next(one for one in SPECIMENS if one.name == "never_ends_import")
    cancelled = threading.Event()
    running = threading.Thread(target=arena.run, args=(sleeper, cancelled))
    before = arena.look()

    def sees_it(seen: Surroundings) -> bool:
        # gVisor's processes are its own: the host sees none of them.
        if arena.tier is IsolationTier.DOCKER_RUNSC:
            return seen.descriptors > before.descriptors
        return bool(seen.marked_processes)

    running.start()
    try:
        seen = arena.look()
        while not sees_it(seen) and running.is_alive():
            seen = arena.look()
    finally:
        cancelled.set()
        running.join()

    assert sees_it(seen)
    assert seen.descriptors > before.descriptors
    assert seen.threads > before.threads


def test_the_worker_is_as_it_was(bouts: Bouts) -> None:
    assert bouts.arena.finish() == ()
