"""Every bench finds what it imports when it is run as a script, which no other test does."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHES = sorted((Path(__file__).parents[2] / "bench").glob("bench_*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("bench", BENCHES, ids=lambda bench: bench.stem)
def test_bench_finds_all_that_it_imports(bench):
    as_script = f"import runpy, sys; sys.path[0] = {str(bench.parent)!r}; runpy.run_path({str(bench)!r})"
    done = subprocess.run(
        [sys.executable, "-c", as_script], cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
