"""What an outside agent sends to `:ask`, `:tell`, `:heartbeat` and `:release`. Unknown fields are refused."""

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from contracts.names import MAX_DELTA_BYTES
from contracts.proposals import AnswerForm
from gateway.domain.ask_tell import DEFAULT_LEASE_SECONDS, LEASE_SECONDS, MAX_TASKS, AgentAnswer

_CLOSED = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True, use_attribute_docstrings=True)

AgentName = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,63})?$")]
TaskId = Annotated[str, Field(pattern=r"^tk_[0-9a-f]{1,40}$")]


def _bounded(text: str) -> str:
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_DELTA_BYTES:
        raise ValueError(f"it has {size} bytes; at most {MAX_DELTA_BYTES} are allowed")
    if not text.strip():
        raise ValueError("it is blank; to propose nothing, release the task")
    return text


AnswerText = Annotated[str, Field(max_length=MAX_DELTA_BYTES), AfterValidator(_bounded)]
"""A model's whole answer, prose included; the same bound as any proposal's."""


class AskBody(BaseModel):
    """How many open slots to lease, for whom, and for how long without a heartbeat."""

    model_config = _CLOSED

    tasks: Annotated[int, Field(strict=True, ge=1, le=MAX_TASKS)] = 1
    agent: AgentName = ""
    """Shown with the candidates that the agent makes, and counted by in diagnostics."""
    lease_seconds: Annotated[float, Field(strict=True, ge=LEASE_SECONDS[0], le=LEASE_SECONDS[1])] = (
        DEFAULT_LEASE_SECONDS
    )
    prompt: AnswerForm | None = AnswerForm.DELTA
    """Each task comes with the chat that a model would get, to answer in this form; null: without."""


class TaskBody(BaseModel):
    """One task, by the id that `:ask` gave it."""

    model_config = _CLOSED

    task_id: TaskId


class TellBody(TaskBody):
    """An answer: a `delta` of the task's baseline, or a whole `source`, and one line for people."""

    delta: AnswerText | None = None
    source: AnswerText | None = None
    summary: Annotated[str, Field(max_length=500)] = ""

    @model_validator(mode="after")
    def _one_answer(self) -> Self:
        if (self.delta is None) == (self.source is None):
            raise ValueError("send exactly one of delta and source")
        return self

    @property
    def answer(self) -> AgentAnswer:
        """The answer, in the domain's words."""
        if self.delta is not None:
            return AgentAnswer(AnswerForm.DELTA, self.delta, self.summary)
        return AgentAnswer(AnswerForm.SOURCE, self.source or "", self.summary)
