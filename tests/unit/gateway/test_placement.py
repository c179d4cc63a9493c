"""Which hosts can run what, and why nobody can."""

import pytest
from fakes import capabilities

from contracts.jobs import DatasetReport
from contracts.names import IsolationTier
from gateway.domain.placement import (
    Requirements,
    any_of,
    can_run,
    gpu_memory_of,
    keeper,
    obstacle,
    slots_taken,
)

GIB = 2**30
CORES = capabilities()
SMALL = capabilities(
    tier=IsolationTier.DOCKER_RUNC, devices=("cuda", "cuda:0"), slots=1, gpu_memory_bytes=(24 * GIB,)
)
MIXED = capabilities(
    tier=IsolationTier.DOCKER_RUNC,
    devices=("cuda", "cuda:0", "cuda:1"),
    gpu_memory_bytes=(24 * GIB, 80 * GIB),
)
SILENT = capabilities(tier=IsolationTier.DOCKER_RUNC, devices=("cuda", "cuda:0"))


def wants(device="cpu", tier=IsolationTier.NAMESPACES, dataset="digits", gib=0, threads=1):
    return Requirements(device, tier.strength, dataset, gib * GIB, threads)


@pytest.mark.parametrize(
    ("device", "gib", "able"),
    [
        ("cuda", 0, [SMALL, MIXED, SILENT]),
        ("cuda", 24, [SMALL, MIXED]),
        ("cuda", 25, [MIXED]),
        ("cuda:0", 25, []),
        ("cuda:1", 80, [MIXED]),
        ("cuda", 81, []),
    ],
)
def test_gpu_memory_is_that_of_the_device_that_is_named(device, gib, able):
    hosts = [CORES, SMALL, MIXED, SILENT]
    assert [host for host in hosts if can_run(host, wants(device, gib=gib))] == able


def test_the_memory_of_any_gpu_is_that_of_the_largest():
    assert gpu_memory_of(MIXED, "cuda") == 80 * GIB
    assert gpu_memory_of(MIXED, "cuda:7") == 0
    assert gpu_memory_of(CORES, "cpu") == 0


def test_it_is_all_the_same_who_runs_what_all_can_run():
    assert any_of([SMALL, MIXED], wants("cuda", gib=24))
    assert not any_of([SMALL, MIXED], wants("cuda", gib=25))


@pytest.mark.parametrize(("threads", "slots"), [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3)])
def test_an_attempt_takes_as_many_slots_as_its_threads_fill(threads, slots):
    assert slots_taken(capabilities(threads_per_slot=4), threads) == slots


def test_the_host_that_lacks_fewest_slots_keeps_them():
    hosts = {
        "a": (capabilities(slots=4), 1),
        "b": (capabilities(slots=4), 2),
        "c": (capabilities(slots=2), 2),
    }
    assert keeper(hosts, wants(threads=3)) == "b"
    assert keeper(hosts, wants(threads=5)) is None
    hosts["a"] = (capabilities(slots=4, threads_per_slot=2), 1)
    assert keeper(hosts, wants(threads=4)) == "a"


READY = DatasetReport("svhn", True, (3, 32, 32), 10, 73_257, 26_032, "hash")


@pytest.mark.parametrize(
    ("hosts", "wanted", "code", "words"),
    [
        ([], wants(), "no_agent", "No agent"),
        ([capabilities(slots=0)], wants(), "no_agent", "No agent"),
        ([capabilities(tier=None)], wants(), "no_sandbox", "sandbox"),
        ([CORES, SMALL], wants("cuda:1"), "device", "cuda:1; offered: cpu, cuda, cuda:0"),
        ([CORES], wants(tier=IsolationTier.DOCKER_RUNSC), "minimum_tier", "is namespaces"),
        ([CORES, SMALL], wants("cuda", gib=25), "gpu_memory", f"at most {24 * GIB} "),
        ([SILENT], wants("cuda", gib=1), "gpu_memory", "at most 0 "),
        ([CORES, SMALL], wants(threads=3), "threads", "at most 2."),
        ([CORES], wants(dataset="svhn"), "dataset", "svhn"),
        ([SMALL, capabilities(datasets=(READY,))], wants("cuda", dataset="svhn"), "dataset", "svhn"),
    ],
)
def test_what_nobody_can_run_is_told_with_its_reason(hosts, wanted, code, words):
    found = obstacle(hosts, wanted)
    assert found is not None
    assert (found.code, words in found.message) == (code, True)
    assert found.remedy.startswith("It waits")


def test_what_one_host_can_run_is_in_nobodys_way():
    assert obstacle([CORES, SMALL, MIXED], wants("cuda", gib=80)) is None
    assert obstacle([CORES], wants()) is None
