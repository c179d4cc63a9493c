"""The base model of a job: where it lies in the operator's store, and who it is."""

import re
from dataclasses import dataclass
from pathlib import Path

from generator_svc.fine_tuning.trainer.failing import TrainingFailed
from generator_svc.language_models.model_store import ModelDamaged, ModelStore, ModelUnknown

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class ModelFolder:
    """A model in the form of transformers."""

    name: str
    path: Path
    source: str
    weights_sha256: str
    context_length: int

    @property
    def public_name(self) -> str:
        """What others know it by: its hub id, or the name it has here."""
        return self.source if HUB_ID.fullmatch(self.source) else self.name


def find_model(home: Path, name: str) -> ModelFolder:
    """The model of that name. Raises TrainingFailed."""
    try:
        stored = ModelStore(home).read(name)
    except ModelUnknown as error:
        raise TrainingFailed(
            "model_unknown",
            f"There is no model named {name!r} on this server. Known: {', '.join(error.known) or 'none'}.",
            "Add it with `deltanas models add`, and send the job again.",
            retryable=True,
        ) from error
    except ModelDamaged as error:
        raise TrainingFailed(
            "model_not_loadable", str(error), "Remove the model and add it again."
        ) from error
    manifest = stored.manifest
    return ModelFolder(name, stored.folder, manifest.source, manifest.weights_sha256, manifest.context_length)
