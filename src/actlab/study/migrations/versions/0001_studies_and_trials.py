"""Studies and their trials."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "studies",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("version", sa.String(40), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("name", "attempt", name="one_study_an_attempt"),
    )
    op.create_table(
        "trials",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study_id", sa.Integer, sa.ForeignKey("studies.id", ondelete="CASCADE"), nullable=False),
        sa.Column("arm", sa.String(500), nullable=False),
        sa.Column("point", sa.Integer, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("diverged", sa.Boolean, nullable=False),
        sa.Column("rate", sa.Float(53), nullable=False),
        sa.Column("valid", sa.Float(53), nullable=False),
        sa.Column("test", sa.Float(53)),
        sa.Column("steps", sa.Integer, nullable=False),
        sa.Column("curve", sa.JSON, nullable=False),
        sa.Column("seconds", sa.Float(53), nullable=False),
        sa.Column("version", sa.String(40), nullable=False),
        sa.Column("finished", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("study_id", "arm", "point", "seed", "role", name="one_row_a_trial"),
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("trials")
    op.drop_table("studies")
