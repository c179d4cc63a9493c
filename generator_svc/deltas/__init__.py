"""Deltas: unified diffs against a baseline, applied strictly, and written in one canonical form."""

from generator_svc.deltas.application import apply_delta
from generator_svc.deltas.canonical import canonical_delta

__all__ = ["apply_delta", "canonical_delta"]
