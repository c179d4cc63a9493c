"""Keeps a study going on a server of its own: what an earlier run began is found again, the rest is begun.

The server's database is the record. A search is found by its name, which says all that was asked; a fine-tune
by its request; the evaluation of a copy by its tag. So a study may be killed at any time, and the server too.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deltanas.client import TERMINAL_STATES, Client
from llm.plan import Plan, SearchArm, ShareArm, search_request, share_request
from llm.records import ProposalRecord, proposal_record

Json = dict[str, Any]
Tell = Callable[[str], None]

LOOK_SECONDS = 5.0
_NAME = re.compile(r"[^a-z0-9._-]+")


class StudyStopped(Exception):
    """Something that waiting does not mend; the message says what, and what to do."""


def deltanas(*words: str) -> Json:
    """A command of the product, as it is typed; its JSON, or nothing. Raises StudyStopped."""
    command = [sys.executable, "-m", "deltanas", *words, "--json"]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise StudyStopped(f"`deltanas {' '.join(words)}` failed: {(ended.stderr or ended.stdout)[-800:]}")
    return json.loads(ended.stdout or "{}")


def model_in_store(asked: str) -> Json:
    """The model of a name, hub id, folder or GGUF file, added to this home if need be."""
    for model in deltanas("models", "list")["items"]:
        if asked in {model["name"], model["source"], f"local/{model['name']}"}:
            return model
    path = Path(asked).expanduser()
    if not path.exists():
        return deltanas("models", "add", asked)
    name = plain_name(path.stem if path.is_file() else path.resolve().name)
    for model in deltanas("models", "list")["items"]:
        if model["name"] == name:
            return model
    return deltanas("models", "add", name, "--from", str(path))


def plain_name(text: str) -> str:
    """For files and the store: lower-case letters, digits, dots and dashes."""
    return _NAME.sub("-", text.lower()).strip("-.") or "model"


class Study:
    """One study of one model. Everything it asks for is asked once, however often it runs."""

    def __init__(self, client: Client, plan: Plan, model: str, tell: Tell) -> None:
        self.client = client
        self.plan = plan
        self.model = model
        self._tell = tell
        self._baselines: list[Json] = []
        self._searches: list[Json] | None = None
        self._adapter: tuple[str | None] | None = None

    # --- what a study needs ---------------------------------------------------------------------

    def prepare(self, wheel: Path | None) -> None:
        """The data set, and the networks that pairs are made of."""
        if not any(found["name"] == self.plan.dataset and found["ready"] for found in self.client.datasets()):
            self._tell(f"preparing {self.plan.dataset}")
            deltanas("datasets", "prepare", self.plan.dataset)
        if not self.client.baselines(limit=1, origin="lemur", dataset=self.plan.pairs["dataset"]):
            self._tell("importing LEMUR's networks, which takes minutes")
            deltanas("baselines", "import", "lemur", *(["--wheel", str(wheel)] if wheel else ["--download"]))

    @property
    def baselines(self) -> list[Json]:
        """The networks that proposals start from, with their sources."""
        if not self._baselines:
            shipped = [found["name"] for found in self.client.baselines(origin="deltanas")]
            self._baselines = [self.client.baseline(name) for name in self.plan.baselines or shipped]
        return self._baselines

    @property
    def baseline_names(self) -> list[str]:
        """In the order of the plan."""
        return [found["name"] for found in self.baselines]

    def training_families(self) -> set[str]:
        """Of networks that pairs may be made of; more than those that train."""
        listed = self.client.baselines(origin="lemur", dataset=self.plan.pairs["dataset"])
        return {found["family"] for found in listed}

    # --- what it asks for -----------------------------------------------------------------------

    def tuned_adapter(self) -> str | None:
        """The adapter that is to be used after learning from pairs; None where learning made it no better."""
        if self._adapter is None:
            self._adapter = (self.fine_tune()["result"]["use"],)
        return self._adapter[0]

    def fine_tune(self) -> Json:
        """The one on pairs, ended. Raises StudyStopped where it fails."""
        asked = {"model": self.model, **self.plan.fine_tune, "training_pairs": self.plan.pairs}
        job = next((job for job in self._fine_tunes() if is_of(job, asked)), None)
        if job is None:
            self._tell("fine-tuning on pairs")
            job = self.client.start_fine_tune(**asked)
        told = ""
        while job["state"] not in TERMINAL_STATES:
            told = self._told(told, f"fine-tune {job['id']}: {_fine_tune_progress(job)}")
            job = self.client.fine_tune(job["id"], wait=LOOK_SECONDS)
        if job["state"] != "succeeded":
            raise StudyStopped(f"the fine-tune {job['id']} ended {job['state']}: {job['failure']}")
        return job

    def share_search(self, arm: ShareArm) -> Json:
        """The search of an arm of part a, ended."""
        adapter = self.tuned_adapter() if arm.is_tuned else None
        return self._ended(share_request(self.plan, arm, self.model, self.baseline_names, adapter))

    def arm_search(self, arm: SearchArm, seed: int) -> Json:
        """The search of an arm of part b, ended."""
        adapter = self.tuned_adapter() if self.plan.start_tuned and arm is not SearchArm.MUTATION else None
        request = search_request(self.plan, arm, seed, self.model, self.baseline_names, adapter)
        return self._ended(request)

    def candidates(self, search: Json) -> list[Json]:
        """All proposals of a search with their sources and calls, by cycle and slot."""
        listed = [found for found in self.client.candidates(search["id"]) if found["cycle"] > 0]
        ordered = sorted(listed, key=lambda found: (found["cycle"], found["slot"]))
        return [self.client.candidate(search["id"], found["proposal_id"]) for found in ordered]

    def records(
        self, arm: str, seed: int, candidates: Sequence[Json], try_copies: bool
    ) -> list[ProposalRecord]:
        """What became of an arm's proposals; with `try_copies` those left out as copies are trained, too."""
        copies: dict[str, Json] = {}
        if try_copies:
            found = [one for one in candidates if one["state"] == "duplicate"]
            copies = {one["proposal_id"]: self._tried(one) for one in found}
            for name, evaluation in copies.items():
                copies[name] = self.client.wait_for_evaluation(evaluation["id"])
        return [proposal_record(arm, seed, one, copies.get(one["proposal_id"])) for one in candidates]

    def _tried(self, candidate: Json) -> Json:
        """The evaluation of a copy, as its search would have made it."""
        tag = f"bench-llm:{candidate['proposal_id']}"
        known = self.client.tagged_evaluations(tag)
        if known and not _is_lost(known[0]):
            return known[0]
        return self.client.evaluate(
            baseline=candidate["parent"]["name"],
            delta=candidate["delta"],
            dataset=self.plan.dataset,
            train_images=self.plan.train_images,
            limits=self.plan.limits,
            seed=self.plan.seed,
            tags=[tag],
        )

    def _ended(self, request: Json) -> Json:
        search = self._found(request["name"])
        if search is None:
            self._tell(f"starting {request['name']}")
            search = self.client.start_search(**request)
            self._searches = None
        was_paused, told = False, ""
        while search["state"] not in TERMINAL_STATES:
            if search["state"] == "paused":
                if was_paused:
                    raise StudyStopped(f"{search['name']} ({search['id']}) is paused: {search['paused_by']}")
                self.client.resume_search(search["id"])
                was_paused = True
            told = self._told(told, f"{search['name']}: {_search_progress(search)}")
            time.sleep(LOOK_SECONDS)
            search = self.client.search(search["id"])
        if search["state"] != "succeeded":
            raise StudyStopped(
                f"{search['name']} ({search['id']}) ended {search['state']}: {search['failure']}; "
                "the same command starts it anew"
            )
        return search

    def _found(self, name: str) -> Json | None:
        """The newest search of a name that has not failed."""
        if self._searches is None:
            self._searches, cursor = [], None
            while True:
                page = self.client.searches(limit=200, cursor=cursor)
                self._searches += page["items"]
                cursor = page["next_cursor"]
                if not cursor:
                    break
        named = (one for one in self._searches if one["name"] == name)
        return next((one for one in named if one["state"] not in {"failed", "cancelled"}), None)

    def _fine_tunes(self) -> list[Json]:
        """Newest first."""
        return list(self.client.fine_tunes(limit=200)["items"])

    def _told(self, before: str, now: str) -> str:
        if now != before:
            self._tell(now)
        return now


