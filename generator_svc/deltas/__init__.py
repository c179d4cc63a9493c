"""Deltas: unified diffs against a baseline, understood even where damaged, written in one canonical form."""

from generator_svc.deltas.application import apply_delta
from generator_svc.deltas.canonical import canonical_delta
from generator_svc.deltas.permissions import ForbiddenChange, forbidden_change

__all__ = ["ForbiddenChange", "apply_delta", "canonical_delta", "forbidden_change"]
