"""The convergence theory of arXiv 2605.30103 as instruments: each compares a claim with data. Pure."""