def is_of(job: Json, asked: Json) -> bool:
    """Whether a fine-tune is the one that was asked for; those that failed are not."""
    given = job["request"]
    if job["state"] in {"failed", "cancelled"} or job["model"] != asked["model"] or job["search_id"]:
        return False
    pairs = given.get("training_pairs") or {}
    settings = {name: value for name, value in asked.items() if name not in {"model", "training_pairs"}}
    return all(pairs.get(name) == value for name, value in asked["training_pairs"].items()) and all(
        given.get(name) == value for name, value in settings.items()
    )


def _is_lost(evaluation: Json) -> bool:
    failure = evaluation["failure"] or {}
    return evaluation["state"] == "cancelled" or failure.get("reason") == "infrastructure"


def _fine_tune_progress(job: Json) -> str:
    progress = job["progress"] or {}
    at = f" step {progress.get('step')} of {progress.get('steps')}" if progress.get("steps") else ""
    return f"{job['phase'] or job['state']}{at}{' ' + job['waiting_for'] if job['waiting_for'] else ''}"


def _search_progress(search: Json) -> str:
    progress = search["progress"]
    waiting = f", waits: {progress['waiting_for']}" if progress["waiting_for"] else ""
    return f"cycle {progress['cycle']}, {progress['slots_done']} of {progress['slots_total']} slots{waiting}"
