"""What language models learn from: training pairs, each a chat that leads from a baseline to a delta."""

from generator_svc.fine_tuning.training_pairs import Lengths, training_pair_line

__all__ = ["Lengths", "training_pair_line"]
