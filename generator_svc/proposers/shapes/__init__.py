"""Runs a network symbolically: shapes instead of tensors, nothing executed."""

from generator_svc.proposers.shapes.trace import Span, Trace, trace_source

__all__ = ["Span", "Trace", "trace_source"]
