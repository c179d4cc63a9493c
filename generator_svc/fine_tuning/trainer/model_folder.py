"""Where a model of the operator's store lies, and who it is."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from generator_svc.fine_tuning.trainer.failing import TrainingFailed

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class ModelFolder:
    """A model in the form of transformers."""

    name: str
    path: Path
    source: str
    weights_sha256: str

    @property
    def public_name(self) -> str:
        """What others know it by: its hub id, or the name it has here."""
        return self.source if HUB_ID.fullmatch(self.source) else self.name


def find_model(home: Path, name: str) -> ModelFolder:
    """The model of that name. Raises TrainingFailed."""
    path = home / "models" / name
    try:
        manifest = json.loads((path / "manifest.json").read_bytes())
    except (OSError, ValueError) as error:
        raise TrainingFailed(
            "model_unknown",
            f"There is no model named {name!r} on this server.",
            "Add it with `deltanas models add`, and send the job again.",
            retryable=True,
        ) from error
    return ModelFolder(name, path, str(manifest.get("source", name)), str(manifest.get("weights_sha256", "")))
