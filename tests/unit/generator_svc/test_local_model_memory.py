"""What memory there is: the machine's, or what a container leaves of it."""

import pytest

from generator_svc.fine_tuning.limits import KEPT_FREE_BYTES, FineTuneLimits
from generator_svc.language_models.local.memory import free_memory, kernel_kills, whole_memory

MIB = 1024 * 1024


@pytest.fixture(params=["", "memory/"], ids=["version 2", "version 1"])
def container(request, tmp_path):
    """64 MiB, of which 40 are in use, 16 of them for files that the kernel can drop."""
    first = request.param == "memory/"
    folder = tmp_path / request.param
    folder.mkdir(exist_ok=True)
    (folder / ("memory.limit_in_bytes" if first else "memory.max")).write_text(f"{64 * MIB}\n")
    (folder / ("memory.usage_in_bytes" if first else "memory.current")).write_text(f"{40 * MIB}\n")
    (folder / "memory.stat").write_text(f"anon {24 * MIB}\ninactive_file {16 * MIB}\nslab 1\n")
    return tmp_path


def test_a_container_has_no_more_than_its_limit(container):
    assert whole_memory(container) == 64 * MIB


def test_what_a_container_already_uses_is_not_free_but_files_are(container):
    assert free_memory(container) == 40 * MIB


def test_without_a_limit_the_machine_counts(tmp_path):
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1\n")
    assert whole_memory(tmp_path) > 64 * MIB
    assert 0 < free_memory(tmp_path) <= whole_memory(tmp_path)


def test_a_trainer_may_use_what_is_free_less_a_reserve(monkeypatch):
    monkeypatch.setattr("generator_svc.fine_tuning.limits.free_memory", lambda: 3 * KEPT_FREE_BYTES)
    assert FineTuneLimits().trainer_memory_bytes() == 2 * KEPT_FREE_BYTES
    assert FineTuneLimits(memory_bytes=7).trainer_memory_bytes() == 7


def test_the_kernels_kills_are_those_of_the_machine_and_of_the_container(tmp_path):
    (tmp_path / "vmstat").write_text("nr_free_pages 7\noom_kill 3\noom_kill_disable 9\n")
    assert kernel_kills(tmp_path, tmp_path / "vmstat") == 3
    (tmp_path / "memory.events").write_text("low 0\noom 5\noom_kill 2\noom_group_kill 8\n")
    assert kernel_kills(tmp_path, tmp_path / "vmstat") == 5
    assert kernel_kills(tmp_path / "none", tmp_path / "none") == 0
