"""Evaluations: one architecture is trained and scored."""

import time
from collections.abc import Callable
from typing import Any

from deltanas.errors import StillRunning
from deltanas.resources.resource import LONG_POLL_SECONDS, TERMINAL_STATES, Json, Resource, part, waiting


class EvaluationCalls(Resource):
    """`/v1/evaluations`."""

    def evaluate(self, *, dataset: str, **request: Any) -> Json:
        """Submit one evaluation and give it as accepted, usually `queued`.

        `request` has `source`, or `baseline` (a name) or `baseline_source`, with or without `delta`; and
        any of epochs, seed, seeds, train_images, hyperparameters, limits, threads, device, integrity,
        minimum_tier, minimum_gpu_memory_bytes, priority, tags, reuse, callback_url (told when it ends, see
        docs/webhooks.md). While no agent that is there can run it, `waiting_for` of the answer says why.
        """
        return self._transport.json("POST", "/v1/evaluations", json={"dataset": dataset, **request})

    def evaluation(self, evaluation_id: str, wait: float = 0) -> Json:
        """Read one evaluation; with `wait`, at most 20 seconds later, as soon as it has ended."""
        path = f"/v1/evaluations/{part(evaluation_id)}"
        return self._transport.json("GET", path, params=waiting(wait))

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
            patience = 1 if on_progress else LONG_POLL_SECONDS
            evaluation = self.evaluation(evaluation_id, wait=max(0.1, min(left, patience)))

    def cancel_evaluation(self, evaluation_id: str) -> Json | None:
        """End an evaluation; it becomes `cancelled` unless it has ended already."""
        return self._transport.json("DELETE", f"/v1/evaluations/{part(evaluation_id)}")

    def tagged_evaluations(self, tag: str) -> list[Json]:
        """All evaluations that bear a tag, newest first."""
        return self._all("/v1/evaluations", None, {"tag": tag, "limit": 200})
