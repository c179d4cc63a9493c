"""How alike the sources of a search are, by the filter's own measure: for a replay at another threshold."""

from collections.abc import Mapping
from contextlib import closing

from contracts.training_pairs import NamedSource
from gateway.infra.filter_client import FilterClient
from gateway.infra.service_clients import ServiceRefused, ServiceUnavailable
from gateway.theory.what_if import Likeness


def likeness_of(filter_: FilterClient, sources: Mapping[str, str], at_least: float) -> Likeness:
    """All sources compared with each other; they come in slot order, by proposal id.

    Raises ServiceUnavailable, ServiceRefused.
    """
    copies: set[str] = set()
    incomparable: set[str] = set()
    near: list[tuple[str, str, float]] = []
    compared: int | None = None
    named = (NamedSource(proposal_id, source) for proposal_id, source in sources.items())
    with closing(filter_.near(named, at_least)) as lines:
        for line in lines:
            if line.near is not None:
                near.append((line.near.first, line.near.second, line.near.jaccard))
            elif line.copy is not None:
                copies.add(line.copy.id)
            elif line.not_comparable is not None:
                incomparable.add(line.not_comparable)
            elif line.failed is not None:
                raise ServiceRefused.in_stream(filter_.name, line.failed)
            compared = line.compared
    if compared is None:
        raise ServiceUnavailable(filter_.name, "the near pairs ended before their last line")
    return Likeness(frozenset(sources) - incomparable, frozenset(copies), tuple(near))
