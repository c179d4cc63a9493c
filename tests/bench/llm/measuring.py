"""Runs the parts that are asked for, and writes what came of each at once."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llm.applier import applier_summary, raw_answers
from llm.corpus import RawAnswer, json_lines, write_corpus, write_text
from llm.figure import study_figure
from llm.plan import Plan, SearchArm, ShareArm, digest
from llm.reading import TABLE, drawn, read_judgements, write_reading
from llm.records import ProposalRecord
from llm.search_arms import ArmRun, search_summary
from llm.section import section
from llm.study import Study
from llm.tokens import token_summary
from llm.valid_share import kin, share_summary

Json = dict[str, Any]

SUMMARIES, RESULTS, SECTION, FIGURE, CORPUS = (
    "summaries.json",
    "results.jsonl",
    "section.md",
    "figure.svg",
    "corpus",
)
SUMMARY_FORM = 1
"""Another one where summaries change their form: those of earlier runs are not read then."""
_LIBRARIES = ("torch", "transformers", "peft")


class Measuring:
    """The parts of one study, and the files that they fill."""

    def __init__(self, study: Study, public_id: str, folder: Path) -> None:
        """`public_id` names the model in everything that is published."""
        self._study = study
        self._plan: Plan = study.plan
        self._public_id = public_id
        self._folder = folder
        self._share_arms = [arm for arm in ShareArm if arm in self._plan.share_arms]
        self._shares: dict[ShareArm, list[ProposalRecord]] = {}
        self._candidates: dict[ShareArm, list[Json]] = {}
        self._stamp = digest([SUMMARY_FORM, self._plan.document, public_id, study.model])
        self._summaries = read_summaries(folder / SUMMARIES, self._stamp)
        self._lines = _read_proposals(folder / RESULTS) if self._summaries else {}

    def run(self, parts: str) -> dict[str, Json]:
        """Each part in its order; summaries of parts that ran earlier are kept."""
        steps: dict[str, Callable[[], Json]] = {
            "a": self._valid_share,
            "b": self._search_arms,
            "c": self._tokens,
            "d": self._applier,
        }
        for part in sorted(set(parts)):
            self._summaries[part] = steps[part]()
            self._write()
        return self._summaries

    def _valid_share(self) -> Json:
        records = {arm: self._arm(arm) for arm in self._share_arms}
        families = {one["name"]: one["family"] for one in self._study.baselines}
        related = kin(families, self._study.training_families())
        job = self._study.fine_tune()
        found = share_summary(records, related)
        return found | {
            "kin_baselines": sorted(related),
            "fine_tune": {name: job[name] for name in ("id", "result", "chats")},
        }

    def _tokens(self) -> Json:
        return token_summary({arm: self._arm(arm) for arm in self._share_arms}, self._plan.seed)

    def _applier(self) -> Json:
        baselines = {one["name"]: one for one in self._study.baselines}
        answers: list[RawAnswer] = []
        for arm in self._share_arms:
            if arm.form != "delta":
                continue
            self._arm(arm)
            answers += raw_answers(self._study.client, self._public_id, arm, self._candidates[arm], baselines)
        corpus, sources = self._folder / CORPUS, {}
        for answer in answers:
            sources[answer.baseline_sha256] = baselines[answer.baseline]["source"]
        write_corpus(corpus, answers, sources)
        sample = drawn(answers, self._plan.read_by_hand, self._plan.seed)
        write_reading(corpus, sample, sources)
        return applier_summary(answers) | {"reading": read_judgements(corpus / TABLE).document}

    def _search_arms(self) -> Json:
        runs = [self._arm_run(arm, seed) for seed in self._plan.search_seeds for arm in SearchArm]
        for arm in SearchArm:
            self._lines[arm.value] = [one.document for run in runs if run.arm is arm for one in run.records]
        return search_summary(runs, self._plan.candidates_per_cycle)

    def _arm(self, arm: ShareArm) -> list[ProposalRecord]:
        """What became of an arm of part a; asked for once."""
        if arm not in self._shares:
            search = self._study.share_search(arm)
            self._candidates[arm] = self._study.candidates(search)
            self._shares[arm] = self._study.records(
                arm.value, self._plan.seed, self._candidates[arm], try_copies=True
            )
            self._lines[arm.value] = [one.document for one in self._shares[arm]]
        return self._shares[arm]

    def _arm_run(self, arm: SearchArm, seed: int) -> ArmRun:
        search = self._study.arm_search(arm, seed)
        candidates = self._study.candidates(search)
        cycles = self._study.client.cycles(search["id"])
        records = self._study.records(arm.value, seed, candidates, try_copies=False)
        return ArmRun(
            arm,
            seed,
            cycles[0]["best_accuracy"],
            tuple(records),
            search["final"],
            tuple(cycle.get("adapter") for cycle in cycles[1:]),
        )

    def _write(self) -> None:
        study = {
            "model": self._public_id,
            "plan": self._plan.document,
            "versions": {name: importlib.metadata.version(name) for name in _LIBRARIES},
            "machine": f"{os.cpu_count()} cores ({platform.machine()})",
            "written": f"{datetime.now(UTC):%-d %B %Y}",
        }
        figure = study_figure(self._public_id, self._summaries)
        write_text(self._folder / SUMMARIES, _summaries_text(self._summaries, self._stamp))
        lines: Sequence[Json] = [one for found in self._lines.values() for one in found]
        summaries = [{"kind": "summary", "part": part, **one} for part, one in self._summaries.items()]
        write_text(self._folder / RESULTS, json_lines([{"kind": "study", **study}, *lines, *summaries]))
        write_text(self._folder / SECTION, section(study, self._summaries, FIGURE if figure else None))
        if figure:
            write_text(self._folder / FIGURE, figure)


def _read_proposals(file: Path) -> dict[str, list[Json]]:
    """The lines of an earlier run by arm: a part that runs alone leaves those of the others."""
    found: dict[str, list[Json]] = {}
    for line in file.read_text().splitlines() if file.exists() else ():
        document = json.loads(line)
        if document["kind"] == "proposal":
            found.setdefault(document["arm"], []).append(document)
    return found


def read_summaries(file: Path, stamp: str) -> dict[str, Json]:
    """Of an earlier run by part; none where that one measured under another plan, or another model."""
    found = json.loads(file.read_text()) if file.exists() else {}
    parts: dict[str, Json] = found["parts"] if found.get("stamp") == stamp else {}
    return parts


def _summaries_text(summaries: dict[str, Json], stamp: str) -> str:
    return json.dumps({"stamp": stamp, "parts": summaries}, indent=1) + "\n"
