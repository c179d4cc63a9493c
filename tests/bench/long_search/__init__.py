"""A search of many cycles with all instruments, kept as a data file and read again.

deltanas search run deploy/protocol.yaml                     # after a kill: deltanas search resume se_…
PYTHONPATH=tests/bench python -m long_search record se_… tests/bench/recorded/NAME.json
PYTHONPATH=tests/bench python -m long_search show tests/bench/recorded/NAME.json [--figure FILE.svg]
"""
