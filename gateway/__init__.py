"""The front door: HTTP API, the queue of evaluations, and the search loop. Alone opens the database."""
