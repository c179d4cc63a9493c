"""Where a training is, on disk: weights and optimizer as safetensors, the rest as JSON, never a pickle.

The order of chats and the draws of dropout depend on seed and step alone, so a step's number is all that is
kept of them.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from generator_svc.fine_tuning.durable_files import remove_folder, write_file, write_folder
from generator_svc.fine_tuning.learning import Validations
from generator_svc.fine_tuning.trainer.learner import Learner

Tensors = dict[str, torch.Tensor]
STATE = "state.json"
TENSORS = "tensors.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Position:
    """How far a training is, besides its tensors."""

    step: int = 0
    validations: Validations = field(default_factory=Validations)
    trained_tokens: int = 0
    """Of answers, each counted as often as it was learnt from."""
    valid_rate_before: float | None = None


class Checkpoints:
    """The checkpoints of one job, of which the newest counts, and the weights of the best validation."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)

    def save(self, learner: Learner, position: Position) -> None:
        """Keep where the training is; older checkpoints are removed. Raises OSError."""
        tensors = {f"weights/{name}": weight for name, weight in learner.weights.items()}
        for name, weight in learner.weights.items():
            moments = learner.optimizer.state.get(weight, {})
            tensors |= {f"{moment}/{name}": moments[moment] for moment in MOMENTS if moment in moments}
        state = json.dumps(asdict(position)).encode()

        def fill(draft: Path) -> None:
            (draft / TENSORS).write_bytes(save(_plain(tensors)))
            (draft / STATE).write_bytes(state)

        newest = self._folder / f"step-{position.step:08d}"
        write_folder(newest, fill)
        self._remove_all_but(newest, self._best(position.validations.best_trained_step))

    def load(self, learner: Learner) -> Position | None:
        """Go back to the newest checkpoint; None where there is none. Raises OSError."""
        found = sorted(self._folder.glob("step-*"))
        if not found:
            return None
        tensors = load_file(found[-1] / TENSORS)
        state = json.loads((found[-1] / STATE).read_bytes())
        losses = state.pop("validations")
        position = Position(**state, validations=Validations(tuple(losses["steps"]), tuple(losses["losses"])))
        with torch.no_grad():
            for name, weight in learner.weights.items():
                weight.copy_(tensors[f"weights/{name}"])
                if f"{MOMENTS[0]}/{name}" in tensors:
                    learner.optimizer.state[weight] = {
                        "step": torch.tensor(float(position.step)),
                        **{moment: tensors[f"{moment}/{name}"].to(weight.device) for moment in MOMENTS},
                    }
        return position

    def save_best(self, learner: Learner, step: int) -> None:
        """Keep the weights as they are now as those of the best validation. Raises OSError."""
        write_file(self._best(step), save(_plain(learner.weights)))

    def load_best(self, learner: Learner, step: int) -> None:
        """Go back to the weights of the best validation. Raises OSError."""
        tensors = load_file(self._best(step))
        with torch.no_grad():
            for name, weight in learner.weights.items():
                weight.copy_(tensors[name])

    def _best(self, step: int | None) -> Path:
        return self._folder / ("none" if step is None else f"best-{step:08d}.safetensors")

    def _remove_all_but(self, *kept: Path) -> None:
        for path in self._folder.iterdir():
            if path in kept:
                continue
            if path.is_dir():
                remove_folder(path)
            else:
                path.unlink(missing_ok=True)


def _plain(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
