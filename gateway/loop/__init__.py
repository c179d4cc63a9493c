"""Drives searches: the steps of a cycle, the finals, and the threads that take them."""
