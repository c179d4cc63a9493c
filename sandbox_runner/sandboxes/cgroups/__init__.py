"""Control groups: what binds memory, processes and CPU of everything in one sandbox, and accounts for it.

`discovery.find_hierarchy` picks the unified hierarchy (v2) or the per-controller ones (v1). The freezer,
devices, io and cpuset controllers are left out: nothing here needs them.
"""
