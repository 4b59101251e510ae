"""A trial is a cell of arm, learning rate and seed; it trains to a plateau."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Drop the role of a trial; note the best epoch, and whether it was still learning."""
    with op.batch_alter_table("trials") as table:
        table.drop_constraint("one_row_a_trial", type_="unique")
        table.drop_column("role")
        table.add_column(sa.Column("still_learning", sa.Boolean, nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("best", sa.Integer, nullable=False, server_default="0"))
        table.create_unique_constraint("one_row_a_trial", ["study_id", "arm", "point", "seed"])


def downgrade() -> None:
    """Give every trial one role again."""
    with op.batch_alter_table("trials") as table:
        table.drop_constraint("one_row_a_trial", type_="unique")
        table.drop_column("best")
        table.drop_column("still_learning")
        table.add_column(sa.Column("role", sa.String(20), nullable=False, server_default="confirm"))
        table.create_unique_constraint("one_row_a_trial", ["study_id", "arm", "point", "seed", "role"])
