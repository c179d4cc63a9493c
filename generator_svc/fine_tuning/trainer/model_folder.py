"""The base model of a job: where it lies in the operator's store, and what others know it by."""

import re
from pathlib import Path

from generator_svc.fine_tuning.trainer.failing import TrainingFailed
from generator_svc.language_models.model_store import ModelDamaged, ModelStore, ModelUnknown, StoredModel

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def find_model(home: Path, name: str) -> StoredModel:
    """The model of that name. Raises TrainingFailed."""
    try:
        return ModelStore(home).read(name)
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


def public_name(model: StoredModel) -> str:
    """Its hub id, or the name it has here."""
    manifest = model.manifest
    return manifest.source if HUB_ID.fullmatch(manifest.source) else manifest.name
