import os
import subprocess
import sys
import textwrap

import pytest

from deltanas.gpu_leases import GpuLeases, GpusUnavailable, gpus_of_this_host

GPUS = ["GPU-" + f"{number}" * 8 + "-0000-1111-2222-333333333333" for number in range(3)]


def says(text, code=0):
    """A program in the driver's place."""
    return (sys.executable, "-c", f"print({text!r}); raise SystemExit({code})")


def test_the_driver_is_asked_in_a_process_of_its_own():
    assert gpus_of_this_host([says("\n".join(GPUS))]) == GPUS


def test_where_the_drivers_program_is_missing_or_fails_the_next_is_asked():
    missing = ("/nonexistent/nvidia-smi",)
    assert gpus_of_this_host([missing, says("oops", code=9), says(GPUS[0])]) == GPUS[:1]
    assert gpus_of_this_host([missing]) == []


@pytest.mark.parametrize("words", ["No devices were found", "GPU-../../etc/passwd", "MIG-1", "", "\x00"])
def test_what_is_no_gpus_name_is_left_out(words):
    assert gpus_of_this_host([says(words)]) == []


def test_two_agents_never_lease_one_gpu(tmp_path):
    first = GpuLeases.take(2, GPUS, tmp_path)
    second = GpuLeases.take(None, GPUS, tmp_path)
    assert (first.uuids, second.uuids) == (tuple(GPUS[:2]), tuple(GPUS[2:]))
    with pytest.raises(GpusUnavailable, match="of the 3 GPUs of this host 0 are free"):
        GpuLeases.take(1, GPUS, tmp_path)
    first.close()
    assert GpuLeases.take(1, GPUS, tmp_path).uuids == (GPUS[0],)


def test_who_gets_too_few_keeps_none(tmp_path):
    with pytest.raises(GpusUnavailable):
        GpuLeases.take(4, GPUS, tmp_path)
    assert GpuLeases.take(3, GPUS, tmp_path).uuids == tuple(GPUS)


def test_a_host_without_gpus_says_so(tmp_path):
    with pytest.raises(GpusUnavailable, match="--gpus all: of the 0 GPUs"):
        GpuLeases.take(None, [], tmp_path)


def test_a_lease_ends_with_the_process_that_has_it_however_that_ends(tmp_path):
    program = f"""
        import sys, time
        from pathlib import Path
        from deltanas.gpu_leases import GpuLeases
        leases = GpuLeases.take(None, {GPUS!r}, Path({str(tmp_path)!r}))
        print("leased", flush=True)
        time.sleep(60)
    """
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert other.stdout.readline() == "leased\n"
    with pytest.raises(GpusUnavailable):
        GpuLeases.take(1, GPUS, tmp_path)
    other.kill()
    other.wait()
    assert GpuLeases.take(3, GPUS, tmp_path).uuids == tuple(GPUS)


def test_a_lock_that_is_no_file_of_ours_is_no_way_to_other_files(tmp_path):
    treasure = tmp_path / "treasure"
    treasure.write_text("kept")
    (tmp_path / f"deltanas-{GPUS[0]}.lock").symlink_to(treasure)
    assert GpuLeases.take(None, GPUS, tmp_path).uuids == tuple(GPUS[1:])
    assert treasure.read_text() == "kept"
