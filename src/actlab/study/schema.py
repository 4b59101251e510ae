"""The tables of the store, and the migration of an older store."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

MIGRATIONS = Path(__file__).parent / "migrations"

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

# The index of its constraint begins with the study, so that one study is read without the others.
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
    sa.Column("seconds", sa.Float(53), nullable=False),
    sa.Column("beside", sa.JSON, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("version", sa.String(40), nullable=False),
    sa.Column("finished", sa.DateTime(timezone=True), nullable=False),
    # none in a row that a version without checksums wrote
    sa.Column("checksum", sa.BigInteger),
    sa.UniqueConstraint("study_id", "arm", "point", "seed", name="one_row_a_trial"),
)

# Apart from the trials, which are read far more often: a curve may have hundreds of points.
CURVES = sa.Table(
    "curves",
    METADATA,
    sa.Column("trial_id", sa.Integer, sa.ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("points", sa.LargeBinary, nullable=False),
)

# The trials that a process is running, until when it need not be asked again.
LEASES = sa.Table(
    "leases",
    METADATA,
    sa.Column("study_id", sa.Integer, sa.ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("arm", sa.String(500), primary_key=True),
    sa.Column("point", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seed", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("owner", sa.String(200), nullable=False),
    sa.Column("until", sa.Float(53), nullable=False),
)

# What a finished study found, so that it is reported without its task.
RESULTS = sa.Table(
    "results",
    METADATA,
    sa.Column("study_id", sa.Integer, sa.ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("comparison", sa.JSON, nullable=False),
    sa.Column("version", sa.String(40), nullable=False),
    sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    # What the task is like, by which results of similar tasks are found; none in a row of an older version.
    sa.Column("data", sa.String(40)),
    sa.Column("target", sa.String(40)),
    sa.Column("rows", sa.BigInteger),
    sa.Index("results_about", "data", "target", "rows"),
)

# Comparisons of the same arms on several tasks, with what was concluded over all.
SUITES = sa.Table(
    "suites",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("tasks", sa.JSON, nullable=False),
    sa.Column("version", sa.String(40), nullable=False),
    sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    sa.Column("conclusion", sa.JSON),
)

# The studies of a suite, one for each task.
SUITE_STUDIES = sa.Table(
    "suite_studies",
    METADATA,
    sa.Column("suite_id", sa.Integer, sa.ForeignKey("suites.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("study_id", sa.Integer, sa.ForeignKey("studies.id", ondelete="CASCADE"), nullable=False),
)


# Two processes may open a new store at the same moment: one creates the tables, and the other waits.
LOCKS = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "SELECT pg_advisory_xact_lock(717171)"}


def bring_up_to_date(engine: sa.Engine) -> bool:
    """Migrate the store to the newest schema, if it does not have it yet; return False if it has a newer one."""
    if _revision(engine) == newest_revision():
        return True
    # Importing Alembic takes a tenth of a second, and the lock waits for other writers.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.begin() as connection:
        connection.exec_driver_sql(LOCKS[engine.dialect.name])
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError:  # its schema has a revision that is not among ours
            return False
    return True


def newest_revision() -> str:
    """Return the revision of this version's schema; the files of the migrations begin with theirs."""
    return max(file.name for file in (MIGRATIONS / "versions").glob("[0-9]*.py")).partition("_")[0]


def _revision(engine: sa.Engine) -> str | None:
    """Return the revision of the store's schema; None for a new store."""
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
