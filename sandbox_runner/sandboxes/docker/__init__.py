"""The tiers `docker+runc` and `docker+runsc`.

`backend` is what the runner uses; it speaks with `launcher`, another process, which alone speaks with Docker
and composes every container itself. `process_one` is the launcher's own code inside the container.
"""
