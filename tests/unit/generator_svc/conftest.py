"""What several files of tests of the generator use."""

import pytest
from local_model_program import program
from model_folders import add_model_folder

from generator_svc.language_models.local import LocalLimits, LocalModels


@pytest.fixture
def models(tmp_path):
    """Makes LocalModels whose process is the program of the given body."""
    made = []

    def make(body: str, **limits) -> LocalModels:
        add_model_folder(tmp_path)
        made.append(LocalModels(tmp_path, LocalLimits(**limits), program(tmp_path, body)))
        return made[-1]

    yield make
    for models in made:
        models.close()
