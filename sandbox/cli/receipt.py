"""`usufruct receipt …`: fetch a receipt, and verify one anywhere with the exchange's public record alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sandbox.cli import options, output
from sandbox.cli.command import JsonCommand

app = typer.Typer(no_args_is_help=True, help="Fetch receipts, and verify them offline.")


@app.command("verify", cls=JsonCommand)
def verify(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The receipt.")],
    exchange: Annotated[
        Path,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="The exchange's public record: `exchange.json` of any party that enrolled there.",
        ),
    ],
) -> None:
    """Verify a receipt offline: signatures, its place in the log, every opened field, the charge."""
    from records.errors import MalformedDocument
    from records.keys import VerifyingKey
    from sandbox import receipt as receipts
    from sandbox.cli.folder import self_signed

    record = self_signed(exchange.read_bytes()).document
    if record.role != "exchange" or record.log_key is None:
        raise MalformedDocument("`--exchange` is not the record of an exchange")
    keys = receipts.ExchangeKeys(
        record.environment, record.verifying_key, VerifyingKey.from_json(record.log_key)
    )
    verified = receipts.verify(file.read_bytes(), keys)
    found = verified.receipt
    output.answer(
        {
            "verified": True,
            "job": found.job_id,
            "recipient": found.recipient,
            "environment": found.environment,
            "exchange": record.party,
            "exchange_key_id": record.verifying_key.key_id,
            "log_index": found.log_index,
            "released": found.token is not None,
            "issued_at": found.issued_at,
            "facts": verified.facts,
            "assumption": found.assumption,
            "limits": list(found.limits),
        }
    )


@app.command("fetch", cls=JsonCommand)
def fetch(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job.")],
    file: Annotated[Path, typer.Argument(dir_okay=False, help="Where the receipt goes.")],
    as_folder: options.As,
    passphrase_file: options.PassphraseFile = None,
) -> None:
    """Fetch this party's own receipt of a job; it opens only what concerns this party."""
    from sandbox.cli.folder import member
    from sandbox.keystore import write_private

    with member(as_folder, passphrase_file) as own:
        envelope = own.run(own.client.receipt(own.caller, job_id))
    write_private(file, envelope)
    output.answer({"job": job_id, "receipt": str(file)}, f"receipt of job {job_id} written to {file}")
