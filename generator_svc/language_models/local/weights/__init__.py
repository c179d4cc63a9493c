"""All that loads weights: torch and transformers are imported here alone, and only by child processes."""
