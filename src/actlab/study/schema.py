"""The tables of the store, and the migration of an older store."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

METADATA = sa.MetaData()

STUDIES = sa.Table(
    "studies",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("version", sa.String(40), nullable=False),
    sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    sa.UniqueConstraint("name", "attempt", name="one_study_an_attempt"),
)

TRIALS = sa.Table(
    "trials",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("study_id", sa.Integer, sa.ForeignKey("studies.id", ondelete="CASCADE"), nullable=False),
    sa.Column("arm", sa.String(500), nullable=False),
    sa.Column("point", sa.Integer, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("diverged", sa.Boolean, nullable=False),
    sa.Column("rate", sa.Float(53), nullable=False),
    sa.Column("valid", sa.Float(53), nullable=False),
    sa.Column("test", sa.Float(53)),
    sa.Column("still_learning", sa.Boolean, nullable=False),
    sa.Column("best", sa.Integer, nullable=False),
    sa.Column("steps", sa.Integer, nullable=False),
    sa.Column("curve", sa.JSON, nullable=False),
    sa.Column("seconds", sa.Float(53), nullable=False),
    sa.Column("version", sa.String(40), nullable=False),
    sa.Column("finished", sa.DateTime(timezone=True), nullable=False),
    sa.UniqueConstraint("study_id", "arm", "point", "seed", name="one_row_a_trial"),
)

RESULTS = sa.Table(
    "results",
    METADATA,
    sa.Column("study_id", sa.Integer, sa.ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("comparison", sa.JSON, nullable=False),
    sa.Column("version", sa.String(40), nullable=False),
    sa.Column("created", sa.DateTime(timezone=True), nullable=False),
)


# Two processes may open a new store at the same moment: one creates the tables, and the other waits.
LOCKS = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "SELECT pg_advisory_xact_lock(717171)"}


def bring_up_to_date(engine: sa.Engine) -> None:
    """Migrate the store to the newest schema, if it does not have it yet."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    with engine.begin() as connection:
        connection.exec_driver_sql(LOCKS[engine.dialect.name])
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
