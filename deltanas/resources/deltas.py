"""Deltas, novelty and training pairs: what is asked of the generator and the filter."""

from collections.abc import Iterator
from typing import Any

from deltanas.errors import PlatformFailed
from deltanas.resources.resource import Json, Resource


class DeltaCalls(Resource):
    """`/v1/deltas:apply`, `/v1/novelty:check` and `/v1/training-pairs`."""

    def apply_delta(
        self,
        delta: str,
        *,
        baseline: str | None = None,
        baseline_source: str | None = None,
        **rules: Any,
    ) -> Json:
        """Apply a delta to a baseline, by name or source: {"status", "reason", "source", …}.

        `rules` has any of `edits` ({"only": [...], "never": [...]}, the regions that it may or must not
        change), `deployment` and `dataset` (what the result must keep to, and for whose images its costs are
        counted), and `form` ("source": `delta` holds a whole source).
        """
        named: Json = {"baseline": baseline} if baseline is not None else {"baseline_source": baseline_source}
        return self._transport.json("POST", "/v1/deltas:apply", json={**named, **rules, "delta": delta})

    def novelty(self, source: str, **request: Any) -> Json:
        """Whether a source is new within `scope` (a search's id; default the baselines).

        Gives {"novel", "layer", "nearest"}.
        """
        return self._transport.json("POST", "/v1/novelty:check", json={"source": source, **request})

    def training_pairs(self, *, dataset: str, **request: Any) -> Iterator[Json]:
        """Make pairs (baseline → better network) to fine-tune a model on; gives each line of the answer.

        `request` has any of min_gain, at_least, pairs_per_network, max_pairs, mutation_pairs,
        validation_share, seed, fewest_lines, most_lines. A line has `progress`, `pair`, or last of all
        `summary`; without that one the pairs are not whole, and PlatformFailed is raised in its place.
        """
        for line in self._transport.lines("/v1/training-pairs", {"dataset": dataset, **request}):
            if "failed" in line:
                problem = line["failed"]
                raise PlatformFailed(str(problem.get("detail") or "the training pairs failed"), problem)
            yield line
            if "summary" in line:
                return
        raise PlatformFailed("the training pairs ended before their summary")
