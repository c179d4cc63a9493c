"""What a caller may ask of a search, with its ranges. Unknown fields, NaN and infinity are refused."""

import json
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, JsonValue, field_validator

from contracts.names import Integrity, IsolationTier
from gateway.domain.feedback import MAX_WINDOW
from gateway.domain.novelty import DEFAULT_PENALTY, CopyPolicy, NoveltyRules, NoveltyScope
from gateway.domain.rerun import MAX_REPLICATE_SEEDS, MAX_RERUNS_PER_CYCLE
from gateway.domain.search import (
    MAX_BASELINES,
    MAX_CANDIDATES_PER_CYCLE,
    MAX_CYCLES,
    MAX_FINAL_SEEDS,
)
from gateway.schemas.deployment_body import MAX_COUNT, DeploymentBody
from gateway.schemas.edits_body import EditsBody
from gateway.schemas.evaluation_body import BaselineName, GpuMemory, LimitsBody, Name, Seed, Threads
from gateway.schemas.fine_tune_body import AdapterId, FineTunePlanBody
from gateway.schemas.webhook_body import WebhookUrl

MAX_OPTIONS_BYTES = 16 * 1024

_CLOSED = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True, use_attribute_docstrings=True)


class ProposerBody(BaseModel):
    """Who fills the slots, and its own options."""

    model_config = _CLOSED

    kind: Name = "mutation"
    options: dict[str, JsonValue] = Field(default_factory=dict)

    @field_validator("options")
    @classmethod
    def _plain_and_small(cls, options: dict[str, JsonValue]) -> dict[str, JsonValue]:
        try:
            # As UTF-8: JSON's escapes can carry what has no encoding, and then nobody could read it again.
            size = len(json.dumps(options, allow_nan=False, ensure_ascii=False).encode())
        except (ValueError, RecursionError) as error:
            raise ValueError("options must be plain JSON in Unicode, without NaN or infinity") from error
        if size > MAX_OPTIONS_BYTES:
            raise ValueError(f"options have {size} bytes of JSON; at most {MAX_OPTIONS_BYTES} are allowed")
        return options


class FeedbackBody(BaseModel):
    """What a proposer is shown of earlier tries. `window`: how many, failures included; 0 shows none."""

    model_config = _CLOSED

    window: Annotated[int, Field(strict=True, ge=0, le=MAX_WINDOW)] = 0


class ModelBudgetBody(BaseModel):
    """What a search's language models may spend. At most one batch of proposals more is spent than this."""

    model_config = _CLOSED

    max_tokens: Annotated[int, Field(strict=True, ge=1, le=MAX_COUNT)] | None = None
    """Of prompts and answers together."""
    max_cost_usd: Annotated[FiniteFloat, Field(gt=0, le=1e9)] | None = None
    """By the prices that the operator has given the endpoint."""
    max_calls: Annotated[int, Field(strict=True, ge=1, le=MAX_COUNT)] | None = None


class NoveltyBody(BaseModel):
    """With what candidates are compared, when one is a copy, and what becomes of it."""

    model_config = _CLOSED

    scopes: Annotated[list[NoveltyScope], Field(min_length=1, max_length=len(NoveltyScope))] = Field(
        default_factory=lambda: [NoveltyScope.SEARCH]
    )
    """`parent`, `search` (all that it has admitted), `corpus` (shipped and imported reference networks),
    `tenant` (all of the tenant's searches); each once."""
    policy: CopyPolicy = CopyPolicy.REJECT
    """`reject`: a copy is not evaluated; `flag`: it is, and says what it is like; `penalise`: moreover
    selection takes it for less accurate than it is."""
    threshold: Annotated[FiniteFloat, Field(gt=0, le=1)] = 0.90
    """Jaccard similarity from which an architecture counts as a copy."""
    penalty: Annotated[FiniteFloat, Field(gt=0, le=1)] = DEFAULT_PENALTY
    """Under `penalise`: the share of its accuracy that a copy loses in selection."""

    structure: Annotated[bool, Field(strict=True)] = False
    """Trace every candidate that is no equal text, in a sandbox, and compare what it computes."""

    @field_validator("scopes")
    @classmethod
    def _each_once(cls, scopes: list[NoveltyScope]) -> list[NoveltyScope]:
        if len(set(scopes)) < len(scopes):
            raise ValueError("each scope may be named once")
        return [scope for scope in NoveltyScope if scope in scopes]

    @property
    def rules(self) -> NoveltyRules:
        """As the search keeps them."""
        return NoveltyRules(tuple(self.scopes), self.policy, self.threshold, self.penalty, self.structure)


