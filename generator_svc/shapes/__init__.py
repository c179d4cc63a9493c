"""Runs a network symbolically: shapes instead of tensors, nothing executed."""

from generator_svc.shapes.trace import Trace, Verdict, trace_source
from generator_svc.shapes.values import Span

__all__ = ["Span", "Trace", "Verdict", "trace_source"]
