"""Whose data sets are. A name is taken once for the whole farm; who else has it, nobody is told.

A data set without an owner is everybody's. So a name is given back only where nothing can have come of it,
and one whose tenant was removed stays hidden: a host that could not be asked may have it still.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from gateway.infra.database import Database, utc_now
from gateway.infra.tenant_tables import DatasetOwnerRow

NOBODY = ""
"""No tenant's name: whose data sets are that a removed tenant had."""


class DatasetNameTaken(Exception):
    """Another tenant has a data set of this name, or it is there for everybody."""


@dataclass(frozen=True)
class HiddenNames:
    """Names that one tenant does not get to see."""

    names: frozenset[str]

    def __contains__(self, name: str) -> bool:
        return name in self.names or _forgotten(name) in self.names


class DatasetOwners:
    """Thread-safe. What takes a `session` joins the caller's writing transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def hidden_from(self, tenant: str) -> HiddenNames:
        """The names of data sets that are other tenants', or were."""
        with self._database.read() as session:
            others = select(DatasetOwnerRow.name).where(DatasetOwnerRow.tenant != tenant)
            return HiddenNames(frozenset(session.scalars(others)))

    def reserve(self, session: Session, name: str, tenant: str, size_bytes: int) -> datetime | None:
        """Keep a name for a tenant, and room for so many bytes. Raises DatasetNameTaken.

        Gives the mark by which `release` knows the reservation; None where the tenant has the name already.
        """
        now = utc_now()
        row = session.get(DatasetOwnerRow, name, with_for_update=True)
        if row is not None:
            if row.tenant != tenant:
                raise DatasetNameTaken(name)
            row.created_at = now  # whoever reserved it before gives it back no more
            return None
        session.execute(delete(DatasetOwnerRow).where(DatasetOwnerRow.name == _forgotten(name)))
        session.add(DatasetOwnerRow(name=name, tenant=tenant, size_bytes=size_bytes, created_at=now))
        try:
            session.flush()
        except IntegrityError as error:
            raise DatasetNameTaken(name) from error
        return now

    def keep_size(self, name: str, size_bytes: int) -> None:
        """Write down how many bytes were sent."""
        with self._database.write() as session:
            row = session.get(DatasetOwnerRow, name, with_for_update=True)
            if row is not None:
                row.size_bytes = size_bytes

    def release(self, name: str, reserved_at: datetime) -> None:
        """Nothing came of a reservation: the name is free again, unless it was reserved anew."""
        with self._database.write() as session:
            of_it = DatasetOwnerRow.name == name, DatasetOwnerRow.created_at == reserved_at
            session.execute(delete(DatasetOwnerRow).where(*of_it))

    def forget(self, name: str) -> None:
        """The tenant is gone, and its name for the data set with it; nobody gets to see what may be left."""
        with self._database.write() as session:
            left = {"name": _forgotten(name), "tenant": NOBODY, "size_bytes": 0, "created_at": utc_now()}
            session.execute(update(DatasetOwnerRow).where(DatasetOwnerRow.name == name).values(**left))


def _forgotten(name: str) -> str:
    """What stands for a name that is not to be read any more. No data set has a colon in its name."""
    return "gone:" + hashlib.sha256(name.encode()).hexdigest()[:58]
