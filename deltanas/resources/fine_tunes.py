"""Fine-tunes of local models, and the adapters that come of them."""

from collections.abc import Iterator
from typing import Any

from deltanas.resources.resource import Json, Resource, part, waiting
from deltanas.transport import Event


class FineTuneCalls(Resource):
    """`/v1/fine-tunes` and `/v1/adapters`."""

    def start_fine_tune(self, *, model: str, **request: Any) -> Json:
        """Fine-tune a local model with LoRA: on the elites of `search_id`, on `training_pairs`, on `pairs`.

        `training_pairs` is a mapping as `training_pairs()` takes it; `pairs` a list of mappings with dataset,
        baseline (a name) or baseline_source, delta, and baseline_accuracy if known. `request` has any of
        parent_adapter, preset (`cpu` or `paper`), seed, rank, alpha, dropout, targets, learning_rate, epochs,
        max_steps, batch, accumulation, max_length, validation_share, evaluate_every, patience, quantization,
        probe, callback_url, …
        """
        return self._transport.json("POST", "/v1/fine-tunes", json={"model": model, **request})

    def fine_tune(self, job_id: str, wait: float = 0) -> Json:
        """Read one fine-tune: state, phase, progress, result, failure; with `wait` as in `evaluation`."""
        return self._transport.json("GET", f"/v1/fine-tunes/{part(job_id)}", params=waiting(wait))

    def fine_tunes(self, limit: int = 50, cursor: str | None = None) -> Json:
        """One page of fine-tunes, newest first: {"items", "next_cursor"}."""
        return self._page("/v1/fine-tunes", limit, cursor)

    def fine_tune_events(self, job_id: str, after: str = "") -> Iterator[Event]:
        """Follow a fine-tune from its start, or `after` the id of an event.

        Kinds: state, chats, phase, measured, step, validated, checkpoint, resumed, …, finished.
        """
        return self._transport.events(f"/v1/fine-tunes/{part(job_id)}/events", after)

    def cancel_fine_tune(self, job_id: str) -> Json:
        """End a fine-tune; it becomes `cancelled` unless it has ended already."""
        return self._transport.json("DELETE", f"/v1/fine-tunes/{part(job_id)}")

    def adapters(self) -> list[Json]:
        """All adapters, newest first, with where they come from and how they did."""
        return self._all("/v1/adapters")

    def adapter(self, adapter_id: str) -> Json:
        """One adapter's manifest."""
        return self._transport.json("GET", f"/v1/adapters/{part(adapter_id)}")

    def adapter_file(self, adapter_id: str, name: str) -> Iterator[bytes]:
        """One file of an adapter, piece by piece."""
        return self._transport.download(f"/v1/adapters/{part(adapter_id)}/files/{part(name)}")

    def remove_adapter(self, adapter_id: str) -> None:
        """Remove an adapter. Raises Conflict while a fine-tune or a search needs it."""
        self._transport.json("DELETE", f"/v1/adapters/{part(adapter_id)}")
