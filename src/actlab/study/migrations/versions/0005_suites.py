"""Studies that belong together; what a result is about, by which similar ones are found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the tables of suites; note of a result what data it is about."""
    op.create_table(
        "suites",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("tasks", sa.JSON, nullable=False),
        sa.Column("version", sa.String(40), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("conclusion", sa.JSON),
    )
    op.create_table(
        "suite_studies",
        sa.Column("suite_id", sa.Integer, sa.ForeignKey("suites.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("study_id", sa.Integer, sa.ForeignKey("studies.id", ondelete="CASCADE"), nullable=False),
    )
    op.add_column("results", sa.Column("data", sa.String(40)))
    op.add_column("results", sa.Column("target", sa.String(40)))
    op.add_column("results", sa.Column("rows", sa.BigInteger))
    op.create_index("results_about", "results", ["data", "target", "rows"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("results_about", "results")
    for name in ("rows", "target", "data"):
        op.drop_column("results", name)
    op.drop_table("suite_studies")
    op.drop_table("suites")
