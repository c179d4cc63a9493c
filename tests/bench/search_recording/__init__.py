"""A search with the word of every instrument, kept as a data file and read again.

deltanas search run deploy/protocol.yaml                     # after a kill: deltanas search resume se_…
PYTHONPATH=tests/bench python -m search_recording record se_… tests/bench/recorded/NAME.json
PYTHONPATH=tests/bench python -m search_recording show tests/bench/recorded/NAME.json [--figure FILE.svg]
"""
