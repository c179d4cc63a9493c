"""How fine-tuning jobs and their adapters look in JSON. Pure dictionaries."""

from dataclasses import asdict
from typing import Any

from contracts.fine_tuning import AdapterManifest
from gateway.domain.fine_tuning import FineTuneRecord
from gateway.schemas.search_document import timestamp

Document = dict[str, Any]


def fine_tune_document(record: FineTuneRecord) -> Document:
    """A job. Losses are nats per token of the answers, rates shares in [0, 1]."""
    request = record.request
    return {
        "id": record.id,
        "state": record.state.value,
        "phase": record.phase,
        "model": request.model,
        "parent_adapter": request.parent_adapter,
        "search_id": None if request.elites is None else request.elites.search_id,
        "after_cycle": record.after_cycle,
        "request": {
            **request.settings,
            "elites": None if request.elites is None else asdict(request.elites),
            "training_pairs": None if request.pairs is None else asdict(request.pairs),
            "pairs": None if request.given is None else asdict(request.given),
        },
        "chats": record.chats,
        "progress": record.progress,
        "retries": record.retries,
        "retry_at": timestamp(record.retry_at),
        "waiting_for": record.waiting_for,
        "failure": None if record.failure is None else asdict(record.failure),
        "result": None if record.result is None else asdict(record.result),
        "adapter": record.id if record.has_adapter else None,
        "created_at": timestamp(record.created_at),
        "started_at": timestamp(record.started_at),
        "finished_at": timestamp(record.finished_at),
    }


def adapter_document(manifest: AdapterManifest, record: FineTuneRecord) -> Document:
    """An adapter: its manifest, and the search whose elites it learnt from."""
    elites = record.request.elites
    return {
        **asdict(manifest),
        "search_id": None if elites is None else elites.search_id,
        "after_cycle": record.after_cycle,
    }
