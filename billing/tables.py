"""The tables of the ledger and of the log, for SQLite and PostgreSQL alike.

Rows of `transfer`, `log_leaf`, `log_node` and `log_checkpoint` are written once and never changed; the
only cells that move are the four running totals of `account`. Times are text (`records.clock.to_text`).
Who holds the connection begins and commits: on SQLite with BEGIN IMMEDIATE.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

metadata = MetaData(
    naming_convention={
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

account = Table(
    "account",
    metadata,
    Column("account_id", String(128), primary_key=True),
    Column("unit", String(128), primary_key=True),
    Column("bound", String(16), nullable=False),
    Column("debits_pending", BigInteger, nullable=False),
    Column("credits_pending", BigInteger, nullable=False),
    Column("debits_posted", BigInteger, nullable=False),
    Column("credits_posted", BigInteger, nullable=False),
    CheckConstraint("bound IN ('free', 'credit-limited')", name="bound_known"),
    CheckConstraint("debits_pending >= 0 AND credits_pending >= 0", name="pending_not_negative"),
    # The database refuses an overdraft by itself, should the engine above it ever be wrong.
    CheckConstraint("bound = 'free' OR debits_pending + debits_posted <= credits_posted", name="bound_kept"),
)

transfer = Table(
    "transfer",
    metadata,
    # The order of writing, which no clock says. PostgreSQL may leave gaps.
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("transfer_id", String(128), unique=True, nullable=False),
    Column("kind", String(8), nullable=False),
    # The hold that a post or void closes, or the transfer that a reversal undoes: each at most once.
    Column("refers_to", String(128), unique=True),
    Column("debit", String(128), nullable=False),
    Column("credit", String(128), nullable=False),
    Column("unit", String(128), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("expires_at", String(24)),
    Column("made_at", String(24), nullable=False),
    ForeignKeyConstraint(["debit", "unit"], ["account.account_id", "account.unit"]),
    ForeignKeyConstraint(["credit", "unit"], ["account.account_id", "account.unit"]),
    ForeignKeyConstraint(["refers_to"], ["transfer.transfer_id"]),
    CheckConstraint("kind IN ('hold', 'post', 'void', 'transfer', 'reversal')", name="kind_known"),
    CheckConstraint("amount > 0", name="amount_positive"),
    CheckConstraint("debit <> credit", name="two_accounts"),
    CheckConstraint("(kind IN ('hold', 'transfer')) = (refers_to IS NULL)", name="refers_by_kind"),
    CheckConstraint("(kind = 'hold') = (expires_at IS NOT NULL)", name="expires_by_kind"),
    Index(None, "debit", "unit", "sequence"),
    Index(None, "credit", "unit", "sequence"),
)

log_leaf = Table(
    "log_leaf",
    metadata,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("leaf", LargeBinary, nullable=False),
    CheckConstraint("leaf_index >= 0", name="index_not_negative"),
)

log_node = Table(
    "log_node",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("node_index", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    CheckConstraint("level >= 0 AND node_index >= 0", name="place_not_negative"),
)

log_checkpoint = Table(
    "log_checkpoint",
    metadata,
    Column("origin", String(255), primary_key=True),
    # One row per size, written before it is signed: a log cannot sign two roots for one size (R6).
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
)
