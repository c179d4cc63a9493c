"""What the bench of the novelty index compares, and with what."""
