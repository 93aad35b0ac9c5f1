"""Passwords, sessions, and requests for a new password."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "account",
        sa.Column("reader", ID, autoincrement=False, nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["reader"], ["reader.id"], name=op.f("fk_account_reader"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("reader", name=op.f("pk_account")),
    )
    op.create_table(
        "session",
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("reader", ID, nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("used", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["reader"], ["reader.id"], name=op.f("fk_session_reader"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_session")),
    )
    op.create_index("ix_session_reader", "session", ["reader"], unique=False)
    op.create_table(
        "password_request",
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("email", name=op.f("pk_password_request")),
    )
