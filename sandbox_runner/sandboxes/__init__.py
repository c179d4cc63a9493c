"""Sandbox backends behind one port: `port.py` says what each must do, a probe proves that it does."""
