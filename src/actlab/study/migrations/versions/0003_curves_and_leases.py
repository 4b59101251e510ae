"""Learning curves have a table of their own; trials have checksums, and leases while they run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from zlib import crc32

import numpy as np
import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

AT_ONCE = 1000

TRIALS = sa.table("trials", sa.column("id", sa.Integer), sa.column("curve", sa.JSON))
CURVES = sa.table("curves", sa.column("trial_id", sa.Integer), sa.column("points", sa.LargeBinary))


def upgrade() -> None:
    """Move the curves out of the table of trials."""
    op.create_table(
        "curves",
        sa.Column("trial_id", sa.Integer, sa.ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("points", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("study_id", sa.Integer, sa.ForeignKey("studies.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("arm", sa.String(500), primary_key=True),
        sa.Column("point", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seed", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("until", sa.Float(53), nullable=False),
    )
    for rows in _pages(sa.select(TRIALS.c.id, TRIALS.c.curve), key=TRIALS.c.id):
        op.get_bind().execute(sa.insert(CURVES), [{"trial_id": row.id, "points": _packed(row.curve)} for row in rows])
    # Without a copy of the table, which would delete the rows of `curves` that refer to it.
    op.drop_column("trials", "curve")
    op.add_column("trials", sa.Column("checksum", sa.BigInteger))


def downgrade() -> None:
    """Move the curves back."""
    op.add_column("trials", sa.Column("curve", sa.JSON, nullable=False, server_default="[]"))
    for rows in _pages(sa.select(CURVES.c.trial_id.label("id"), CURVES.c.points), key=CURVES.c.trial_id):
        for row in rows:
            changed = sa.update(TRIALS).where(TRIALS.c.id == row.id)
            op.get_bind().execute(changed.values(curve=_unpacked(row.points)))
    op.drop_column("trials", "checksum")
    op.drop_table("leases")
    op.drop_table("curves")


def _pages(query: Any, *, key: Any) -> Iterator[list[Any]]:
    """Yield the rows of a query a thousand at a time: all curves of a large store do not fit into memory."""
    last = -1
    while rows := list(op.get_bind().execute(query.where(key > last).order_by(key).limit(AT_ONCE))):
        yield rows
        last = rows[-1].id


def _packed(curve: Any) -> bytes:
    try:
        numbers = np.array([(epoch["loss"], epoch["valid"]) for epoch in curve], dtype="<f8").tobytes()
    except (TypeError, KeyError, IndexError) as error:
        raise ValueError("the learning curve of a trial is damaged") from error
    return numbers + crc32(numbers).to_bytes(4, "little")


def _unpacked(points: bytes) -> list[dict[str, float]]:
    numbers = np.frombuffer(points[:-4], dtype="<f8").tolist()
    return [{"loss": loss, "valid": valid} for loss, valid in zip(numbers[::2], numbers[1::2], strict=True)]
