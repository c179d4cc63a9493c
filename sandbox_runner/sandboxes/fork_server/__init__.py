"""Warm starts of the tier `namespaces` for a runner that is root: sandboxes forked from a process that has
imported torch already. `server` runs in the runner; `zygote` and `private_view` run inside.
"""
