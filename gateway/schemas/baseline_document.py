"""How baselines, imports and smoke runs look in JSON. Pure dictionaries."""

from dataclasses import asdict
from typing import Any

from contracts.jobs import BaselineNetwork
from gateway.domain.baseline_import import ImportRecord
from gateway.domain.baseline_record import CataloguedBaseline
from gateway.domain.baseline_smoke import SmokeItem, SmokeRunRecord, SmokeState
from gateway.schemas.search_document import timestamp

Document = dict[str, Any]


def shipped_document(network: BaselineNetwork, *, whole: bool = False) -> Document:
    """A shipped baseline. `usable_on` is null: it needs no smoke evaluation."""
    return {**_network(network, whole), "parameters": None, "usable_on": None, "smoke": []}


def imported_document(baseline: CataloguedBaseline, *, whole: bool = False) -> Document:
    """An imported network, in lists without its source; `whole` with everything."""
    return {
        **_network(baseline.network, whole),
        "parameters": baseline.parameters,
        "usable_on": sorted(status.dataset for status in baseline.smokes if status.passed),
        "smoke": [asdict(status) for status in baseline.smokes],
    }


def _network(network: BaselineNetwork, whole: bool) -> Document:
    document: Document = {
        "name": network.name,
        "origin": network.origin,
        "family": network.family,
        "contract": network.contract,
        "description": network.description,
        "licence": network.licence,
        "hyperparameters": network.hyperparameters,
        "results": [asdict(result) for result in network.results],
    }
    if whole:
        return {**document, "source": network.source}
    for result in document["results"]:
        del result["hyperparameters"]
    return document


def import_document(record: ImportRecord) -> Document:
    """An import with its progress."""
    return {
        "id": record.id,
        "origin": record.origin,
        "state": record.state.value,
        "content_sha256": record.content_sha256,
        "size_bytes": record.size_bytes,
        "progress": {
            "total": record.total,
            "read": record.read,
            "stored": record.stored,
            "unchanged": record.unchanged,
            "refused": record.refused,
            "waiting_for": record.waiting_for,
        },
        "summary": record.summary,
        "failure": None if record.failure is None else asdict(record.failure),
        "created_at": timestamp(record.created_at),
        "started_at": timestamp(record.started_at),
        "finished_at": timestamp(record.finished_at),
    }


def smoke_run_document(record: SmokeRunRecord) -> Document:
    """A smoke run: `pass_rate` is passed / (passed + failed); what the platform lost is in no rate."""
    counts = record.counts
    return {
        "id": record.id,
        "dataset": record.dataset,
        "chosen": record.chosen,
        "state": record.state.value,
        "progress": {
            "total": counts.total,
            **{state.value: getattr(counts, state.value) for state in SmokeState},
            "reused": record.reused,
            "waiting_for": record.waiting_for,
        },
        "pass_rate": counts.pass_rate,
        "failures": [
            {"reason": tally.reason, "phase": tally.phase, "networks": tally.networks}
            for tally in counts.failures
        ],
        "created_at": timestamp(record.created_at),
        "finished_at": timestamp(record.finished_at),
    }


def smoke_item_document(item: SmokeItem) -> Document:
    """What became of one network of a run. `message` may quote the network: bounded, untrusted."""
    failed = item.reason is not None
    return {
        "place": item.place,
        "name": item.name,
        "state": item.state.value,
        "failure": {"reason": item.reason, "phase": item.phase, "message": item.message} if failed else None,
        "evaluation_id": item.evaluation_id,
        "reused": item.reused,
    }
