"""Hostile candidates, each with what it must come to: `deltanas attack` runs them in real sandboxes."""
