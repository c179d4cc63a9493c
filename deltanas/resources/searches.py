"""Searches: started, read, followed, paused, resumed, cancelled."""

from collections.abc import Iterator
from typing import Any

from deltanas.resources.resource import LARGEST_PAGE, Json, Resource, part
from deltanas.transport import Event


class SearchCalls(Resource):
    """`/v1/searches`."""

    def start_search(self, **request: Any) -> Json:
        """Start a search: dataset, cycles, candidates_per_cycle, seed, proposer, callback_url, …"""
        return self._transport.json("POST", "/v1/searches", json=request)

    def search(self, search_id: str) -> Json:
        """Read one search: state, progress, funnel, best and, when it has ended, final."""
        return self._transport.json("GET", f"/v1/searches/{part(search_id)}")

    def searches(self, limit: int = 50, cursor: str | None = None) -> Json:
        """One page of searches, newest first: {"items", "next_cursor"}."""
        return self._page("/v1/searches", limit, cursor)

    def cycles(self, search_id: str) -> list[Json]:
        """All cycles of a search so far; cycle 0 are the baselines themselves."""
        return self._all(f"/v1/searches/{part(search_id)}/cycles")

    def candidates(self, search_id: str) -> list[Json]:
        """All candidates of a search so far."""
        return self._all(f"/v1/searches/{part(search_id)}/candidates", None, {"limit": LARGEST_PAGE})

    def elites(self, search_id: str) -> list[Json]:
        """The candidates kept for selection."""
        return self._all(f"/v1/searches/{part(search_id)}/elites")

    def candidate(self, search_id: str, proposal_id: str) -> Json:
        """One candidate with its source and raw proposal."""
        return self._transport.json("GET", f"/v1/searches/{part(search_id)}/candidates/{part(proposal_id)}")

    def diagnostics(self, search_id: str) -> Json:
        """What became of a search's deltas: {"proposals", "delta_failures", "hunks", "repairs"}."""
        return self._transport.json("GET", f"/v1/searches/{part(search_id)}/diagnostics")

    def theory(self, search_id: str) -> Json:
        """The convergence theory against a search: {"readings"}, one for each instrument."""
        return self._transport.json("GET", f"/v1/searches/{part(search_id)}/diagnostics/theory")

    def what_if(self, search_id: str, **rules: Any) -> Json:
        """Selection replayed with other `elites`, `seeds` or `novelty_threshold`: {"cycles"}."""
        path = f"/v1/searches/{part(search_id)}/diagnostics/what-if"
        return self._transport.json("GET", path, params=rules)

    def filter_effect(self, pairs: list[tuple[str, str]]) -> Json:
        """What the novelty filter adds, from pairs of searches with and without it: {"readings"}."""
        asked = {"with_filter": [kept for kept, _ in pairs], "without_filter": [free for _, free in pairs]}
        return self._transport.json("GET", "/v1/diagnostics/filter-effect", params=asked)

    def replay_candidate(self, search_id: str, proposal_id: str) -> Json:
        """One candidate once more: {"proposed_again", "applied_again", "recorded_accuracy", "evaluation"}."""
        path = f"/v1/searches/{part(search_id)}/candidates/{part(proposal_id)}:replay"
        return self._transport.json("POST", path)

    def search_events(self, search_id: str, after: str = "") -> Iterator[Event]:
        """Follow a search from its start, or `after` the id of an event.

        Kinds: state, cycle_started, slot, rerun, cycle_finished, fine_tune_started, alarm, finals_started,
        finished.
        """
        return self._transport.events(f"/v1/searches/{part(search_id)}/events", after)

    def search_report(self, search_id: str) -> str:
        """The report of a search, one self-contained HTML page."""
        path = f"/v1/searches/{part(search_id)}/report"
        return self._transport.send("GET", path, headers={"accept": "text/html"}).text

    def pause_search(self, search_id: str) -> Json:
        """Begin nothing new in a search until it is resumed."""
        return self._transport.json("POST", f"/v1/searches/{part(search_id)}:pause")

    def resume_search(self, search_id: str) -> Json:
        """Go on with a paused search."""
        return self._transport.json("POST", f"/v1/searches/{part(search_id)}:resume")

    def cancel_search(self, search_id: str) -> Json:
        """End a search; what it has measured stays."""
        return self._transport.json("POST", f"/v1/searches/{part(search_id)}:cancel")
