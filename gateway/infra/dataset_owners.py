"""Whose data sets are. A name is taken once for the whole farm; who else has it, nobody is told."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.infra.database import Database, utc_now
from gateway.infra.tenant_tables import DatasetOwnerRow


class DatasetNameTaken(Exception):
    """Another tenant has a data set of this name, or it is there for everybody."""


class DatasetOwners:
    """Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def hidden_from(self, tenant: str) -> set[str]:
        """The names of data sets that are other tenants'."""
        with self._database.read() as session:
            others = select(DatasetOwnerRow.name).where(DatasetOwnerRow.tenant != tenant)
            return set(session.scalars(others))

    def reserve(self, session: Session, name: str, tenant: str) -> bool:
        """Keep a name for a tenant; False where it has it already. Raises DatasetNameTaken."""
        row = session.get(DatasetOwnerRow, name, with_for_update=True)
        if row is not None:
            if row.tenant != tenant:
                raise DatasetNameTaken(name)
            return False
        session.add(DatasetOwnerRow(name=name, tenant=tenant, size_bytes=0, created_at=utc_now()))
        session.flush()
        return True

    def keep_size(self, name: str, size_bytes: int) -> None:
        """Write down how many bytes were sent."""
        with self._database.write() as session:
            row = session.get(DatasetOwnerRow, name, with_for_update=True)
            if row is not None:
                row.size_bytes = size_bytes

    def release(self, name: str) -> None:
        """Nothing came of it: the name is free again."""
        with self._database.write() as session:
            row = session.get(DatasetOwnerRow, name)
            if row is not None:
                session.delete(row)
