"""Ask every endpoint whether it answers: `python -m generator_svc.language_models`, for `deltanas doctor`.

Prints one JSON line for each: `{"name", "host", "model", "answers", "found", "remedy"}`. It is a process of
its own because only the generator's side may know of keys and of the libraries that speak to endpoints.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass

from generator_svc.held_up import HeldUp
from generator_svc.language_models.endpoint_models import EndpointModels
from generator_svc.language_models.endpoints import Endpoint, EndpointsInvalid, read_endpoints


@dataclass(frozen=True)
class EndpointCheck:
    """What was found of one endpoint; `remedy` is empty where nothing has to be done."""

    name: str
    host: str
    model: str
    answers: bool
    found: str
    remedy: str = ""


def main() -> int:
    """Check all of them; 2 where the settings themselves cannot be used."""
    try:
        endpoints = read_endpoints(os.environ)
    except EndpointsInvalid as error:
        print(error, file=sys.stderr)
        return 2
    models = EndpointModels(endpoints)
    for endpoint in endpoints.values():
        print(json.dumps(asdict(_checked(models, endpoint))), flush=True)
    return 0


def _checked(models: EndpointModels, endpoint: Endpoint) -> EndpointCheck:
    try:
        listed = models.choose(endpoint.name).listed_models()
    except HeldUp as held:
        blocked = held.blocked
        found = f"{blocked.code}: {blocked.message}"
        return EndpointCheck(endpoint.name, endpoint.host, endpoint.model, False, found, blocked.remedy)
    missing = [model for model in endpoint.models if listed and model not in listed]
    found = f"{endpoint.host} answers"
    if missing:
        found += f", but does not list {', '.join(missing)}"
    if endpoint.sends_key_in_clear:
        found += "; its key is sent without encryption"
    return EndpointCheck(endpoint.name, endpoint.host, endpoint.model, True, found)


if __name__ == "__main__":
    sys.exit(main())
