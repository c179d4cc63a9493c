"""Whoever sees a line of the probe finds it on the operators' page."""

from pathlib import Path

import pytest

from sandbox_runner.sandboxes import probe_checks

PAGE = (Path(probe_checks.__file__).parents[2] / "docs" / "operating-sandboxes.md").read_text()


@pytest.mark.parametrize("problem", [check.problem for check in probe_checks.CHECKS])
def test_every_problem_that_the_probe_can_find_is_explained(problem):
    assert f"`{problem}`" in PAGE
