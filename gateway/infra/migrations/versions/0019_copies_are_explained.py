"""With what searches compare, what became of copies, and how diverse cycles were

A search's lone threshold becomes its rules of novelty, and on the way down the threshold alone again: what a
copy was like is not kept then, and one that was evaluated is a candidate as any other.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_SEARCHES = sa.table("searches", sa.column("id", sa.String), sa.column("request", sa.JSON))
_THRESHOLD = 0.9


def upgrade() -> None:
    op.add_column("cycles", sa.Column("diversity", sa.JSON(), nullable=True))
    op.add_column("slots", sa.Column("likeness", sa.JSON(), nullable=True))
    op.add_column("slots", sa.Column("penalty", sa.Double(), nullable=True))
    op.add_column("slots", sa.Column("difference", sa.JSON(), nullable=True))
    op.add_column(
        "slots", sa.Column("is_in_tenant_index", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    for search_id, request in _requests():
        threshold = request.pop("novelty_threshold", _THRESHOLD)
        rules = {"scopes": ["search"], "policy": "reject", "threshold": threshold, "penalty": 0.05}
        _write(search_id, request | {"novelty": rules})


def downgrade() -> None:
    for search_id, request in _requests():
        rules = request.pop("novelty", {})
        _write(search_id, request | {"novelty_threshold": rules.get("threshold", _THRESHOLD)})
    for column in ("is_in_tenant_index", "difference", "penalty", "likeness"):
        op.drop_column("slots", column)
    op.drop_column("cycles", "diversity")


def _requests() -> list[tuple[str, dict[str, object]]]:
    rows = op.get_bind().execute(sa.select(_SEARCHES.c.id, _SEARCHES.c.request)).all()
    return [(row.id, dict(row.request or {})) for row in rows]


def _write(search_id: str, request: dict[str, object]) -> None:
    op.get_bind().execute(sa.update(_SEARCHES).where(_SEARCHES.c.id == search_id).values(request=request))
