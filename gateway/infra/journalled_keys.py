"""Secret keys for splits and shuffles: drawn once, kept, and so the same on every replay (promise 11).

From one secret of this installation every other key follows by HMAC; a candidate that knows its own
request still cannot know them, and equal requests meet equal keys.
"""

import hashlib
import hmac
import secrets

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from gateway.infra.tables import JournalledKeyRow

_ROOT = "root"


def derived_key(session: Session, *purpose: str | int) -> str:
    """The key of a purpose, 64 hex digits; needs a writing session, since the first call draws the root."""
    row = session.get(JournalledKeyRow, _ROOT) or _drawn_root(session)
    # Lengths keep ("a", "bc") and ("ab", "c") apart.
    message = "".join(f"{len(str(part))}:{part}" for part in purpose)
    return hmac.new(bytes.fromhex(row.value), message.encode(), hashlib.sha256).hexdigest()


def _drawn_root(session: Session) -> JournalledKeyRow:
    """Of two gateways that draw at once both get the one that was first."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    drawn = insert(JournalledKeyRow).values(name=_ROOT, value=secrets.token_hex(32))
    session.execute(drawn.on_conflict_do_nothing())
    return session.get_one(JournalledKeyRow, _ROOT)


def split_key(session: Session, tenant: str, dataset: str, computation: str) -> str:
    """Draws the split of one computation outside any search: the same one when it is asked for again.

    Not of all that a tenant sends: a candidate sees what it trains on, and so learns what is scored. If it
    tells its author, the next request must meet another split, whichever part of it brings the knowledge.
    """
    return derived_key(session, "split", tenant, dataset, computation)


def search_split_key(session: Session, tenant: str, dataset: str, search_seed: int) -> str:
    """Draws the split and the two halves of a search. Equal searches get equal halves, hence equal scores."""
    return derived_key(session, "search-split", tenant, dataset, search_seed)


def shuffle_key(session: Session, candidate_id: str, dataset: str, seed: int) -> str:
    """Orders the evaluation images of every attempt at one candidate, dataset and seed."""
    return derived_key(session, "shuffle", candidate_id, dataset, seed)
