"""What the other services keep for a tenant, removed through their own surfaces."""

import time

from gateway.infra.baseline_spool import BaselineSpool
from gateway.infra.filter_client import FilterClient
from gateway.infra.fine_tune_client import FineTuneClient
from gateway.infra.runner_client import RunnerClient
from gateway.infra.service_clients import ServiceRefused, ServiceUnavailable

TRAINER_SECONDS = 20.0
"""For so long a trainer that was told to end may take."""
_LOOK_AGAIN_SECONDS = 0.5


class Leftovers:
    """Each call may be made again. Raises ServiceUnavailable where a service cannot do it now."""

    def __init__(
        self, novelty: FilterClient, fine_tuning: FineTuneClient, runner: RunnerClient, spool: BaselineSpool
    ) -> None:
        self._filter = novelty
        self._fine_tuning = fine_tuning
        self._runner = runner
        self._spool = spool

    def forget_scope(self, scope: str) -> None:
        """An index of the filter."""
        self._filter.forget(scope)

    def forget_fine_tune(self, job_id: str) -> None:
        """The generator's job, its chats, and its adapter."""
        if self._fine_tuning.status(job_id) is not None:
            self._fine_tuning.cancel(job_id)
            self._remove_job(job_id)
        self._fine_tuning.remove_adapter(job_id)

    def forget_import(self, import_id: str) -> None:
        """The file that an import waits with."""
        self._spool.discard(import_id)

    def forget_dataset(self, name: str) -> None:
        """A data set, at the runner that took it in."""
        try:
            self._runner.remove_dataset(name)
        except ServiceRefused as refused:
            if refused.status != 404:
                raise

    def _remove_job(self, job_id: str) -> None:
        give_up = time.monotonic() + TRAINER_SECONDS
        while True:
            try:
                self._fine_tuning.remove(job_id)
            except ServiceRefused as refused:
                if refused.status == 404:
                    return
                if refused.status != 409:
                    raise
                if time.monotonic() > give_up:
                    raise ServiceUnavailable(
                        "generator", f"the trainer of {job_id} has not ended"
                    ) from refused
                time.sleep(_LOOK_AGAIN_SECONDS)
            else:
                return
