"""Proposes deltas against baseline networks and applies them. Never executes a source."""
