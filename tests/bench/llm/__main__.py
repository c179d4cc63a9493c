"""`make bench-llm MODEL=path-or-id`: runs a study, or goes on with one, and writes what it found.

PYTHONPATH=tests/bench python -m llm --model ID|FOLDER|FILE.gguf [--parts a,b,c,d] [--plan FILE.json]
    [--folder DIR] [--public-id ID] [--wheel FILE] [--publish]
"""

import argparse
import json
import os
import shutil
import sys
from datetime import datetime
from pathlib import Path

from deltanas.client import Client
from deltanas.errors import DeltanasError
from deltanas.home import Home
from deltanas.server import ServerNotReady, ServerNotStarted, use_server
from llm.corpus import ANSWERS, BASELINES, write_text
from llm.measuring import CORPUS, FIGURE, RESULTS, SECTION, Measuring
from llm.plan import PARTS, Plan, PlanInvalid
from llm.reading import PAGE, TABLE, JudgementUnknown, read_judgements
from llm.section import with_section
from llm.study import Study, StudyStopped, model_in_store, plain_name

ROOT = Path(__file__).resolve().parents[3]
_BAD_USAGE, _PLATFORM_FAILED, _INTERRUPTED = 2, 3, 130


def main() -> int:
    """The exit code: 0 measured, 2 bad usage, 3 stopped, 130 by ctrl-C; the same command goes on."""
    arguments = _arguments()
    try:
        parts, plan = _parts(arguments.parts), _plan(arguments.plan)
    except (PlanInvalid, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return _BAD_USAGE
    folder = arguments.folder or _usual_folder(arguments.public_id or arguments.model)
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["DELTANAS_HOME"] = str((folder / "home").absolute())
    try:
        _measure(arguments, plan, parts, folder)
    except (StudyStopped, DeltanasError, ServerNotStarted, ServerNotReady, JudgementUnknown) as error:
        print(f"{error}\nThe study stands in {folder}; the same command goes on.", file=sys.stderr)
        return _PLATFORM_FAILED
    except KeyboardInterrupt:
        print(f"The study stands in {folder}; the same command goes on.", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _measure(arguments: argparse.Namespace, plan: Plan, parts: str, folder: Path) -> None:
    home = Home.locate()
    _tell(f"looking for {arguments.model}, which is added if need be")
    model = model_in_store(arguments.model)
    public_id = arguments.public_id or model["source"]
    with use_server(home, _tell) as address, Client(address) as client:
        study = Study(client, plan, model["name"], _tell)
        study.prepare(arguments.wheel)
        Measuring(study, public_id, folder).run(parts)
    _tell(f"{folder / SECTION}, {RESULTS} and {CORPUS}/ are written")
    if arguments.publish:
        publish(folder, public_id)


def publish(folder: Path, public_id: str) -> None:
    """Into the documentation, and the corpus into the tests; judgements that stand there already stay."""
    slug = plain_name(public_id)
    figure = f"evidence-{slug}.svg"
    text = (folder / SECTION).read_text().replace(f"]({FIGURE})", f"]({figure})")
    page = ROOT / "docs" / "evidence.md"
    write_text(page, with_section(page.read_text(), public_id, text))
    corpus = ROOT / "tests" / "corpus" / slug
    copies = {folder / RESULTS: corpus / RESULTS, folder / FIGURE: ROOT / "docs" / figure}
    copies |= {folder / CORPUS / name: corpus / name for name in (ANSWERS, BASELINES)}
    table = corpus / TABLE
    if not table.exists() or read_judgements(table).is_untouched:
        copies |= {folder / CORPUS / name: corpus / name for name in (TABLE, PAGE)}
    for source, target in copies.items():
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    _tell(f"{page.relative_to(ROOT)} and {corpus.relative_to(ROOT)} are written")


def _arguments() -> argparse.Namespace:
    words = argparse.ArgumentParser(prog="make bench-llm", description="What a language model can do here.")
    words.add_argument("--model", required=True, help="a hub id, a model's folder, or a .gguf file")
    words.add_argument("--parts", default=",".join(PARTS), help="of a, b, c, d; default all")
    words.add_argument("--plan", type=Path, help="a JSON file with what shall be other than usual")
    words.add_argument(
        "--folder", type=Path, help="where the study stands; default in the user's data folder"
    )
    words.add_argument(
        "--public-id", help="the model's name in what is published; default where it came from"
    )
    words.add_argument("--wheel", type=Path, help="LEMUR's wheel, where it cannot be downloaded")
    words.add_argument("--publish", action="store_true", help="write docs/evidence.md and tests/corpus/ too")
    return words.parse_args()


def _parts(text: str) -> str:
    parts = text.replace(",", "").replace(" ", "")
    if not parts or set(parts) - set(PARTS):
        raise ValueError(f"--parts takes some of {', '.join(PARTS)}, not {text!r}")
    return parts


def _plan(file: Path | None) -> Plan:
    """Raises PlanInvalid, OSError, ValueError."""
    given = json.loads(file.read_text()) if file else {}
    if not isinstance(given, dict):
        raise PlanInvalid(f"{file} must hold a JSON object")
    return Plan().changed(given)


def _usual_folder(model: str) -> Path:
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "deltanas-bench-llm" / plain_name(Path(model).name)


def _tell(text: str) -> None:
    print(f"{datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
