"""`make bench-load`: what a gateway bears, on SQLite and on PostgreSQL."""
