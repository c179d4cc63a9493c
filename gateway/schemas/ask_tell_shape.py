"""How tasks and leases look in answers; `ask_tell_document` makes them."""

from typing import Annotated, Literal

from pydantic import Field

from contracts.chats import ChatMessage
from contracts.measurements import Limits
from contracts.proposals import DeploymentLimits, EditPermissions, PastTry
from gateway.schemas.candidate_shape import WholeCandidateDocument
from gateway.schemas.shape import Count, Moment, ProposalId, SearchId, Seconds, Shape, Share, TaskId


class LeaseDocument(Shape):
    """A task in the hands of an agent."""

    task_id: TaskId
    search_id: SearchId
    proposal_id: ProposalId
    agent: str
    """As the agent names itself; may be empty."""
    lease_seconds: Seconds
    """What a heartbeat extends it to, from then on."""
    lease_expires_at: Moment
    told_at: Moment | None


class TaskBaselineDocument(Shape):
    """The network that a delta starts from."""

    name: str | None
    proposal_id: ProposalId | None
    source: str
    accuracy: Share | None
    """In this search, on the selection half."""


class TaskEvaluationDocument(Shape):
    """How an answer will be measured."""

    epochs: Count
    train_images: Count | None
    """Null: all."""
    threads: Count
    device: Annotated[str, Field(examples=["cpu"])]
    limits: Limits


class PromptDocument(Shape):
    """The chat that a model of the platform's own would get."""

    version: Annotated[str, Field(examples=["delta_v2"])]
    messages: list[ChatMessage]


class TaskDocument(LeaseDocument):
    """A task with all that a proposer would be told of its slot."""

    cycle: Count
    slot: Count
    seed: Count
    """Of 63 bits, as the search derives it: one search with one seed repeats it."""
    baseline: TaskBaselineDocument
    dataset: str
    evaluation: TaskEvaluationDocument
    form: Literal["any"]
    """A delta or a whole source may be told."""
    edits: EditPermissions
    deployment: DeploymentLimits
    history: list[PastTry]
    """What was tried before, oldest first."""
    prompt: PromptDocument | None
    tell_url: Annotated[str, Field(examples=["/v1/searches/se_0660e45623b96d15d2303adc6729:tell"])]
    heartbeat_url: str
    release_url: str


class AskDocument(Shape):
    """Tasks; or none, why, and when to ask again."""

    tasks: list[TaskDocument]
    reason: Literal["all_slots_leased", "search_at_work", "caller_left"] | None
    retry_after: Count | None
    """Seconds."""


class ToldDocument(Shape):
    """What became of an answer so far."""

    task_id: TaskId
    told_at: Moment | None
    lease_had_lapsed: bool
    """It was accepted although it came late."""
    candidate: WholeCandidateDocument
