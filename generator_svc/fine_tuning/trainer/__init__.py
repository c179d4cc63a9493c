"""Trains one adapter, as a process: `python -m generator_svc.fine_tuning.trainer`. Nobody imports it."""
