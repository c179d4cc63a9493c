"""The `options` of a request to a language model, checked. Where a model runs is never a client's to say."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from contracts.proposals import AnswerForm
from generator_svc.language_models.port import Sampling
from generator_svc.prompts import WORD_SETS, WordSet, word_set
from generator_svc.proposers.port import OptionsInvalid

KNOWN = ("model", "form", "prompt", "temperature", "top_p", "top_k", "max_tokens", "repairs", "diagnose")
ENDPOINT = "endpoint"
"""Known beside these where there are endpoints to choose from."""

MOST_REPAIRS = 3
MAX_TOKENS = {AnswerForm.DELTA: Sampling().max_tokens, AnswerForm.SOURCE: 4 * Sampling().max_tokens}
"""By default. A whole source is several times as long as a delta (arXiv 2605.04903)."""
TOKENS = (16, 32_768)
TEMPERATURES = (0.0, 2.0)
TOP_K = (1, 1_000)
NAME = re.compile(r"[^\x00-\x1f\x7f\s]{1,200}")


@dataclass(frozen=True)
class ModelOptions:
    """Which model is asked, for what, and how its answers are drawn. None: the operator's own."""

    model: str | None
    endpoint: str | None
    form: AnswerForm
    sampling: Sampling
    repairs: int
    """How often a refused answer may be answered anew."""
    diagnose: bool
    """Whether the model says first what is wrong with the baseline (arXiv 2603.12091)."""
    words: WordSet | None = None
    """In which words it is asked; None: those that its adapter has learnt, or the newest."""


def read_options(options: Mapping[str, Any], *, has_endpoints: bool) -> ModelOptions:
    """Raises OptionsInvalid, which names the option at fault and what would be right."""
    known = (*KNOWN, ENDPOINT) if has_endpoints else KNOWN
    for key in options:
        if key not in known:
            message = f"unknown option {str(key)[:60]!r}"
            raise OptionsInvalid(f"options.{str(key)[:60]}", message, f"Known options: {', '.join(known)}.")
    form = _form(options.get("form", AnswerForm.DELTA))
    usual = Sampling(max_tokens=MAX_TOKENS[form])
    top_p = _number(options, "top_p", usual.top_p, (0.0, 1.0))
    if top_p == 0.0:
        _refuse("top_p", "must be above 0", "1 leaves all tokens in.", top_p)
    is_open = "top_k" in options and options["top_k"] is None
    sampling = Sampling(
        temperature=_number(options, "temperature", usual.temperature, TEMPERATURES),
        top_p=top_p,
        top_k=None if is_open else _whole(options, "top_k", usual.top_k or TOP_K[1], TOP_K),
        max_tokens=_whole(options, "max_tokens", usual.max_tokens, TOKENS),
    )
    return ModelOptions(
        _name(options, "model"),
        _name(options, ENDPOINT),
        form,
        sampling,
        _whole(options, "repairs", 1, (0, MOST_REPAIRS)),
        _switch(options, "diagnose"),
        _words(options, form),
    )


def _refuse(option: str, message: str, remedy: str, value: object) -> NoReturn:
    raise OptionsInvalid(f"options.{option}", message, remedy, value)


def _form(given: Any) -> AnswerForm:
    forms = ", ".join(AnswerForm)
    if given not in list(AnswerForm):
        _refuse("form", "is no form of an answer", f"Use one of: {forms}.", given)
    return AnswerForm(given)


def _words(options: Mapping[str, Any], form: AnswerForm) -> WordSet | None:
    given = options.get("prompt")
    if given is None:
        return None
    words = word_set(given) if isinstance(given, str) else None
    if words is None or words.proposal(form) != given:
        known = ", ".join(words.proposal(form) for words in WORD_SETS)
        _refuse("prompt", f"is no version of a prompt for a {form}", f"Use one of: {known}.", given)
    return words


def _name(options: Mapping[str, Any], option: str) -> str | None:
    given = options.get(option)
    if given is not None and not (isinstance(given, str) and NAME.fullmatch(given)):
        _refuse(option, "must be a name", "A name has 1 to 200 characters and no spaces.", given)
    return given


def _number(options: Mapping[str, Any], option: str, usual: float, bounds: tuple[float, float]) -> float:
    given = options.get(option, usual)
    is_number = isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)
    if not is_number or not bounds[0] <= given <= bounds[1]:
        _refuse(option, f"must be a number from {bounds[0]:g} to {bounds[1]:g}", f"Usual: {usual:g}.", given)
    return float(given)


def _whole(options: Mapping[str, Any], option: str, usual: int, bounds: tuple[int, int]) -> int:
    given = options.get(option, usual)
    if isinstance(given, bool) or not isinstance(given, int) or not bounds[0] <= given <= bounds[1]:
        message = f"must be a whole number from {bounds[0]} to {bounds[1]}"
        _refuse(option, message, f"Usual: {usual}.", given)
    return given


def _switch(options: Mapping[str, Any], option: str) -> bool:
    given = options.get(option, False)
    if not isinstance(given, bool):
        _refuse(option, "must be true or false", "Usual: false.", given)
    return given
