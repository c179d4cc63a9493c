"""Reference networks: listed, imported, tried on a data set."""

from collections.abc import Iterator
from typing import Any

from deltanas.resources.resource import LARGEST_PAGE, Json, Resource, part, waiting


class BaselineCalls(Resource):
    """`/v1/baselines`, its imports and its smoke runs."""

    def baselines(self, limit: int | None = None, **filters: Any) -> list[Json]:
        """The reference networks, shipped ones first, at most `limit`; without their sources.

        `filters` has any of origin, dataset, family, accuracy_at_least, accuracy_at_most,
        parameters_at_most, contract, usable_on, name_contains, and sort (`name` or `accuracy`).
        """
        return self._all("/v1/baselines", limit, {"limit": LARGEST_PAGE, **filters})

    def baseline(self, name: str) -> Json:
        """One reference network with its source, its recorded results and how it did in smoke runs."""
        return self._transport.json("GET", f"/v1/baselines/{part(name)}")

    def baseline_facets(self) -> Json:
        """What imported networks can be filtered by: {"families": [{"value", "networks"}], …}."""
        return self._transport.json("GET", "/v1/baselines/facets")

    def import_baselines(self, origin: str, content: Iterator[bytes]) -> Json:
        """Send a file of reference networks, for `lemur` the wheel of nn-dataset; it is imported then."""
        return self._transport.upload("/v1/baselines:import", {"origin": origin}, content)

    def baseline_import(self, import_id: str, wait: float = 0) -> Json:
        """Read one import: state, progress, failure; with `wait` as in `evaluation`."""
        path = f"/v1/baselines/imports/{part(import_id)}"
        return self._transport.json("GET", path, params=waiting(wait))

    def start_smoke_run(self, *, dataset: str, **chosen: Any) -> Json:
        """Try imported networks on a dataset, two batches each; those that pass can start a search on it.

        `chosen` has any of names, origin, recorded_on, family, accuracy_at_least, accuracy_at_most,
        contract, name_contains, limit, again (try once more those that failed).
        """
        return self._transport.json("POST", "/v1/baselines:smoke", json={"dataset": dataset, **chosen})

    def smoke_run(self, run_id: str, wait: float = 0) -> Json:
        """Read one smoke run: state, progress, pass rate, failures by reason."""
        path = f"/v1/baselines/smoke-runs/{part(run_id)}"
        return self._transport.json("GET", path, params=waiting(wait))

    def smoke_run_networks(self, run_id: str, state: str | None = None) -> list[Json]:
        """The networks of a smoke run and what became of each, or those in one state."""
        filters = {} if state is None else {"state": state}
        return self._all(f"/v1/baselines/smoke-runs/{part(run_id)}/networks", None, filters)

    def cancel_smoke_run(self, run_id: str) -> Json:
        """End a smoke run; what it has found out stays."""
        return self._transport.json("POST", f"/v1/baselines/smoke-runs/{part(run_id)}:cancel")
