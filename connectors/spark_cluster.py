"""A Spark cluster behind Spark Connect: sessions with fixed settings, queries that stream and end in time.

Every query has a session of its own: it sees the views of that query alone, its interrupt ends no other, and
it does not depend on how long the server keeps an idle session. `pyspark` is imported when a cluster is
first asked; it comes with the extra `spark`. What the cluster says of an error quotes values of rows, so it
is neither passed on nor logged here. The log of the cluster itself is the provider's.
"""

from __future__ import annotations

import ipaddress
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pyarrow as pa

from connectors.connector import UNANSWERED
from connectors.locked_database import TimeLimit, empty_batch
from records.errors import MalformedDocument, NotPermitted, SourceUnreadable

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession

INTERRUPT_EVERY_S = 0.2
UNREACHABLE = "the Spark cluster does not answer, or has no such table or path; check `remote` and the name"
UNSAID = "Spark cannot run this query over the table as it is; write it in simpler parts"
QUERY_LOGGERS = ("SQLQueryContextLogger", "DataFrameQueryContextLogger")
"""Where `pyspark` writes the text of every error of a query, with values of rows in it."""

SETTINGS = {
    "spark.sql.ansi.enabled": "true",  # an overflow is an error, not another number
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.caseSensitive": "false",
    "spark.sql.decimalOperations.allowPrecisionLoss": "false",
    # '${env:NAME}' in a literal would become a variable of the server's environment.
    "spark.sql.variable.substitute": "false",
    "spark.sql.runSQLOnFiles": "false",  # csv.`/etc/passwd` is no table
    "spark.sql.parser.quotedRegexColumnNames": "false",
    "spark.sql.ansi.doubleQuotedIdentifiers": "false",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
}
BACKSLASHES_KEPT = "spark.sql.parser.escapedStringLiterals"
"""A server with it reads literals otherwise than they are written here. To set it, to whatever, warns."""


@dataclass(frozen=True, slots=True)
class SparkCluster:
    """A Spark Connect server: `sc://host:port`, with `/;use_ssl=true` wherever it is not on this machine.

    `token_file` holds the bearer token, alone; it is read for each session and shown nowhere.
    """

    remote: str
    token_file: Path | None = None

    def __post_init__(self) -> None:
        """Refuse a token in the text, and a network without TLS.

        Raises:
            MalformedDocument: `remote` cannot be used so.
        """
        url = urlsplit(self.remote)
        parameters = {part.partition("=")[0].lower(): part.partition("=")[2] for part in url.path.split(";")}
        if url.scheme != "sc" or not url.hostname or url.username or url.password:
            raise MalformedDocument("`remote` of a Spark cluster is written sc://host:port")
        if "token" in parameters:
            raise MalformedDocument("a token does not belong into `remote`; name a `token_file`")
        if parameters.get("use_ssl", "").lower() != "true" and not _is_this_machine(url.hostname):
            raise MalformedDocument("a Spark cluster on the network needs TLS; add `/;use_ssl=true`")

    @contextmanager
    def session(self) -> Iterator[SparkSession]:
        """Give a session with `SETTINGS`, and end it afterwards.

        Raises:
            SourceUnreadable: the cluster does not answer, or its version lacks a setting.
            NotPermitted: `pyspark` is not installed.
        """
        session = self._connected()
        try:
            yield session
        finally:
            session.stop()

    def _connected(self) -> SparkSession:
        session_type, builder_type, policy_type = _pyspark()
        builder = builder_type(self.remote)
        try:
            if self.token_file is not None:
                builder.set(builder.PARAM_TOKEN, self.token_file.read_text().strip())
        except OSError:
            raise SourceUnreadable("the `token_file` of the Spark cluster cannot be read") from None
        session: SparkSession = session_type(builder)
        try:
            with errors():
                # The default policy tries for many minutes.
                session.client.set_retry_policies([policy_type(max_retries=4, max_backoff=1000)])
                for name, value in SETTINGS.items():
                    session.conf.set(name, value)
                backslashes_kept = session.conf.get(BACKSLASHES_KEPT, "false")
            if backslashes_kept != "false":
                raise SourceUnreadable(f"the Spark cluster has `{BACKSLASHES_KEPT}`; unset it")
        except BaseException:
            session.stop()
            raise
        return session


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _pyspark() -> tuple[Any, Any, Any]:
    try:
        with warnings.catch_warnings():
            # It warns of pandas 3; nothing here goes through pandas.
            warnings.simplefilter("ignore", FutureWarning)
            from pyspark.logger import PySparkLogger
            from pyspark.sql.connect.client.core import DefaultChannelBuilder
            from pyspark.sql.connect.client.retries import DefaultPolicy
            from pyspark.sql.connect.session import SparkSession
    except ImportError:
        raise NotPermitted("a Spark source needs the extra `spark`: install usufruct[spark]") from None
    for name in QUERY_LOGGERS:
        PySparkLogger.getLogger(name).disabled = True
    return SparkSession, DefaultChannelBuilder, DefaultPolicy


def stream(
    session: SparkSession, text: str, schema: pa.Schema, limit: TimeLimit, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """Run the Spark query `text` and give its rows with the columns of `schema`, in at least one batch.

    The server sends batches of at most 65,536 rows and some 4 MiB, and no more than it was asked for; one at
    a time is held here.

    Raises:
        LimitExceeded: time.
        NotPermitted: Spark cannot run it.
        SourceUnreadable: a value does not fit an operation, or the cluster is gone.
    """
    from pyspark.sql.connect.plan import SQL

    yield empty_batch(schema)
    plan = SQL(text).to_proto(session.client)
    rows = session.client.to_table_as_iterator(plan, {})
    while True:
        with _step(session, limit):
            part = next(rows, None)
            if part is None:
                return
            if not isinstance(part, pa.Table):
                continue  # the schema in Spark's own form
            batches = part.rename_columns(schema.names).cast(schema).to_batches(max_chunksize=batch_rows)
        yield from batches


@contextmanager
def _step(session: SparkSession, limit: TimeLimit) -> Iterator[None]:
    expired = threading.Event()
    with limit.step(), errors(limit, expired), _interrupted_after(limit.left_s, session, expired):
        yield


@contextmanager
def errors(limit: TimeLimit | None = None, expired: threading.Event | None = None) -> Iterator[None]:
    """Say in constant words what the cluster could not do in the block: a step of a query, if it has a limit.

    Raises:
        LimitExceeded: the step was ended because its time had `expired`.
        NotPermitted: Spark cannot run the query.
        SourceUnreadable: any other failure.
    """
    from pyspark.errors import AnalysisException, PySparkException

    try:
        yield
    except (PySparkException, pa.ArrowException) as error:
        if limit is None:
            raise SourceUnreadable(UNREACHABLE) from None
        if expired is not None and expired.is_set():
            raise limit.exceeded() from None
        if isinstance(error, AnalysisException):
            raise NotPermitted(UNSAID) from None
        raise SourceUnreadable(UNANSWERED) from None


@contextmanager
def _interrupted_after(timeout_s: float, session: SparkSession, expired: threading.Event) -> Iterator[None]:
    done = threading.Event()

    def interrupt() -> None:
        if done.wait(timeout_s):
            return
        expired.set()
        # An interrupt before the server knows of the query is lost, so it is repeated until the query ended.
        while not done.wait(INTERRUPT_EVERY_S):
            session.interruptAll()

    watch = threading.Thread(target=interrupt, name="query-time-limit", daemon=True)
    watch.start()
    try:
        yield
    finally:
        done.set()
        watch.join()
