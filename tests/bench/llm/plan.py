"""How large a study is and what each arm asks of a search. Pure; every number of a study stands here."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

Json = dict[str, Any]

PARTS = "abcd"


class ShareArm(StrEnum):
    """The arms of part a: before and after fine-tuning on pairs, a delta or a whole source as the answer."""

    DELTA_BEFORE = "delta_before"
    DELTA_AFTER = "delta_after"
    SOURCE_BEFORE = "source_before"
    SOURCE_AFTER = "source_after"

    @property
    def form(self) -> str:
        """What the model is asked for."""
        return self.value.partition("_")[0]

    @property
    def is_tuned(self) -> bool:
        """Whether the model has learnt from pairs."""
        return self.value.endswith("_after")


class SearchArm(StrEnum):
    """The arms of part b."""

    FINE_TUNING = "fine_tuning"
    MEMORY = "feedback_memory"
    MUTATION = "mutation"
    BEST_OF_N = "best_of_n"


class PlanInvalid(ValueError):
    """A plan names what no plan has, or a number that makes no sense; the message says which."""


def _pairs() -> Json:
    return {"dataset": "cifar-10", "max_pairs": 6_000, "mutation_pairs": 2_000, "seed": 0}


def _novelty() -> Json:
    return {"threshold": 1.0, "structure": True}


def _fine_tune() -> Json:
    return {"preset": "cpu", "max_steps": 120, "max_length": 1_536, "seed": 0}


def _loop_fine_tune() -> Json:
    return {"every": 1, "preset": "cpu", "max_steps": 30, "evaluate_every": 10, "max_length": 1_536}


@dataclass(frozen=True)
class Plan:
    """All that decides what a study measures, besides the model."""

    dataset: str = "fashion-mnist"
    train_images: int = 2_000
    """So that an evaluation takes seconds."""
    limits: Json = field(default_factory=lambda: {"cpu_seconds": 120.0, "wall_seconds": 1_800.0})
    baselines: tuple[str, ...] = ()
    """Empty: the networks that deltanas ships."""
    seed: int = 0
    """Of part a's searches, of all draws and resamples."""
    delta_proposals: int = 100
    source_proposals: int = 40
    share_arms: tuple[str, ...] = tuple(ShareArm)
    """Of part a, and so of c and d: fewer where others are measured already."""
    delta_tokens: int = 512
    source_tokens: int = 1_280
    temperature: float = 0.35
    top_p: float = 0.9
    top_k: int = 50
    repairs: int = 1
    novelty: Json = field(default_factory=_novelty)
    """What counts as a copy, as a search has it. Usual is the same code or the same computation: by the
    likeness of texts alone most changes of one line would be copies of their baselines."""
    pairs: Json = field(default_factory=_pairs)
    """What the model learns from in part a, as `POST /v1/training-pairs` takes it."""
    fine_tune: Json = field(default_factory=_fine_tune)
    """How it learns, as `POST /v1/fine-tunes` takes it."""
    search_seeds: tuple[int, ...] = (0, 1, 2)
    """One paired repetition of part b each."""
    cycles: int = 4
    candidates_per_cycle: int = 12
    elites: int = 6
    final_seeds: int = 5
    loop_fine_tune: Json = field(default_factory=_loop_fine_tune)
    """How the fine-tuning arm learns after each cycle, as a search has it; from part a's adapter on."""
    window: int = 5
    """Tries that the arm with a memory is shown."""
    start_tuned: bool = True
    """Whether part b's models start from part a's adapter, all alike; false: as they came."""
    read_by_hand: int = 50

    def __post_init__(self) -> None:
        for name in ("train_images", "delta_proposals", "source_proposals", "cycles", "candidates_per_cycle"):
            if getattr(self, name) < 1:
                raise PlanInvalid(f"{name} must be 1 or more, not {getattr(self, name)}")
        unknown = sorted(set(self.share_arms) - set(ShareArm))
        if unknown or not self.share_arms:
            raise PlanInvalid(f"share_arms are some of {', '.join(ShareArm)}, not {list(self.share_arms)}")
        if not self.search_seeds or len(set(self.search_seeds)) < len(self.search_seeds):
            raise PlanInvalid(f"search_seeds must be different numbers, not {list(self.search_seeds)}")

        for name in ("rank", "alpha", "targets") if self.start_tuned else ():
            if self.fine_tune.get(name) != self.loop_fine_tune.get(name):
                raise PlanInvalid(
                    f"{name} must be the same in fine_tune and loop_fine_tune, which goes on from its adapter"
                )

    def changed(self, given: Mapping[str, Any]) -> "Plan":
        """This plan with what is given in place of its own. Raises PlanInvalid."""
        known = {one.name: getattr(self, one.name) for one in fields(self)}
        unknown = sorted(given.keys() - known.keys())
        if unknown:
            raise PlanInvalid(f"a plan has no {', '.join(unknown)}; it has {', '.join(known)}")
        taken = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        for name, value in taken.items():
            wanted = float if isinstance(known[name], float) else type(known[name])
            is_number = wanted is float and isinstance(value, int) and not isinstance(value, bool)
            if type(value) is not wanted and not is_number:
                raise PlanInvalid(f"{name} must be of the kind of {known[name]!r}, not {value!r}")
        values: dict[str, Any] = taken
        return replace(self, **values)

    @property
    def document(self) -> Json:
        """As it is written beside results."""
        return json.loads(json.dumps(asdict(self)))

    @property
    def best_of(self) -> int:
        """Proposals of one search of part b."""
        return self.cycles * self.candidates_per_cycle


