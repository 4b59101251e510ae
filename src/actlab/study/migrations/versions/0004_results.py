"""The result of a study that is finished, by which it is reported without its task; what a failed trial raised."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the table of results."""
    op.create_table(
        "results",
        sa.Column("study_id", sa.Integer, sa.ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("comparison", sa.JSON, nullable=False),
        sa.Column("version", sa.String(40), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    )
    op.add_column("trials", sa.Column("beside", sa.JSON, nullable=False, server_default="{}"))
    op.add_column("trials", sa.Column("message", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    """Drop the table of results."""
    op.drop_column("trials", "message")
    op.drop_column("trials", "beside")
    op.drop_table("results")
