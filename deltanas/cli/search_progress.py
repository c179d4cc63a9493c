"""Follows a search as it goes: a line for each slot that ends, and on a terminal a bar for the cycle."""

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from contracts.names import SlotState
from deltanas.cli.leaderboard import copy_sentence, short_id
from deltanas.cli.model_usage import stop_sentence
from deltanas.cli.output import accuracy, percent, plain
from deltanas.client import Client

Json = dict[str, Any]

_FINAL_SLOTS = frozenset(state.value for state in SlotState if state.is_final)
STOPPED_STATES = frozenset({"succeeded", "failed", "cancelled", "paused"})
_LOOK_AGAIN_SECONDS = 0.3
_MARKS = {
    "judged": ("✓", "green"),
    "duplicate": ("=", "dim"),
    "lost": ("?", "yellow"),
    "skipped": ("–", "dim"),
}


class SearchProgress:
    """Prints the story of one search. Use as a context manager; `follow` returns when the search stops."""

    def __init__(self, console: Console, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._seen: set[str] = set()
        self._best = -1.0
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._bar.add_task("search", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def follow(self, client: Client, search_id: str) -> Json:
        """Follow until the search has ended or pauses, and give it."""
        search, last_id = client.search(search_id), ""
        self._advance(search)
        while search["state"] not in STOPPED_STATES:
            for event in client.search_events(search_id, last_id):
                last_id = event.id
                self._tell(event.kind, event.data)
                if event.kind == "slot" and event.data.get("state") in _FINAL_SLOTS:
                    self._advance(client.search(search_id))
                if event.kind == "finished" or _has_stopped(event.kind, event.data):
                    break
            search = client.search(search_id)
            self._advance(search)
            time.sleep(0 if search["state"] in STOPPED_STATES else _LOOK_AGAIN_SECONDS)
        return search

    def _advance(self, search: Json) -> None:
        progress = search.get("progress") or {}
        done, total = progress.get("slots_done", 0), progress.get("slots_total", 0)
        cycle, cycles = progress.get("cycle", 0), progress.get("cycles", 0)
        stage = (
            "finals" if total and done >= total else f"cycle {cycle} of {cycles}" if cycle else "baselines"
        )
        waiting = f", waits for: {progress['waiting_for']}" if progress.get("waiting_for") else ""
        self._bar.update(self._task, completed=done, total=total, description=plain(f"{stage}{waiting}"))

    def _tell(self, kind: str, data: Json) -> None:
        if kind == "slot" and data.get("state") in _FINAL_SLOTS and data.get("proposal_id") not in self._seen:
            self._seen.add(str(data.get("proposal_id")))
            self._print(self._slot_line(data))
        elif kind == "cycle_finished" and data.get("best_accuracy") is not None:
            best, mean = percent(data["best_accuracy"]), percent(data.get("mean_accuracy"))
            name = f"cycle {data.get('cycle')}" if data.get("cycle") else "baselines"
            self._print(Text(f"{name} done: best {best}, mean {mean}", style="bold"))
        elif kind == "state":
            self._tell_state(data)

    def _tell_state(self, data: Json) -> None:
        """What the search waits for, and that its budget is spent."""
        if data.get("waiting_for"):
            self._print(Text(f"waits for: {plain(data['waiting_for'], limit=500)}", style="yellow"))
        elif stopped := stop_sentence(data):
            self._print(Text(plain(stopped), style="yellow"))

    def _slot_line(self, candidate: Json) -> Text:
        state = str(candidate.get("state"))
        mark, style = _MARKS.get(state, ("✗", "red"))
        line = Text.assemble((f"{mark} ", style), (f"{plain(short_id(candidate))}  ", "dim"))
        parent = candidate.get("parent")
        origin = (
            f"{parent['name']}: {candidate.get('summary') or ''}"
            if parent
            else str(candidate.get("name") or "")
        )
        line.append(f"{plain(origin, limit=76)}  ")
        if candidate.get("accuracy") is not None:
            line.append(
                accuracy(candidate["accuracy"], candidate.get("accuracy_standard_error")), style="bold"
            )
            if candidate["accuracy"] > self._best:
                self._best = candidate["accuracy"]
                line.append("  best so far", style="green")
            if likeness := candidate.get("likeness"):
                line.append(f"  {copy_sentence(likeness)}", style="yellow")
        else:
            line.append(_reason(candidate), style=style)
        return line

    def _print(self, line: Text) -> None:
        if not self._quiet:
            self._console.print(line)


def _has_stopped(kind: str, data: Json) -> bool:
    return kind == "state" and data.get("state") in STOPPED_STATES


def _reason(candidate: Json) -> str:
    if likeness := candidate.get("likeness"):
        return copy_sentence(likeness)
    if candidate.get("state") == "skipped":
        return "nothing proposed: the model budget is spent"
    failure = candidate.get("failure") or {}
    reason = plain(failure.get("reason") or candidate.get("state"), limit=40)
    message = plain(failure.get("message") or "", limit=100)
    return f"{reason}: {message}" if message else reason
