"""`python -m gateway.key_desk in-force` and `… create-operator`: keys before anybody can reach the gateway.

`in-force` exits with 0 where a key opens the door, with 4 where none does. `create-operator` prints the
farm's first key, of the scope `operator`; every further one is made with it, over HTTP.
"""

import argparse
import sys

from gateway.config import Settings
from gateway.domain.access import KeyScope
from gateway.domain.api_keys import LOCAL_TENANT
from gateway.infra.api_keys import ApiKeyStore, create_key
from gateway.infra.audit_log import AuditEntry, write_entry
from gateway.infra.database import Database, StorageUnavailable, utc_now
from gateway.infra.schema_migrations import migrate

FAILED = 3
NONE_IN_FORCE = 4
"""Not 1, with which Python ends when it fails itself."""
OPERATORS_TENANT = "operator"


def main() -> None:
    """Do it and exit."""
    parser = argparse.ArgumentParser(prog="python -m gateway.key_desk")
    parser.add_argument("work", choices=("in-force", "create-operator"))
    work = parser.parse_args().work
    settings = Settings()
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(settings.resolved_database_url)
    try:
        migrate(database)
        if work == "in-force":
            sys.exit(0 if ApiKeyStore(database).any_in_force() else NONE_IN_FORCE)
        print(_operators_key(database))
    except StorageUnavailable as error:
        print(f"the database cannot be used: {error}", file=sys.stderr)
        sys.exit(FAILED)
    finally:
        database.close()


def _operators_key(database: Database) -> str:
    """A new key, and the entry of the audit log that tells of it: both or neither."""
    with database.write() as session:
        key_id, key = create_key(session, OPERATORS_TENANT, "the first key", (KeyScope.OPERATOR,))
        made = AuditEntry(
            at=utc_now(),
            tenant=OPERATORS_TENANT,
            actor=LOCAL_TENANT,
            action="gateway.key_desk create-operator",
            target=f"/v1/keys/{key_id}",
            status=201,
            request_id="",
            address="",
        )
        write_entry(session, made)
    return key


if __name__ == "__main__":
    main()
