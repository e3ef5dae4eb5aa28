"""Alembic's entry: runs the migrations on the connection that `Store` hands over."""

from __future__ import annotations

from alembic import context

import billing.tables
import sandbox.exchange.tables
import sandbox.node.tables

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=[
        billing.tables.metadata,
        sandbox.exchange.tables.metadata,
        sandbox.node.tables.metadata,
    ],
)
with context.begin_transaction():
    context.run_migrations()