class ReplicatesBody(BaseModel):
    """Contenders are trained again before they become elites, and selection goes by a shrunken estimate."""

    model_config = _CLOSED

    seeds: Annotated[int, Field(strict=True, ge=1, le=MAX_REPLICATE_SEEDS)] = 2
    """Further runs of one contender."""
    budget: Annotated[int, Field(strict=True, ge=1, le=MAX_RERUNS_PER_CYCLE)]
    """Further runs of one cycle, all contenders together: what this costs at most."""


class AuditSampleBody(BaseModel):
    """A random few of every cycle are trained once more; selection never sees it."""

    model_config = _CLOSED

    candidates: Annotated[int, Field(strict=True, ge=1, le=MAX_CANDIDATES_PER_CYCLE)]
    """How many of a cycle."""
    epochs: Annotated[int, Field(strict=True, ge=1, le=100)] | None = None
    """How long; null: as long as the search trains."""


class SearchBody(BaseModel):
    """One search to run. `baselines`: names, or null for all that deltanas ships."""

    model_config = _CLOSED

    name: Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")] = "search"
    dataset: Name
    cycles: Annotated[int, Field(strict=True, ge=1, le=MAX_CYCLES)] = 3
    candidates_per_cycle: Annotated[int, Field(strict=True, ge=1, le=MAX_CANDIDATES_PER_CYCLE)] = 8
    seed: Seed = 0
    proposer: ProposerBody = Field(default_factory=ProposerBody)
    edits: EditsBody = Field(default_factory=EditsBody)
    """Where proposals may change their baseline; a delta that goes further is refused."""
    deployment: DeploymentBody = Field(default_factory=DeploymentBody)
    """What a candidate must keep to; one that does not is refused before it is trained."""
    feedback: FeedbackBody = Field(default_factory=FeedbackBody)
    model_budget: ModelBudgetBody = Field(default_factory=ModelBudgetBody)
    fine_tune: FineTunePlanBody | None = None
    """A local model learns from the elites as the search goes on; null: it stays as it is."""
    adapter: AdapterId | None = None
    """What a local model proposes with from the first cycle on; null: as it came."""
    baselines: Annotated[list[BaselineName], Field(min_length=1, max_length=MAX_BASELINES)] | None = None
    epochs: Annotated[int, Field(strict=True, ge=1, le=100)] = 1
    train_images: Annotated[int, Field(strict=True, ge=1, le=100_000_000)] | None = None
    """Cuts the training split; null = all."""
    limits: LimitsBody = Field(default_factory=LimitsBody)
    threads: Threads = 1
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:[0-9]{1,2})?)$")] = "cpu"
    minimum_tier: IsolationTier = IsolationTier.NAMESPACES
    minimum_gpu_memory_bytes: GpuMemory = 0
    """Each candidate runs on a GPU with at least so much memory; 0: on any."""
    integrity: Integrity = Integrity.STANDARD
    novelty: NoveltyBody = Field(default_factory=NoveltyBody)
    """With what candidates are compared, and what becomes of copies."""
    elites: Annotated[int, Field(strict=True, ge=1, le=200)] = 8
    """How many candidates are kept as parents."""
    replicates: ReplicatesBody | None = None
    """Contenders are trained again with further seeds; null: one run each decides."""
    audit_sample: AuditSampleBody | None = None
    """Random candidates are trained once more, for the instruments of the theory alone."""
    final_seeds: Annotated[int, Field(strict=True, ge=1, le=MAX_FINAL_SEEDS)] = 3
    """Fresh seeds on which the winner meets its baseline; 3 or more give a useful interval."""
    control: bool = False
    """Start a control arm as well: as many proposals, all from the baselines. It costs as much again."""
    callback_url: WebhookUrl | None = None
    """Where this one's events are posted, as docs/webhooks.md tells."""
