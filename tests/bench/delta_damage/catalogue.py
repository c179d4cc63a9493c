"""All public kinds in the order of the table, and the held-out ones beside them."""

from . import context, envelopes, headers, held_out, listings, losses, mixtures, signs, transports
from .kinds import INTACT, Kind

CONTROL = Kind(INTACT, "nothing is damaged; counted in no mean", headers.intact)

PUBLIC: tuple[Kind, ...] = (
    CONTROL,
    *headers.KINDS,
    *context.KINDS,
    *signs.KINDS,
    *listings.KINDS,
    *envelopes.KINDS,
    *transports.KINDS,
    *losses.KINDS,
    *mixtures.KINDS,
)
HELD_OUT: tuple[Kind, ...] = held_out.KINDS
