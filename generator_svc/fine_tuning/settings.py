"""The settings of a fine-tuning job: two presets, and what may be changed of them. Pure.

`paper` is what arXiv 2605.04903 trains with. `cpu` learns within tens of steps on two cores and 8 GiB: a
rank of 16, short chats, and a learning rate twenty times the paper's, which is for thousands of steps.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from contracts.fine_tuning import (
    FineTunePreset,
    FineTuneSettings,
    GradientCheckpointing,
    Precision,
    Quantization,
    Schedule,
    ValidRateProbe,
)
from contracts.problems import validation_problem
from generator_svc.request_checks import MAX_SEED, refuse_field

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
"""Of jobs and adapters: a folder's name that no shell and no file system takes for something else."""
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
LAYER = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,99}")
LLAMA_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj", "gate_proj")
MAX_TARGETS = 32

PAPER = FineTuneSettings(
    model="",
    preset=FineTunePreset.PAPER,
    parent_adapter=None,
    rank=32,
    alpha=32,
    dropout=0.05,
    targets=LLAMA_LAYERS,
    learning_rate=1e-5,
    weight_decay=0.01,
    epochs=3,
    max_steps=None,
    batch=1,
    accumulation=8,
    schedule=Schedule.COSINE,
    warmup_share=0.03,
    max_gradient_norm=1.0,
    max_length=8192,
    seed=0,
    validation_share=0.1,
    max_validation_chats=128,
    evaluate_every=50,
    patience=3,
    precision=Precision.AUTO,
    gradient_checkpointing=GradientCheckpointing.AUTO,
    checkpoint_seconds=60.0,
    probe=ValidRateProbe(samples=32),
    quantization=Quantization.AUTO,
)
CPU = replace(
    PAPER,
    preset=FineTunePreset.CPU,
    rank=16,
    learning_rate=2e-4,
    max_steps=60,
    accumulation=2,
    warmup_share=0.1,
    max_length=1152,
    max_validation_chats=16,
    evaluate_every=20,
    probe=None,  # on two cores its answers take as long as the training, and a few of them say nothing
    quantization=Quantization.NONE,
)
PRESETS = {FineTunePreset.PAPER: PAPER, FineTunePreset.CPU: CPU}

OF_THE_PARENT = ("rank", "alpha", "targets")

RANGES: dict[str, tuple[float, float]] = {
    "rank": (1, 512),
    "alpha": (1, 4096),
    "dropout": (0, 0.9),
    "learning_rate": (0, 1),
    "weight_decay": (0, 10),
    "epochs": (1, 1000),
    "max_steps": (1, 1_000_000),
    "batch": (1, 256),
    "accumulation": (1, 1024),
    "warmup_share": (0, 1),
    "max_gradient_norm": (0, 1e6),
    "max_length": (16, 262_144),
    "seed": (0, MAX_SEED),
    "validation_share": (0, 0.9),
    "max_validation_chats": (1, 10_000),
    "evaluate_every": (1, 1_000_000),
    "patience": (0, 10_000),
    "checkpoint_seconds": (0, 86_400),
}
PROBE_RANGES: dict[str, tuple[float, float]] = {
    "samples": (0, 1000),
    "temperature": (0, 5),
    "top_p": (0, 1),
    "top_k": (0, 1000),
    "max_tokens": (1, 8192),
}

_SETTINGS = TypeAdapter(FineTuneSettings)
_FIELDS = frozenset(field.name for field in fields(FineTuneSettings))
_PROBE_FIELDS = frozenset(field.name for field in fields(ValidRateProbe))


def complete_settings(
    asked: Mapping[str, Any], settings_of: Callable[[str], FineTuneSettings | None] = lambda _: None
) -> FineTuneSettings:
    """The settings of a request, each that it leaves out or gives as null taken from its preset (`cpu`).

    What has to be as in the parent adapter is taken from there, where `settings_of` knows that adapter.
    Raises Refused with the field at fault.
    """
    preset = asked.get("preset") or FineTunePreset.CPU.value
    if preset not in {one.value for one in FineTunePreset}:
        refuse_field("preset", "must be `paper` or `cpu`", preset)
    _refuse_unknown("", asked, _FIELDS)
    probe = asked.get("probe")
    if isinstance(probe, Mapping):
        _refuse_unknown("probe.", probe, _PROBE_FIELDS)
    given = {name: value for name, value in asked.items() if value is not None}
    parent = settings_of(str(asked.get("parent_adapter")))
    inherited = {} if parent is None else {name: getattr(parent, name) for name in OF_THE_PARENT}
    try:
        settings = _SETTINGS.validate_python(
            {**asdict(PRESETS[FineTunePreset(preset)]), **inherited, **given}
        )
    except ValidationError as error:
        first = validation_problem(error.errors(include_url=False))["errors"][0]
        refuse_field(first["field"], first["message"], first["value"])
    _check_names(settings)
    _check_ranges(settings)
    return settings


def _refuse_unknown(prefix: str, asked: Mapping[str, Any], known: frozenset[str]) -> None:
    for name in asked:
        if name not in known:
            known_names = ", ".join(sorted(known))
            refuse_field(f"{prefix}{name}"[:100], "there is no such setting", None, f"Known: {known_names}.")


def _check_names(settings: FineTuneSettings) -> None:
    if not MODEL_NAME.fullmatch(settings.model):
        refuse_field("model", "must be the name of a model of this server", settings.model)
    parent = settings.parent_adapter
    if parent is not None and not NAME.fullmatch(parent):
        refuse_field("parent_adapter", "is no adapter's id", parent)
    if not 1 <= len(settings.targets) <= MAX_TARGETS:
        refuse_field("targets", f"must name 1 to {MAX_TARGETS} layers", len(settings.targets))
    for index, layer in enumerate(settings.targets):
        if not LAYER.fullmatch(layer):
            refuse_field(f"targets.{index}", "is no name of a layer", layer)


def _check_ranges(settings: FineTuneSettings) -> None:
    for name, (least, most) in RANGES.items():
        _check_range(name, getattr(settings, name), least, most)
    if settings.probe is not None:
        for name, (least, most) in PROBE_RANGES.items():
            _check_range(f"probe.{name}", getattr(settings.probe, name), least, most)


def _check_range(field: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not least <= value <= most:  # not-a-number is in no range
        refuse_field(field, f"must lie between {least:g} and {most:g}", value)
