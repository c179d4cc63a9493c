"""`make bench-load` measures what it says it does: its quick run, on a real gateway and each database."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from postgres_server import binaries

TESTS = Path(__file__).parents[1]


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_bench_of_load_tells_every_figure(tmp_path):
    places = os.pathsep.join(str(TESTS / name) for name in ("bench", "unit", "integration"))
    done = subprocess.run(
        [sys.executable, "-m", "load", "--quick", "--json", str(tmp_path / "figures.json")],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": places},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    databases = ["sqlite"] if binaries() is None else ["sqlite", "postgresql"]
    for name in databases:
        found = figures[name]
        assert all(step["accepted"] > 0 for step in found["submissions"]["steps"])
        assert 0 < found["queue"]["cancelled"] <= found["queue"]["depth"]
        listeners = found["listeners"]["listeners"]
        assert [found["listeners"][kind]["told"] for kind in ("together", "apart")] == [listeners] * 2
        assert found["dispatch"]["evaluations_per_second"] > 0
    assert len(databases) == 1 or "dispatch of one, p50" in figures["ratios"]
