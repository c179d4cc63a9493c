"""Novelty: is this architecture really new, and if not, what is it a copy of. Never executes a source."""
