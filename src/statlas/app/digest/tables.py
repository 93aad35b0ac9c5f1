"""The tables of the digest, for SQLite and PostgreSQL alike.

Times are seconds since 1970 (UTC), days are ISO dates. `migrations` makes and changes the tables; a
test holds that what it makes is what is written here.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
# SQLite gives ids to INTEGER keys only.
Id = BigInteger().with_variant(Integer(), "sqlite")
# In the order of code points, whatever the server's language is: for ranges of names.
Name = Text().with_variant(Text(collation="C"), "postgresql")


def _paper() -> Column[int]:
    return Column("paper", Id, ForeignKey("paper.id", ondelete="CASCADE"), nullable=False)


def _reader() -> Column[int]:
    return Column("reader", Id, ForeignKey("reader.id", ondelete="CASCADE"), nullable=False)


paper = Table(
    "paper",
    metadata,
    Column("id", Id, primary_key=True),
    Column("origin", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("abstract", Text, nullable=False),
    Column("authors", Text, nullable=False),  # one a line
    Column("categories", Text, nullable=False),  # separated by spaces
    Column("published", Text, nullable=False),
    Column("updated", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("first_seen", Double, nullable=False),
    Column("changed", Double, nullable=False),
    Index("ix_paper_published", "published"),
    Index("ix_paper_first_seen", "first_seen"),
)

# Every name of a paper: its arXiv number, DOI and web addresses.
paper_key = Table(
    "paper_key",
    metadata,
    Column("key", Text, primary_key=True),
    _paper(),
    sqlite_with_rowid=False,
)

# What a paper was before it was revised.
paper_version = Table(
    "paper_version",
    metadata,
    _paper(),
    Column("version", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("until", Double, nullable=False),
    Column("content", Text, nullable=False),  # JSON of the fields
    PrimaryKeyConstraint("paper", "version"),
)

paper_category = Table(
    "paper_category",
    metadata,
    _paper(),
    Column("category", Name, nullable=False),
    PrimaryKeyConstraint("paper", "category"),
    Index("ix_paper_category_category", "category"),
    sqlite_with_rowid=False,
)

# What a paper means, as a sentence-embedding model reads it.
paper_vector = Table(
    "paper_vector",
    metadata,
    Column("paper", Id, ForeignKey("paper.id", ondelete="CASCADE"), primary_key=True),
    Column("model", Text, nullable=False),
    Column("digest", Text, nullable=False),  # the paper's when it was read
    Column("written", BigInteger, nullable=False),  # microseconds since 1970; later is higher
    Column("vector", LargeBinary, nullable=False),  # float16, little-endian
    Index("ix_paper_vector_model", "model", "written"),
)

# Counts that feeds report (votes, citations, code links), the highest of each day.
signal = Table(
    "signal",
    metadata,
    _paper(),
    Column("kind", Text, nullable=False),
    Column("day", Text, nullable=False),
    Column("amount", Double, nullable=False),
    PrimaryKeyConstraint("paper", "kind", "day"),
    Index("ix_signal_day", "day"),
)

feed = Table(
    "feed",
    metadata,
    Column("id", Id, primary_key=True),
    Column("source", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("added", Double, nullable=False),
    Column("etag", Text, nullable=False, default=""),
    Column("modified", Text, nullable=False, default=""),
    Column("fingerprint", Text, nullable=False, default=""),
    Column("position", BigInteger, nullable=False, default=0),  # records already read of it
    Column("failures", Integer, nullable=False, default=0),
    Column("next_at", Double, nullable=False, default=0.0),
    Column("last_ok", Double),
    Column("last_error", Text, nullable=False, default=""),
    UniqueConstraint("source"),
)

problem = Table(
    "problem",
    metadata,
    Column("id", Id, primary_key=True),
    Column("feed", Id, ForeignKey("feed.id", ondelete="CASCADE"), nullable=False),
    Column("place", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("excerpt", Text, nullable=False),
    Column("at", Double, nullable=False),
    UniqueConstraint("feed", "place", "message"),
)

reader = Table(
    "reader",
    metadata,
    Column("id", Id, primary_key=True),
    Column("email", Text, nullable=False),
    Column("state", Text, nullable=False),  # pending, active, stopped, bouncing
    Column("timezone", Text, nullable=False, default="UTC"),
    Column("hour", Integer, nullable=False, default=7),
    Column("query", Text, nullable=False, default=""),
    Column("categories", Text, nullable=False, default=""),
    Column("papers_a_mail", Integer, nullable=False, default=10),
    Column("secret", Text, nullable=False),  # what links in this reader's mails are signed with
    Column("created", Double, nullable=False),
    Column("confirmed", Double),
    Column("bounces", Integer, nullable=False, default=0),
    UniqueConstraint("email"),
)

# The password of a reader who has one.
account = Table(
    "account",
    metadata,
    Column("reader", Id, ForeignKey("reader.id", ondelete="CASCADE"), primary_key=True),
    Column("password", Text, nullable=False),  # hashed, with the parameters of the hash
    Column("changed", Double, nullable=False),
)

# A browser that is signed in.
session = Table(
    "session",
    metadata,
    Column("token", Text, primary_key=True),  # the SHA-256 of what the browser has
    _reader(),
    Column("created", Double, nullable=False),
    Column("used", Double, nullable=False),
    Index("ix_session_reader", "reader"),
)

# Addresses for which a new password was asked for, whether or not they are a reader's.
password_request = Table(
    "password_request",
    metadata,
    Column("email", Text, primary_key=True),
    Column("at", Double, nullable=False),
)

saved = Table(
    "saved",
    metadata,
    _reader(),
    _paper(),
    Column("at", Double, nullable=False),
    PrimaryKeyConstraint("reader", "paper"),
    Index("ix_saved_paper", "paper"),
    Index("ix_saved_at", "at"),
)

tagged = Table(
    "tagged",
    metadata,
    _reader(),
    _paper(),
    Column("tag", Text, nullable=False),
    Column("at", Double, nullable=False),
    PrimaryKeyConstraint("reader", "paper", "tag"),
    Index("ix_tagged_paper", "paper"),
)

# The outbox: what is to be sent, is being sent and was sent.
mail = Table(
    "mail",
    metadata,
    Column("id", Id, primary_key=True),
    _reader(),
    Column("kind", Text, nullable=False),  # digest, confirm, password
    Column("day", Text, nullable=False),  # in the reader's time zone
    Column("state", Text, nullable=False),  # see outbox.py
    Column("message_id", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_at", Double, nullable=False, default=0.0),
    Column("sender", Text, nullable=False, default=""),  # host and start of the machine
    Column("composed", Double, nullable=False),
    Column("sent", Double),
    Column("error", Text, nullable=False, default=""),
    UniqueConstraint("reader", "kind", "day"),
    Index("ix_mail_state", "state", "next_at"),
)

# Each paper goes to a reader once.
mailed = Table(
    "mailed",
    metadata,
    _reader(),
    _paper(),
    Column("mail", Id, ForeignKey("mail.id", ondelete="CASCADE"), nullable=False),
    PrimaryKeyConstraint("reader", "paper"),
    Index("ix_mailed_mail", "mail"),
)
