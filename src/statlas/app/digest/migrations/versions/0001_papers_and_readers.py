"""Papers, feeds, readers and mails, and the index of the papers' text."""

from __future__ import annotations

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

SQLITE_TEXT = (
    """
    CREATE VIRTUAL TABLE paper_text USING fts5(
        title, abstract, authors, categories, content='paper', content_rowid='id',
        tokenize="porter unicode61 remove_diacritics 2"
    )
    """,
    # A large table in memory halves the time of indexing; the setting is kept in the database.
    "INSERT INTO paper_text(paper_text, rank) VALUES ('hashsize', 67108864)",
    # New papers are indexed in batches where they are written; changes of one follow by themselves.
    """
    CREATE TRIGGER paper_text_update AFTER UPDATE OF title, abstract, authors, categories ON paper
    BEGIN
        INSERT INTO paper_text(paper_text, rowid, title, abstract, authors, categories)
        VALUES ('delete', old.id, old.title, old.abstract, old.authors, old.categories);
        INSERT INTO paper_text(rowid, title, abstract, authors, categories)
        VALUES (new.id, new.title, new.abstract, new.authors, new.categories);
    END
    """,
    """
    CREATE TRIGGER paper_text_delete AFTER DELETE ON paper BEGIN
        INSERT INTO paper_text(paper_text, rowid, title, abstract, authors, categories)
        VALUES ('delete', old.id, old.title, old.abstract, old.authors, old.categories);
    END
    """,
    "CREATE VIRTUAL TABLE paper_word USING fts5vocab(paper_text, row)",
)
# SQLite's tokenizer drops accents; here letters are replaced one for one, since a generated column
# may use nothing that could change, as the extension `unaccent` might.
ACCENTED = "".join(
    letter
    for letter in map(chr, range(0xC0, 0x250))
    if len(unicodedata.normalize("NFD", letter)) > 1
)
PLAIN = "".join(unicodedata.normalize("NFD", letter)[0] for letter in ACCENTED)


def _vector(configuration: str, column: str, weight: str) -> str:
    plain = f"translate({column}, '{ACCENTED}', '{PLAIN}')"
    return f"setweight(to_tsvector('{configuration}', {plain}), '{weight}')"


POSTGRESQL_TEXT = (
    f"""
    ALTER TABLE paper ADD COLUMN text tsvector GENERATED ALWAYS AS (
        {_vector("english", "title", "A")} || {_vector("simple", "authors", "B")} ||
        {_vector("simple", "categories", "C")} || {_vector("english", "abstract", "D")}
    ) STORED
    """,
    "CREATE INDEX ix_paper_text ON paper USING gin (text)",
)


def upgrade() -> None:
    """Make everything."""
    op.create_table(
        "feed",
        sa.Column("id", ID, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("added", sa.Double(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("modified", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.Double(), nullable=False),
        sa.Column("last_ok", sa.Double(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feed")),
        sa.UniqueConstraint("source", name=op.f("uq_feed_source")),
    )
    op.create_table(
        "paper",
        sa.Column("id", ID, nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("abstract", sa.Text(), nullable=False),
        sa.Column("authors", sa.Text(), nullable=False),
        sa.Column("categories", sa.Text(), nullable=False),
        sa.Column("published", sa.Text(), nullable=False),
        sa.Column("updated", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("first_seen", sa.Double(), nullable=False),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_paper")),
    )
    op.create_index("ix_paper_first_seen", "paper", ["first_seen"], unique=False)
    op.create_index("ix_paper_published", "paper", ["published"], unique=False)
    op.create_table(
        "reader",
        sa.Column("id", ID, nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("categories", sa.Text(), nullable=False),
        sa.Column("papers_a_mail", sa.Integer(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("confirmed", sa.Double(), nullable=True),
        sa.Column("bounces", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reader")),
        sa.UniqueConstraint("email", name=op.f("uq_reader_email")),
    )
    op.create_table(
        "mail",
        sa.Column("id", ID, nullable=False),
        sa.Column("reader", ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.Double(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("composed", sa.Double(), nullable=False),
        sa.Column("sent", sa.Double(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["reader"], ["reader.id"], name=op.f("fk_mail_reader"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mail")),
        sa.UniqueConstraint("reader", "kind", "day", name=op.f("uq_mail_reader")),
    )
    op.create_index("ix_mail_state", "mail", ["state", "next_at"], unique=False)
    op.create_table(
        "paper_category",
        sa.Column("paper", ID, nullable=False),
        sa.Column("category", NAME, nullable=False),
        sa.ForeignKeyConstraint(
            ["paper"], ["paper.id"], name=op.f("fk_paper_category_paper"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("paper", "category", name=op.f("pk_paper_category")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_paper_category_category", "paper_category", ["category"], unique=False)
    op.create_table(
        "paper_key",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("paper", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["paper"], ["paper.id"], name=op.f("fk_paper_key_paper"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_paper_key")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "paper_version",
        sa.Column("paper", ID, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["paper"], ["paper.id"], name=op.f("fk_paper_version_paper"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("paper", "version", name=op.f("pk_paper_version")),
    )
    op.create_table(
        "problem",
        sa.Column("id", ID, nullable=False),
        sa.Column("feed", ID, nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("excerpt", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["feed"], ["feed.id"], name=op.f("fk_problem_feed"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_problem")),
        sa.UniqueConstraint("feed", "place", "message", name=op.f("uq_problem_feed")),
    )
    op.create_table(
        "saved",
        sa.Column("reader", ID, nullable=False),
        sa.Column("paper", ID, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["paper"], ["paper.id"], name=op.f("fk_saved_paper"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["reader"], ["reader.id"], name=op.f("fk_saved_reader"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("reader", "paper", name=op.f("pk_saved")),
    )
    op.create_index("ix_saved_at", "saved", ["at"], unique=False)
    op.create_index("ix_saved_paper", "saved", ["paper"], unique=False)
    op.create_table(
        "signal",
        sa.Column("paper", ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("amount", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["paper"], ["paper.id"], name=op.f("fk_signal_paper"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("paper", "kind", "day", name=op.f("pk_signal")),
    )
    op.create_index("ix_signal_day", "signal", ["day"], unique=False)
    op.create_table(
        "tagged",
        sa.Column("reader", ID, nullable=False),
        sa.Column("paper", ID, nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["paper"], ["paper.id"], name=op.f("fk_tagged_paper"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["reader"], ["reader.id"], name=op.f("fk_tagged_reader"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("reader", "paper", "tag", name=op.f("pk_tagged")),
    )
    op.create_index("ix_tagged_paper", "tagged", ["paper"], unique=False)
    op.create_table(
        "mailed",
        sa.Column("reader", ID, nullable=False),
        sa.Column("paper", ID, nullable=False),
        sa.Column("mail", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["mail"], ["mail.id"], name=op.f("fk_mailed_mail"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["paper"], ["paper.id"], name=op.f("fk_mailed_paper"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["reader"], ["reader.id"], name=op.f("fk_mailed_reader"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("reader", "paper", name=op.f("pk_mailed")),
    )
    op.create_index("ix_mailed_mail", "mailed", ["mail"], unique=False)
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in SQLITE_TEXT if sqlite else POSTGRESQL_TEXT:
        op.execute(statement)
