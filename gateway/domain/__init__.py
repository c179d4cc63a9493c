"""What evaluations and searches are, and the decisions about them. Pure: no I/O, no framework."""