def share_request(
    plan: Plan, arm: ShareArm, model: str, baselines: Sequence[str], adapter: str | None
) -> Json:
    """The search of one arm of part a: one cycle, every proposal from a baseline."""
    tokens, proposals = plan.delta_tokens, plan.delta_proposals
    if arm.form == "source":
        tokens, proposals = plan.source_tokens, plan.source_proposals
    proposer = _local(plan, model, form=arm.form, max_tokens=tokens)
    asked = _common(plan, baselines, plan.seed) | {
        "cycles": 1,
        "candidates_per_cycle": proposals,
        "proposer": proposer,
        "final_seeds": 1,
        "adapter": adapter if arm.is_tuned else None,
    }
    return named(asked, arm.value)


def search_request(
    plan: Plan, arm: SearchArm, seed: int, model: str, baselines: Sequence[str], adapter: str | None
) -> Json:
    """The search of one arm of part b; arms of a seed share baselines, seeds and the number of proposals."""
    asked = _common(plan, baselines, seed) | {
        "cycles": plan.cycles,
        "candidates_per_cycle": plan.candidates_per_cycle,
        "final_seeds": plan.final_seeds,
        "elites": plan.elites,
        "adapter": adapter,
        "proposer": _local(plan, model, form="delta", max_tokens=plan.delta_tokens),
    }
    if arm is SearchArm.FINE_TUNING:
        asked["fine_tune"] = plan.loop_fine_tune
    elif arm is SearchArm.MEMORY:
        asked["feedback"] = {"window": plan.window}
        asked["proposer"]["options"]["diagnose"] = True
    elif arm is SearchArm.MUTATION:
        asked |= {"proposer": {"kind": "mutation", "options": {}}, "adapter": None}
    else:
        asked |= {"cycles": 1, "candidates_per_cycle": plan.best_of}
    return named(asked, f"{arm.value}, seed {seed}")


def named(asked: Json, title: str) -> Json:
    """With a name that tells equal requests from others, by which a later run finds it again."""
    return {**asked, "name": f"bench-llm: {title}, {digest(asked)[:16]}"}


def digest(content: Any) -> str:
    """SHA-256 of something as JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _common(plan: Plan, baselines: Sequence[str], seed: int) -> Json:
    return {
        "dataset": plan.dataset,
        "train_images": plan.train_images,
        "limits": plan.limits,
        "baselines": list(baselines),
        "seed": seed,
        "novelty": plan.novelty,
    }


def _local(plan: Plan, model: str, **more: Any) -> Json:
    sampling = {name: getattr(plan, name) for name in ("temperature", "top_p", "top_k", "repairs")}
    return {"kind": "local_llm", "options": {"model": model, **sampling, **more}}
