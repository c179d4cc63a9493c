"""Calls to the filter: is an architecture new, and what is near it."""

from collections.abc import Generator, Iterable
from dataclasses import asdict, dataclass
from urllib.parse import quote

from contracts.jobs import Admission, Screening, ScreeningRequest
from contracts.training_pairs import NamedSource, NearnessLine
from gateway.infra.service_clients import ServiceClient


class FilterClient(ServiceClient):
    """Says whether an architecture is new."""

    name = "filter"

    def screen(self, request: ScreeningRequest) -> Screening:
        """Compare a source with its scope. Reads only."""
        return self._parse(Screening, self._call("POST", "/v1/screenings", json=asdict(request)))

    def admit(self, proposal_id: str, admission: Admission) -> None:
        """Add an architecture to its scope. Idempotent."""
        self._call("PUT", f"/v1/architectures/{quote(proposal_id, safe='')}", json=asdict(admission))

    def forget(self, scope: str) -> None:
        """Drop a scope, before it is rebuilt."""
        self._call("DELETE", f"/v1/scopes/{quote(scope, safe='')}")

    def count(self, scope: str) -> int:
        """How many architectures a scope holds."""
        return self._parse(_ScopeSize, self._call("GET", f"/v1/scopes/{quote(scope, safe='')}")).architectures

    def near(self, sources: Iterable[NamedSource], at_least: float) -> Generator[NearnessLine, None, None]:
        """Which of the sources are copies of earlier ones, and which pairs of the others are near.

        They are compared with each other alone. The last line has `compared`, or `failed`.
        """
        asked = {"at_least": at_least}
        return self._exchange_lines("/v1/architectures:near", asked, sources, NearnessLine)


@dataclass(frozen=True)
class _ScopeSize:
    architectures: int
