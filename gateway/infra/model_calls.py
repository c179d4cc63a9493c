"""Calls of language models on disk: written with the proposal that they led to, read back, summed.

Nothing here trusts what a model or an endpoint said: texts are bounded and storable, numbers plausible.
The text of a message is kept once in a search, since the slots of a batch often share theirs.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import case, func, select, true
from sqlalchemy.orm import Session, undefer

from contracts.names import MAX_DELTA_BYTES
from contracts.proposals import MAX_PARAMETER_NAME, MAX_PARAMETER_VALUE, MAX_PARAMETERS, ModelCall
from gateway.domain.model_budget import ModelSpending
from gateway.infra.search_tables import ModelCallRow, PromptTextRow, SlotRow
from gateway.infra.slot_rows import storable

MAX_CALLS = 32
"""Of one proposal; a proposer of ours makes at most five."""
MAX_MESSAGES = 32
MAX_MESSAGE_CHARACTERS = 256 * 1024
_NOTES = "$notes"
"""In the column `sampling`, beside what was sent: what else is known of a call. No parameter is called so."""
_REPAIR = "repair"
_DIAGNOSIS = "diagnosis"
_LARGEST = 2**53

Json = dict[str, Any]


def write_calls(session: Session, slot: SlotRow, calls: Sequence[ModelCall]) -> None:
    """Add calls for a slot after those it has, in the caller's transaction, which takes the slot's step."""
    known: set[str] = set()
    of_slot = select(func.count()).where(ModelCallRow.proposal_id == slot.proposal_id)
    first = session.scalar(of_slot) or 0
    for place, call in enumerate(calls[:MAX_CALLS], first):
        messages = [
            (storable(message.role, 20), storable(message.content, MAX_MESSAGE_CHARACTERS))
            for message in call.messages[:MAX_MESSAGES]
        ]
        session.add(_row(slot, place, call, [[role, _digest(text)] for role, text in messages]))
        for _, text in messages:
            _keep_text(session, slot.search_id, text, known)


def _row(slot: SlotRow, place: int, call: ModelCall, messages: list[list[str]]) -> ModelCallRow:
    return ModelCallRow(
        proposal_id=slot.proposal_id,
        place=place,
        search_id=slot.search_id,
        cycle=slot.cycle,
        role=storable(call.role, 20),
        model=storable(call.model, 200),
        adapter=call.adapter and storable(call.adapter, 200),
        prompt_version=storable(call.prompt_version, 60),
        messages=messages,
        sampling=_sampling(call.sampling) | _notes(call),
        answer=storable(call.answer, MAX_DELTA_BYTES),
        finish_reason=storable(call.finish_reason, 60),
        prompt_tokens=_count(call.prompt_tokens),
        completion_tokens=_count(call.completion_tokens),
        cost_usd=_amount(call.cost_usd),
        seconds=_amount(call.seconds) or 0.0,
    )


def _keep_text(session: Session, search_id: str, text: str, known: set[str]) -> None:
    digest = _digest(text)
    if digest in known:
        return
    known.add(digest)
    if session.get(PromptTextRow, (search_id, digest)) is None:
        session.add(PromptTextRow(search_id=search_id, sha256=digest, text=text))


def calls_of(session: Session, slot: SlotRow) -> list[Json]:
    """The calls of a slot in their order, as JSON, with the messages that were sent."""
    rows = session.scalars(
        select(ModelCallRow)
        .where(ModelCallRow.proposal_id == slot.proposal_id)
        .options(undefer(ModelCallRow.answer))
        .order_by(ModelCallRow.place)
    ).all()
    wanted = {digest for row in rows for _, digest in row.messages}
    texts = session.execute(
        select(PromptTextRow.sha256, PromptTextRow.text).where(
            PromptTextRow.search_id == slot.search_id, PromptTextRow.sha256.in_(wanted)
        )
    )
    by_digest = {row.sha256: row.text for row in texts}
    return [_call_document(row, by_digest) for row in rows]


def _call_document(row: ModelCallRow, texts: Mapping[str, str]) -> Json:
    sampling = dict(row.sampling)
    notes = sampling.pop(_NOTES, {})
    return {
        "role": row.role,
        "model": row.model,
        "adapter": row.adapter,
        "prompt_version": row.prompt_version,
        "messages": [{"role": role, "content": texts.get(digest, "")} for role, digest in row.messages],
        "sampling": sampling,
        "answer": row.answer,
        "finish_reason": row.finish_reason,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "cost_usd": row.cost_usd,
        "seconds": row.seconds,
        "tokens_estimated": notes.get("tokens_estimated", False),
        "weights": notes.get("weights"),
    }


def diagnoses_of(session: Session, proposal_ids: Iterable[str]) -> dict[str, str]:
    """By proposal id, what a model said was wrong before it proposed; the last one counts."""
    rows = session.execute(
        select(ModelCallRow.proposal_id, ModelCallRow.answer)
        .where(ModelCallRow.proposal_id.in_(list(proposal_ids)), ModelCallRow.role == _DIAGNOSIS)
        .order_by(ModelCallRow.proposal_id, ModelCallRow.place)
    )
    return {row.proposal_id: row.answer for row in rows}


def spending_by_cycle(
    session: Session, search_id: str, before: str | None = None
) -> dict[int, ModelSpending]:
    """What the models of a search have taken in each cycle that has called some.

    `before`: for proposals whose id comes before this one alone; ids sort as their places do.
    """
    calls = ModelCallRow
    unknown_tokens = case((calls.prompt_tokens.is_(None) | calls.completion_tokens.is_(None), 1), else_=0)
    rows = session.execute(
        select(
            calls.cycle,
            func.count(),
            func.sum(case((calls.role == _REPAIR, 1), else_=0)),
            func.coalesce(func.sum(calls.prompt_tokens), 0),
            func.coalesce(func.sum(calls.completion_tokens), 0),
            func.coalesce(func.sum(calls.cost_usd), 0.0),
            func.coalesce(func.sum(calls.seconds), 0.0),
            func.sum(unknown_tokens),
            func.sum(case((calls.cost_usd.is_(None), 1), else_=0)),
            func.coalesce(func.max(calls.prompt_tokens + calls.completion_tokens), 0),
            func.coalesce(func.max(calls.cost_usd), 0.0),
        )
        .where(calls.search_id == search_id, true() if before is None else calls.proposal_id < before)
        .group_by(calls.cycle)
        .order_by(calls.cycle)
    )
    return {
        row[0]: ModelSpending(
            calls=int(row[1]),
            repairs=int(row[2]),
            prompt_tokens=int(row[3]),
            completion_tokens=int(row[4]),
            cost_usd=float(row[5]),
            seconds=float(row[6]),
            calls_without_tokens=int(row[7]),
            calls_without_cost=int(row[8]),
            most_tokens=int(row[9]),
            highest_cost_usd=float(row[10]),
        )
        for row in rows
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _sampling(sampled: Mapping[str, Any]) -> Json:
    kept = [(storable(str(name), MAX_PARAMETER_NAME), value) for name, value in sampled.items()]
    plain = {name: _plain(value) for name, value in kept[:MAX_PARAMETERS]}
    return {name: value for name, value in plain.items() if name != _NOTES}


def _notes(call: ModelCall) -> Json:
    """What is kept of a call beside its columns; nothing of most calls."""
    notes: Json = {"tokens_estimated": True} if call.tokens_estimated else {}
    if call.weights is not None:
        notes["weights"] = {name: storable(str(told), 80) for name, told in asdict(call.weights).items()}
    return {_NOTES: notes} if notes else {}


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value, MAX_PARAMETER_VALUE)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _count(number: int | None) -> int | None:
    return None if number is None or not 0 <= number < _LARGEST else number


def _amount(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) or not 0 <= number < _LARGEST else number
