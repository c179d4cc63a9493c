"""Which family a LEMUR network belongs to, by its name.

LEMUR's names are a kind of network or the method that made it, then a variant's number, UUID or digest:
`FractalNet-00ab…` is a FractalNet, `ga-mut-17` came out of the genetic algorithm. A variant of another
network (`ast-dimension-AlexNet-…`, `C10C-RESNETLSTM-…`) belongs to that network's family. Networks of one
family resemble each other more than others, so what is to be independent is split between families.
"""

import re

UNNAMED = "unnamed"

_IDENTITY = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_VARIANT_OF = re.compile(r"(ast-[a-z_]+|C\d+C)-(?=.)")
_VERSION = re.compile(r"[Vv]?\d+[A-Za-z]?$")


def described_name(name: str) -> str:
    """The name of what a network is a variant of, with its own number or digest: `AlexNet-00e3…`."""
    return _VARIANT_OF.sub("", name, count=1) if _VARIANT_OF.match(name) else name


def family_of(name: str) -> str:
    """The family of a network, such as `AlexNet`, `DPN`, `ga`; `unnamed` where a name says nothing."""
    kind = _IDENTITY.sub("", described_name(name)).strip("-").split("-")[0]
    return _VERSION.sub("", kind) or UNNAMED
