"""Evidence with a real language model: what it can do before and after learning, and what a search gains.

`plan` says how large, `study` keeps it going on a server of its own, `measuring` runs the parts:
`valid_share`, `search_arms`, `tokens`, `applier`. `section` and `figure` show what came of them.
docs/evidence.md has the method.
"""
