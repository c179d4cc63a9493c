"""The benchmark's own modules, and pairs that need no download."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from delta_damage.edits import edited_pairs


@pytest.fixture(scope="session")
def pairs():
    return edited_pairs()
