"""The store of models for the command line: `python -m generator_svc.language_models.local HOME PID VERB …`.

What happens is told on standard output, a JSON object a line: `progress` any number of times, then one of
`model`, `models`, `problem`. It ends with process PID, and leaves no half model behind.
"""

import argparse
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from generator_svc.language_models.local.adding import add_model
from generator_svc.language_models.local.description import ModelRefused, Progress
from generator_svc.language_models.local.origins import read_origin
from generator_svc.language_models.local.process_ties import end_with_starter
from generator_svc.language_models.model_store import (
    ModelDamaged,
    ModelExists,
    ModelStore,
    ModelUnknown,
    NameInvalid,
    StoredModel,
)

_PLATFORMS = frozenset(
    {
        "library_missing",
        "download_failed",
        "hub_unreachable",
        "out_of_memory",
        "disk_full",
        "conversion_failed",
    }
)
"""Refusals that are no mistake of the user's."""


def main() -> None:
    """Do what the arguments say; exit code 1 after a `problem`."""
    arguments = _arguments()
    end_with_starter(arguments.starter)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt_once)
    try:
        _tell(_do(arguments))
    except ModelRefused as error:
        sys.exit(_complain(error.code, str(error), error.remedy, error.code in _PLATFORMS))
    except ModelUnknown as error:
        known = f"There are: {', '.join(error.known)}." if error.known else "None has been added yet."
        sys.exit(_complain("model_unknown", f"{error} {known}", "`deltanas models list` lists them."))
    except ModelExists as error:
        remedy = "Give another --name, or `deltanas models remove` the one there is."
        sys.exit(_complain("model_exists", str(error), remedy))
    except NameInvalid as error:
        sys.exit(_complain("name_invalid", str(error), "Choose a --name."))
    except ModelDamaged as error:
        remedy = "Remove the model and add it again."
        sys.exit(_complain("model_damaged", str(error), remedy, platforms=True))
    except OSError as error:
        remedy = "Free some disk space, or let this user write under DELTANAS_HOME."
        sys.exit(_complain("home_unwritable", f"The store of models: {error}", remedy, platforms=True))
    except KeyboardInterrupt:
        sys.exit(130)


def _interrupt_once(*_: object) -> None:
    """A terminal interrupts us and our starter, who then ends us: clearing away must not be cut off."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _do(arguments: argparse.Namespace) -> dict[str, Any]:
    store = ModelStore(arguments.home)
    match arguments.verb:
        case "list":
            return _listed(store)
        case "show":
            return {"model": _document(store.read(arguments.name))}
        case "remove":
            store.remove(arguments.name)
            return {"model": {"name": arguments.name}}
    origin = read_origin(arguments.asked, arguments.path, arguments.name)
    return {
        "model": _document(add_model(store, origin, arguments.wheel, arguments.load_in_4bit, _tell_progress))
    }


def _listed(store: ModelStore) -> dict[str, Any]:
    """Every model; of those whose manifest cannot be read the names."""
    models, damaged = [], []
    for name in store.names():
        try:
            models.append(_document(store.read(name)))
        except (ModelDamaged, ModelUnknown):  # or it was removed just now
            damaged.append(name)
    return {"models": models, "damaged": damaged}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("starter", type=int)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list")
    for verb in ("show", "remove"):
        verbs.add_parser(verb).add_argument("name")
    add = verbs.add_parser("add")
    add.add_argument("asked")
    add.add_argument("--from", dest="path", type=Path)
    add.add_argument("--name")
    add.add_argument("--wheel", type=Path)
    add.add_argument("--load-in-4bit", action="store_true")
    return parser.parse_args()


def _document(stored: StoredModel) -> dict[str, Any]:
    return {**asdict(stored.manifest), "folder": str(stored.folder)}


def _tell_progress(progress: Progress) -> None:
    _tell({"progress": asdict(progress)})


def _tell(document: dict[str, Any]) -> None:
    print(json.dumps(document, ensure_ascii=True), flush=True)


def _complain(code: str, detail: str, remedy: str, platforms: bool = False) -> int:
    _tell({"problem": {"code": code, "detail": detail, "remedy": remedy}, "platforms_fault": platforms})
    return 1


if __name__ == "__main__":
    main()
