"""Runs one untrusted candidate in a sandbox and measures it from outside."""
