"""Language models on weights of our own: kept on disk, run in a process of their own, one at a time.

The generator never loads a weight itself. `models.py` is what proposers see; `desk.py` queues their calls;
`worker_process.py` starts and watches the process; `weights/` is what runs in it.
"""

from generator_svc.language_models.local.models import LocalLimits, LocalModel, LocalModels

__all__ = ["LocalLimits", "LocalModel", "LocalModels"]
