"""The Python client: everything the HTTP API offers, as plain calls that give plain JSON.

    with Client() as client:
        evaluation = client.evaluate(source=text, dataset="fashion-mnist")
        print(client.wait_for_evaluation(evaluation["id"])["measurement"]["accuracy"])

Shapes are those of the HTTP API (/docs of a running server). It starts no server; the command line does.
"""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from deltanas.ask_tell import task_feed
from deltanas.dataset_upload import open_upload
from deltanas.errors import PlatformFailed, StillRunning
from deltanas.home import Home
from deltanas.transport import Event, Transport

Json = dict[str, Any]

_DEFAULT_ADDRESS = "http://127.0.0.1:8000"
_LONG_POLL_SECONDS = 15
_LONGEST_WAIT_SECONDS = 20
"""Of one question: an answer must come before the transport gives it up."""
_LARGEST_PAGE = 500
TERMINAL_STATES = frozenset({"succeeded", "failed", "cancelled"})


class Client:
    """A connection to one server. All errors are of `deltanas.errors`.

    `address` is `http://host:port` or `unix:/path.sock`; without one: DELTANAS_GATEWAY_ADDRESS, else the
    running server of DELTANAS_HOME, else http://127.0.0.1:8000.
    """

    def __init__(
        self, address: str | None = None, api_key: str | None = None, *, transport: Transport | None = None
    ) -> None:
        key = api_key or os.environ.get("DELTANAS_API_KEY")
        self._transport = transport or Transport(address or _usual_address(), key)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._transport.address

    # --- evaluations ---------------------------------------------------------------------------

    def evaluate(self, *, dataset: str, **request: Any) -> Json:
        """Submit one evaluation and give it as accepted, usually `queued`.

        `request` has `source`, or `baseline` (a name) or `baseline_source`, with or without `delta`; and
        any of epochs, seed, seeds, train_images, hyperparameters, limits, threads, device, integrity,
        minimum_tier, priority, tags, reuse.
        """
        return self._transport.json("POST", "/v1/evaluations", json={"dataset": dataset, **request})

    def evaluation(self, evaluation_id: str, wait: float = 0) -> Json:
        """Read one evaluation; with `wait`, up to that many seconds later, as soon as it has ended."""
        parameters = {"wait": wait} if wait else {}
        return self._transport.json("GET", f"/v1/evaluations/{_part(evaluation_id)}", params=parameters)

    def evaluations(self, limit: int = 50, cursor: str | None = None) -> Json:
        """One page of evaluations, newest first: {"items", "next_cursor"}."""
        return self._page("/v1/evaluations", limit, cursor)

    def wait_for_evaluation(
        self,
        evaluation_id: str,
        timeout: float | None = None,
        on_progress: Callable[[Json], None] | None = None,
    ) -> Json:
        """Wait until an evaluation has ended. Raises StillRunning after `timeout` seconds; it goes on then.

        `on_progress` gets the evaluation each time it is read.
        """
        give_up = time.monotonic() + (timeout if timeout is not None else float("inf"))
        evaluation = self.evaluation(evaluation_id)
        while True:
            if on_progress:
                on_progress(evaluation)
            if evaluation["state"] in TERMINAL_STATES:
                return evaluation
            left = give_up - time.monotonic()
            if left <= 0:
                raise StillRunning(f"{evaluation_id} is still {evaluation['state']} after {timeout:g} s")
            # Short waits while somebody watches, so that changes of phase are seen.
            patience = 1 if on_progress else _LONG_POLL_SECONDS
            evaluation = self.evaluation(evaluation_id, wait=max(0.1, min(left, patience)))

    def cancel_evaluation(self, evaluation_id: str) -> Json | None:
        """End an evaluation; it becomes `cancelled` unless it has ended already."""
        return self._transport.json("DELETE", f"/v1/evaluations/{_part(evaluation_id)}")

    # --- searches ------------------------------------------------------------------------------

    def start_search(self, **request: Any) -> Json:
        """Start a search: name, dataset, cycles, candidates_per_cycle, seed, proposer, baselines, …"""
        return self._transport.json("POST", "/v1/searches", json=request)

    def search(self, search_id: str) -> Json:
        """Read one search: state, progress, funnel, best and, when it has ended, final."""
        return self._transport.json("GET", f"/v1/searches/{_part(search_id)}")

    def searches(self, limit: int = 50, cursor: str | None = None) -> Json:
        """One page of searches, newest first: {"items", "next_cursor"}."""
        return self._page("/v1/searches", limit, cursor)

    def cycles(self, search_id: str) -> list[Json]:
        """All cycles of a search so far; cycle 0 are the baselines themselves."""
        return self._all(f"/v1/searches/{_part(search_id)}/cycles")

    def candidates(self, search_id: str) -> list[Json]:
        """All candidates of a search so far."""
        return self._all(f"/v1/searches/{_part(search_id)}/candidates")

    def elites(self, search_id: str) -> list[Json]:
        """The candidates kept for selection."""
        return self._all(f"/v1/searches/{_part(search_id)}/elites")

    def candidate(self, search_id: str, proposal_id: str) -> Json:
        """One candidate with its source and raw proposal."""
        return self._transport.json("GET", f"/v1/searches/{_part(search_id)}/candidates/{_part(proposal_id)}")

    def diagnostics(self, search_id: str) -> Json:
        """What became of a search's deltas: {"proposals", "delta_failures", "hunks", "repairs"}."""
        return self._transport.json("GET", f"/v1/searches/{_part(search_id)}/diagnostics")

    def search_events(self, search_id: str, after: str = "") -> Iterator[Event]:
        """Follow a search from its start, or `after` the id of an event.

        Kinds: state, cycle_started, slot, cycle_finished, finals_started, finished.
        """
        return self._transport.events(f"/v1/searches/{_part(search_id)}/events", after)

    def search_report(self, search_id: str) -> str:
        """The report of a search, one self-contained HTML page."""
        path = f"/v1/searches/{_part(search_id)}/report"
        return self._transport.send("GET", path, headers={"accept": "text/html"}).text

    def pause_search(self, search_id: str) -> Json:
        """Begin nothing new in a search until it is resumed."""
        return self._transport.json("POST", f"/v1/searches/{_part(search_id)}:pause")

    def resume_search(self, search_id: str) -> Json:
        """Go on with a paused search."""
        return self._transport.json("POST", f"/v1/searches/{_part(search_id)}:resume")

    def cancel_search(self, search_id: str) -> Json:
        """End a search; what it has measured stays."""
        return self._transport.json("POST", f"/v1/searches/{_part(search_id)}:cancel")

    # --- searches that an agent of one's own drives ---------------------------------------------

    def ask(
        self,
        search_id: str,
        tasks: int = 1,
        *,
        agent: str = "",
        lease_seconds: float | None = None,
        wait: float = 0,
        prompt: str | None = "delta",
    ) -> Json:
        """Lease up to `tasks` open slots of a search whose proposer is `external`: {"tasks", "retry_after"}.

        `wait` up to that many seconds, at most 20, for one that is free. Raises Conflict with the code
        `search_has_ended` once there is nothing more to propose. Each task has `baseline`, `edits`,
        `deployment`, `history`, `lease_expires_at`, and `prompt`: the chat that a language model would get
        to answer with a "delta" or a "source"; None leaves it out.
        """
        asked: Json = {"tasks": tasks, "agent": agent, "prompt": prompt}
        if lease_seconds is not None:
            asked["lease_seconds"] = lease_seconds
        return self._task_call(search_id, "ask", asked, wait)

    def tell(
        self,
        task: Json,
        *,
        delta: str | None = None,
        source: str | None = None,
        summary: str = "",
        wait: float = 0,
    ) -> Json:
        """Answer a task with a delta of its baseline or a whole source: {"candidate", …}.

        It is on disk then; with `wait`, up to 20 seconds later, as soon as it is judged, too. The same answer
        told again is the same; another one raises Conflict, `already_told`.
        """
        answer = {"delta": delta} if source is None else {"source": source, "delta": delta}
        told = {"task_id": task["task_id"], "summary": summary, **answer}
        return self._task_call(task["search_id"], "tell", told, wait)

    def heartbeat(self, task: Json) -> Json:
        """Hold a task for as long again. Raises Conflict when it is told, or in somebody else's hands."""
        return self._task_call(task["search_id"], "heartbeat", {"task_id": task["task_id"]})

    def release(self, task: Json) -> Json:
        """Give a task back, for others to ask for."""
        return self._task_call(task["search_id"], "release", {"task_id": task["task_id"]})

    def tasks(
        self,
        search_id: str,
        *,
        agent: str = "",
        lease_seconds: float | None = None,
        prompt: str | None = "delta",
    ) -> Iterator[Json]:
        """One task after the other until the search has ended; each is held while the loop is at it.

            for task in client.tasks(search_id):
                client.tell(task, delta=my_model(task["prompt"]["messages"]))

        Leaving the loop, by an error too, gives the task back that was not told.
        """
        return task_feed(
            partial(
                self.ask,
                search_id,
                agent=agent,
                lease_seconds=lease_seconds,
                wait=_LONG_POLL_SECONDS,
                prompt=prompt,
            ),
            self.heartbeat,
            self.release,
        )

    def _task_call(self, search_id: str, verb: str, document: Json, wait: float = 0) -> Json:
        parameters = {"wait": min(wait, _LONGEST_WAIT_SECONDS)} if wait else {}
        path = f"/v1/searches/{_part(search_id)}:{verb}"
        return self._transport.json("POST", path, json=document, params=parameters)

    # --- deltas and novelty --------------------------------------------------------------------

    def apply_delta(
        self,
        delta: str,
        *,
        baseline: str | None = None,
        baseline_source: str | None = None,
        edits: Json | None = None,
    ) -> Json:
        """Apply a delta to a baseline, by name or source: {"status", "reason", "source", …}.

        `edits` is {"only": [...], "never": [...]}: the regions that it may or must not change.
        """
        named: Json = {"baseline": baseline} if baseline is not None else {"baseline_source": baseline_source}
        if edits is not None:
            named["edits"] = edits
        return self._transport.json("POST", "/v1/deltas:apply", json={**named, "delta": delta})

    def novelty(self, source: str, **request: Any) -> Json:
        """Whether a source is new within `scope` (a search's id; default the baselines).

        Gives {"novel", "layer", "nearest"}.
        """
        return self._transport.json("POST", "/v1/novelty:check", json={"source": source, **request})

    def training_pairs(self, *, dataset: str, **request: Any) -> Iterator[Json]:
        """Make pairs (baseline → better network) to fine-tune a model on; gives each line of the answer.

        `request` has any of min_gain, at_least, pairs_per_network, max_pairs, mutation_pairs,
        validation_share, seed, fewest_lines, most_lines. A line has `progress`, `pair`, or last of all
        `summary`; without that one the pairs are not whole, and PlatformFailed is raised in its place.
        """
        for line in self._transport.lines("/v1/training-pairs", {"dataset": dataset, **request}):
            if "failed" in line:
                problem = line["failed"]
                raise PlatformFailed(str(problem.get("detail") or "the training pairs failed"), problem)
            yield line
            if "summary" in line:
                return
        raise PlatformFailed("the training pairs ended before their summary")

    # --- fine-tuning ---------------------------------------------------------------------------

    def start_fine_tune(self, *, model: str, **request: Any) -> Json:
        """Fine-tune a local model with LoRA: on the elites of `search_id`, on `training_pairs`, or on both.

        `training_pairs` is a mapping as `training_pairs()` takes it. `request` has any of parent_adapter,
        preset (`cpu` or `paper`), seed, rank, alpha, dropout, targets, learning_rate, epochs, max_steps,
        batch, accumulation, max_length, validation_share, evaluate_every, patience, probe, …
        """
        return self._transport.json("POST", "/v1/fine-tunes", json={"model": model, **request})

    def fine_tune(self, job_id: str, wait: float = 0) -> Json:
        """Read one fine-tune: state, phase, progress, result, failure; with `wait` as in `evaluation`."""
        parameters = {"wait": min(wait, _LONGEST_WAIT_SECONDS)} if wait else {}
        return self._transport.json("GET", f"/v1/fine-tunes/{_part(job_id)}", params=parameters)

    def fine_tunes(self, limit: int = 50, cursor: str | None = None) -> Json:
        """One page of fine-tunes, newest first: {"items", "next_cursor"}."""
        return self._page("/v1/fine-tunes", limit, cursor)

    def fine_tune_events(self, job_id: str, after: str = "") -> Iterator[Event]:
        """Follow a fine-tune from its start, or `after` the id of an event.

        Kinds: state, chats, phase, measured, step, validated, checkpoint, resumed, …, finished.
        """
        return self._transport.events(f"/v1/fine-tunes/{_part(job_id)}/events", after)

    def cancel_fine_tune(self, job_id: str) -> Json:
        """End a fine-tune; it becomes `cancelled` unless it has ended already."""
        return self._transport.json("DELETE", f"/v1/fine-tunes/{_part(job_id)}")

    def adapters(self) -> list[Json]:
        """All adapters, newest first, with where they come from and how they did."""
        return self._all("/v1/adapters")

    def adapter(self, adapter_id: str) -> Json:
        """One adapter's manifest."""
        return self._transport.json("GET", f"/v1/adapters/{_part(adapter_id)}")

    def adapter_file(self, adapter_id: str, name: str) -> Iterator[bytes]:
        """One file of an adapter, piece by piece."""
        return self._transport.download(f"/v1/adapters/{_part(adapter_id)}/files/{_part(name)}")

    def remove_adapter(self, adapter_id: str) -> None:
        """Remove an adapter. Raises Conflict while a fine-tune or a search needs it."""
        self._transport.json("DELETE", f"/v1/adapters/{_part(adapter_id)}")

    # --- what is here --------------------------------------------------------------------------

    def datasets(self) -> list[Json]:
        """All datasets, ready or not."""
        return self._all("/v1/datasets")

    def prepare_dataset(self, name: str) -> Json:
        """Begin to prepare a standard dataset; `datasets` tells when it is ready."""
        return self._transport.json("POST", f"/v1/datasets/{_part(name)}:prepare")

    def add_dataset(self, name: str, path: Path) -> Json:
        """Add one's own dataset from an .npz, a .zip, or a folder of images by class."""
        with open_upload(path) as content:
            return self._transport.upload("/v1/datasets", {"name": name}, content)

    def capabilities(self) -> Json:
        """What the runners offer: sandbox backends, slots, devices."""
        return self._transport.json("GET", "/v1/capabilities")

    # --- reference networks --------------------------------------------------------------------

    def baselines(self, limit: int | None = None, **filters: Any) -> list[Json]:
        """The reference networks, shipped ones first, at most `limit`; without their sources.

        `filters` has any of origin, dataset, family, accuracy_at_least, accuracy_at_most,
        parameters_at_most, contract, usable_on, name_contains, and sort (`name` or `accuracy`).
        """
        return self._all("/v1/baselines", limit, {"limit": _LARGEST_PAGE, **filters})

    def baseline(self, name: str) -> Json:
        """One reference network with its source, its recorded results and how it did in smoke runs."""
        return self._transport.json("GET", f"/v1/baselines/{_part(name)}")

    def baseline_facets(self) -> Json:
        """What imported networks can be filtered by: {"families": [{"value", "networks"}], …}."""
        return self._transport.json("GET", "/v1/baselines/facets")

    def import_baselines(self, origin: str, content: Iterator[bytes]) -> Json:
        """Send a file of reference networks, for `lemur` the wheel of nn-dataset; it is imported then."""
        return self._transport.upload("/v1/baselines:import", {"origin": origin}, content)

    def baseline_import(self, import_id: str, wait: float = 0) -> Json:
        """Read one import: state, progress, failure; with `wait` as in `evaluation`."""
        parameters = {"wait": wait} if wait else {}
        return self._transport.json("GET", f"/v1/baselines/imports/{_part(import_id)}", params=parameters)

    def start_smoke_run(self, *, dataset: str, **chosen: Any) -> Json:
        """Try imported networks on a dataset, two batches each; those that pass can start a search on it.

        `chosen` has any of names, origin, recorded_on, family, accuracy_at_least, accuracy_at_most,
        contract, name_contains, limit, again (try once more those that failed).
        """
        return self._transport.json("POST", "/v1/baselines:smoke", json={"dataset": dataset, **chosen})

    def smoke_run(self, run_id: str, wait: float = 0) -> Json:
        """Read one smoke run: state, progress, pass rate, failures by reason."""
        parameters = {"wait": wait} if wait else {}
        return self._transport.json("GET", f"/v1/baselines/smoke-runs/{_part(run_id)}", params=parameters)

    def smoke_run_networks(self, run_id: str, state: str | None = None) -> list[Json]:
        """The networks of a smoke run and what became of each, or those in one state."""
        filters = {} if state is None else {"state": state}
        return self._all(f"/v1/baselines/smoke-runs/{_part(run_id)}/networks", None, filters)

    def cancel_smoke_run(self, run_id: str) -> Json:
        """End a smoke run; what it has found out stays."""
        return self._transport.json("POST", f"/v1/baselines/smoke-runs/{_part(run_id)}:cancel")

    def tagged_evaluations(self, tag: str) -> list[Json]:
        """All evaluations that bear a tag, newest first."""
        return self._all("/v1/evaluations", None, {"tag": tag, "limit": 200})

    def _page(self, path: str, limit: int, cursor: str | None) -> Json:
        parameters: Json = {"limit": limit, **({"cursor": cursor} if cursor else {})}
        return self._transport.json("GET", path, params=parameters)

    def _all(self, path: str, limit: int | None = None, filters: Json | None = None) -> list[Json]:
        """All items of a list, page by page, or the first `limit` of them."""
        items: list[Json] = []
        parameters: Json = dict(filters or {})
        while limit is None or len(items) < limit:
            if limit is not None:
                parameters["limit"] = min(limit - len(items), _LARGEST_PAGE)
            page = self._transport.json("GET", path, params=parameters)
            items += page["items"]
            if not page.get("next_cursor"):
                break
            parameters["cursor"] = page["next_cursor"]
        return items


def _part(identifier: str) -> str:
    """One segment of a path, whatever characters it has."""
    return quote(identifier, safe="")


def _usual_address() -> str:
    chosen = os.environ.get("DELTANAS_GATEWAY_ADDRESS")
    if chosen:
        return chosen
    record = Home.locate().running_server()
    return record.address if record and record.address else _DEFAULT_ADDRESS
