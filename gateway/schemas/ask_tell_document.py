"""How a task looks to the agent that asked for it, and what it hears of its answer. Pure dictionaries."""

from dataclasses import asdict
from urllib.parse import quote

from contracts.proposals import ProposalSlot
from contracts.slot_prompts import SlotPrompt
from gateway.domain.ask_tell import Lease
from gateway.domain.candidate import Slot
from gateway.domain.search import SearchRecord
from gateway.schemas.search_document import Document, timestamp


def task_document(
    search: SearchRecord, slot: Slot, asked: ProposalSlot, lease: Lease, prompt: SlotPrompt | None
) -> Document:
    """A task with all that a proposer of the platform's own would be told of its slot."""
    request = search.request
    url = f"/v1/searches/{quote(search.id, safe='')}"
    return {
        **lease_document(lease),
        "cycle": slot.cycle,
        "slot": slot.slot,
        "seed": asked.seed,
        "baseline": {
            "name": slot.parent_name,
            "proposal_id": slot.parent_id,
            "source": asked.baseline_source,
            "accuracy": asked.baseline_accuracy,
        },
        "dataset": request.dataset,
        "evaluation": {
            "epochs": request.epochs,
            "train_images": request.train_images,
            "threads": request.threads,
            "device": request.device,
            "limits": asdict(request.limits),
        },
        "form": "any",
        "edits": asdict(request.edits),
        "deployment": asdict(request.deployment),
        "history": [asdict(past) for past in asked.history],
        "prompt": None if prompt is None else _prompt_document(prompt),
        "tell_url": f"{url}:tell",
        "heartbeat_url": f"{url}:heartbeat",
        "release_url": f"{url}:release",
    }


def lease_document(lease: Lease) -> Document:
    """A lease alone: the answer to a heartbeat and to a release."""
    return {
        "task_id": lease.task_id,
        "search_id": lease.search_id,
        "proposal_id": lease.proposal_id,
        "agent": lease.agent,
        "lease_seconds": lease.lease_seconds,
        "lease_expires_at": timestamp(lease.expires_at),
        "told_at": timestamp(lease.told_at),
    }


def _prompt_document(prompt: SlotPrompt) -> Document:
    return {"version": prompt.prompt_version, "messages": [asdict(message) for message in prompt.messages]}


def told_document(lease: Lease, candidate: Document | None) -> Document:
    """What became of an answer so far. `lease_had_lapsed`: it was accepted although it came late."""
    return {
        "task_id": lease.task_id,
        "told_at": timestamp(lease.told_at),
        "lease_had_lapsed": lease.was_told_late,
        "candidate": candidate,
    }
