"""Which evaluations have ended and are not in the counters yet: noted, no longer told by a moment"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

MARK = "tallies:evaluations"
_MOMENT = sa.DateTime(timezone=True)
_EVALUATIONS = sa.table("evaluations", sa.column("id", sa.String), sa.column("finished_at", _MOMENT))
_MARKS = sa.table(
    "marks", sa.column("name", sa.String), sa.column("moment", _MOMENT), sa.column("row_id", sa.String)
)
_NOTED = sa.table("uncounted_ends", sa.column("evaluation_id", sa.String))


def upgrade() -> None:
    op.create_table(
        "uncounted_ends",
        sa.Column("evaluation_id", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["evaluation_id"],
            ["evaluations.id"],
            name=op.f("fk_uncounted_ends_evaluation_id_evaluations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("evaluation_id", name=op.f("pk_uncounted_ends")),
    )
    row, mark = _EVALUATIONS.c, _MARKS.c
    counted = sa.exists().where(
        mark.name == MARK,
        sa.or_(row.finished_at < mark.moment, sa.and_(row.finished_at == mark.moment, row.id <= mark.row_id)),
    )
    ended = sa.select(row.id).where(row.finished_at.is_not(None), ~counted)
    op.get_bind().execute(sa.insert(_NOTED).from_select(["evaluation_id"], ended))
    op.get_bind().execute(sa.delete(_MARKS).where(mark.name == MARK))


def downgrade() -> None:
    row = _EVALUATIONS.c
    counted = row.id.not_in(sa.select(_NOTED.c.evaluation_id))
    last = (
        sa.select(sa.literal(MARK), row.finished_at, row.id)
        .where(row.finished_at.is_not(None), counted)
        .order_by(row.finished_at.desc(), row.id.desc())
        .limit(1)
    )
    op.get_bind().execute(sa.insert(_MARKS).from_select(["name", "moment", "row_id"], last))
    op.drop_table("uncounted_ends")
