"""Vectors of what papers mean."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "paper_vector",
        sa.Column("paper", ID, autoincrement=False, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("written", sa.BigInteger(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["paper"], ["paper.id"], name=op.f("fk_paper_vector_paper"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("paper", name=op.f("pk_paper_vector")),
    )
    op.create_index("ix_paper_vector_model", "paper_vector", ["model", "written"], unique=False)
