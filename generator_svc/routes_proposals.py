"""`POST /v1/proposals`: proposals as they arrive. `POST /v1/prompts`: what a model would be told."""

import asyncio
import threading
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from typing import Any

from anyio import CancelScope, CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter

from contracts.problems import problem
from contracts.proposals import AnswerForm, Proposal, ProposalLine, ProposalRequest
from contracts.slot_prompts import SlotPrompt
from generator_svc.held_up import HeldUp
from generator_svc.language_models.departure import ASKER_LEFT
from generator_svc.prompts import assignment_of, proposal_prompt
from generator_svc.proposers import OptionsInvalid, Proposer
from generator_svc.request_checks import Refused, check_proposal_request

MAX_WAITING = 256
"""Requests for proposals that may wait for models at once; further ones wait for their turn."""
SIGN_OF_LIFE_SECONDS = 15.0
"""After so long without a line an empty one is sent: a model on a CPU takes minutes for an answer."""

_LINE = TypeAdapter(ProposalLine)

ProposalLines = Generator[bytes, None, None]


def add_proposal_routes(app: FastAPI, proposers: Mapping[str, Proposer]) -> None:
    """Add the routes."""
    waiting = CapacityLimiter(MAX_WAITING)

    @app.post("/v1/proposals", response_class=StreamingResponse)
    def propose(request: ProposalRequest) -> StreamingResponse:
        """ProposalLines (NDJSON, empty lines mean nothing), each as soon as it is made.

        No slots: only whether it would work.

        What holds a proposer up is the last line; where there are no slots, it is a problem.
        """
        proposer = proposers.get(request.proposer)
        if proposer is None:
            raise Refused(_unknown_proposer(request.proposer, proposers))
        check_proposal_request(request)
        if not request.slots:
            proposer.check_options(request.options, request.adapter)
        lines = _proposal_lines(_begun(proposer, request))
        return StreamingResponse(_while_wanted(lines, waiting), media_type="application/x-ndjson")

    @app.post("/v1/prompts")
    def make_prompts(request: ProposalRequest) -> dict[str, list[SlotPrompt]]:
        """The prompt of each slot, as a language model would get it. The only option is `form`."""
        check_proposal_request(request)
        form = _form(request.options)
        prompts = [proposal_prompt(form, assignment_of(slot, request)) for slot in request.slots]
        return {
            "items": [
                SlotPrompt(slot.slot, prompt.version, prompt.messages)
                for slot, prompt in zip(request.slots, prompts, strict=True)
            ]
        }


def _begun(proposer: Proposer, request: ProposalRequest) -> Iterator[Proposal]:
    """The proposals to come. Raises OptionsInvalid now, and HeldUp only once they are asked for."""
    try:
        return proposer.propose(request)
    except HeldUp as held:
        return _held_up(held)


def _held_up(held: HeldUp) -> Iterator[Proposal]:
    raise held
    yield


def _proposal_lines(proposals: Iterator[Proposal]) -> ProposalLines:
    try:
        for proposal in proposals:
            yield _line(ProposalLine(proposal=proposal))
    except HeldUp as held:
        yield _line(ProposalLine(blocked=held.blocked))
    finally:
        close = getattr(proposals, "close", None)
        if close is not None:
            close()


def _line(line: ProposalLine) -> bytes:
    return _LINE.dump_json(line) + b"\n"


async def _while_wanted(lines: ProposalLines, limiter: CapacityLimiter) -> AsyncIterator[bytes]:
    """The lines, made in threads, and empty ones while a model takes its time.

    These threads are not those of other requests, which need not wait until a model has answered. A client
    who leaves ends the work: models look whether somebody still asks.
    """
    making = None
    left = threading.Event()
    ASKER_LEFT.set(left)
    try:
        while True:
            making = asyncio.ensure_future(run_sync(next, lines, None, limiter=limiter))
            while not (await asyncio.wait({making}, timeout=SIGN_OF_LIFE_SECONDS))[0]:
                yield b"\n"
            line = making.result()
            if line is None:
                break
            yield line
    finally:
        left.set()
        with CancelScope(shield=True):
            if making is not None:
                await asyncio.wait({making})
            await run_sync(lines.close)


def _form(options: Mapping[str, Any]) -> AnswerForm:
    unknown = next((str(key)[:60] for key in options if key != "form"), None)
    if unknown is not None:
        message = f"unknown option {unknown!r}"
        raise OptionsInvalid(f"options.{unknown}", message, "Known options: form.")
    form = options.get("form", AnswerForm.DELTA)
    if form not in list(AnswerForm):
        remedy = f"Use one of: {', '.join(AnswerForm)}."
        raise OptionsInvalid("options.form", "is no form of an answer", remedy, form)
    return AnswerForm(form)


def _unknown_proposer(name: str, proposers: Mapping[str, Proposer]) -> dict[str, Any]:
    known = ", ".join(sorted(proposers))
    return problem(
        422,
        "unknown_proposer",
        f"No proposer has this name. Known: {known}.",
        field="proposer",
        value=name,
        remedy=f"Use one of: {known}.",
    )
