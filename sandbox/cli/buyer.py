"""What a buyer does at the command line: catalogue, quote, run, jobs; and every party's statement."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sandbox.cli import options, output

if TYPE_CHECKING:
    from sandbox.buyer.client import BuyerJob
    from sandbox.cli.folder import Member

ENDINGS = (".csv", ".parquet")

Technique = Literal["auto", "local", "secret-sharing"]


def result_file(text: str) -> Path:
    """Return the path if a result can be written there: asked before the job, not after it was paid."""
    path = Path(text)
    if path.suffix not in ENDINGS:
        raise typer.BadParameter("a result is written to `.csv` or `.parquet`")
    if not path.parent.is_dir():
        raise typer.BadParameter("the folder of this file does not exist")
    return path


Query = Annotated[str, typer.Argument(metavar="SQL", help="One SELECT over products and collections.")]
Purpose = Annotated[str, typer.Option(help="What the result is for; the terms list what is allowed.")]
MaxGroups = Annotated[
    int, typer.Option(min=1, help="The most rows of a joint result, and of a table without declared rows.")
]
Asked = Annotated[Technique, typer.Option(help="How values are computed.")]
Out = Annotated[
    Path | None, typer.Option(parser=result_file, metavar="FILE", help="Result: .csv or .parquet.")
]
ReceiptOut = Annotated[Path | None, typer.Option(dir_okay=False, help="Where the signed receipt goes.")]


def catalogue(
    as_folder: options.As,
    search: Annotated[str, typer.Argument(help="Part of the product's name.")] = "",
    passphrase_file: options.PassphraseFile = None,
) -> None:
    """List what is on offer: products with columns, terms and price, and collections."""
    from sandbox.cli.folder import member

    with member(as_folder, passphrase_file) as own:
        buyer = own.buyer()
        products = buyer.products(search)
        collections = {name: list(members) for name, members in sorted(buyer.collections().items())}
    entries = [
        {"product": item.name, "columns": item.schema, "terms": list(item.terms), "price": item.price}
        for item in products
    ]
    shown: list[str] = []
    for item in products:
        columns = ", ".join(f"{name} {kind}" for name, kind in item.schema.items())
        shown += [item.name, f"  columns: {columns}", *(f"  {sentence}" for sentence in item.terms), ""]
    shown += [f"collection {name}: {', '.join(members)}" for name, members in collections.items()]
    output.answer({"products": entries, "collections": collections}, *(shown or ["nothing is on offer"]))


def quote(
    query: Query,
    purpose: Purpose,
    as_folder: options.As,
    max_groups: MaxGroups = 256,
    technique: Asked = "auto",
    passphrase_file: options.PassphraseFile = None,
) -> None:
    """Ask for the price of a job, and what it rests on; costs nothing."""
    from sandbox.cli.folder import member

    with member(as_folder, passphrase_file) as own, output.progress() as show:
        show("asking every node", 0)
        job = own.buyer().sql(query, purpose=purpose, technique=technique, max_groups=max_groups)
        quoted = job.quote()
        document = {"job": job.id, "quote": quoted.signed.document.to_json(), "plan": quoted.plan.to_json()}
        said = quoted.explain()
    output.answer(document, f"job         {job.id}", said)


def explain(
    query: Query,
    as_folder: options.As,
    max_groups: MaxGroups = 256,
    technique: Asked = "auto",
    passphrase_file: options.PassphraseFile = None,
) -> None:
    """Show how a query would be computed: who computes and learns what. No job is submitted."""
    from sandbox.cli.folder import member

    with member(as_folder, passphrase_file) as own:
        # The purpose is judged when a job is submitted; this one never is.
        job = own.buyer().sql(query, purpose="explain", technique=technique, max_groups=max_groups)
        plan = job.explain()
    output.answer({"plan": plan.to_json()}, str(plan))


def run(
    query: Query,
    purpose: Purpose,
    max_price: Annotated[
        int, typer.Option(min=0, help="The most to pay, in minor units of the quote's currency.")
    ],
    as_folder: options.As,
    out: Out = None,
    receipt: ReceiptOut = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Do not wait: `usufruct jobs ID` goes on.")
    ] = False,
    max_groups: MaxGroups = 256,
    technique: Asked = "auto",
    passphrase_file: options.PassphraseFile = None,
) -> None:
    """Run a job: quote, accept, wait, and open the result."""
    from sandbox.cli.folder import member

    if detach and (out is not None or receipt is not None):
        raise typer.BadParameter(
            "`--detach` waits for no result: fetch it with `usufruct jobs ID --out FILE`"
        )
    with member(as_folder, passphrase_file) as own:
        job = own.buyer().sql(query, purpose=purpose, technique=technique, max_groups=max_groups)
        with output.progress() as show:
            show("asking every node for its decision", 0)
            job.submit(max_price=max_price)
        if detach:
            output.answer({"job": job.id, "state": job.state}, f"job {job.id} runs: `usufruct jobs {job.id}`")
        else:
            _follow(job)
            _deliver(job, out, receipt)


def jobs(
    as_folder: options.As,
    job_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="One job; all without it.")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Wait until the job ends, showing every step.")
    ] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Stop the job; possible until METERED.")] = False,
    out: Out = None,
    receipt: ReceiptOut = None,
    passphrase_file: options.PassphraseFile = None,
) -> None:
    """List this buyer's jobs; or show, watch or cancel one, or fetch its result."""
    from sandbox.cli.folder import member

    if job_id is None and (watch or cancel or out is not None or receipt is not None):
        raise typer.BadParameter("name the job's ID")
    with member(as_folder, passphrase_file) as own:
        if job_id is None:
            _list_jobs(own)
            return
        job = own.buyer().job(job_id)
        if cancel:
            job.cancel()
        if watch or out is not None or receipt is not None:
            _follow(job)
        if out is not None or receipt is not None:
            _deliver(job, out, receipt)
        else:
            output.answer(_job(own, job_id))


def statement(as_folder: options.As, passphrase_file: options.PassphraseFile = None) -> None:
    """Show this party's accounts: balances and every posting, in minor units."""
    from records import canonical
    from sandbox.cli.folder import member

    with member(as_folder, passphrase_file) as own:
        account: Any = canonical.decode(own.run(own.client.statement(own.caller)))
    columns = ("made_at", "kind", "debit", "credit", "amount_minor", "unit")
    shown = [
        [{**entry, "unit": item["unit"]}[name] for name in columns]
        for item in account["accounts"]
        for entry in item["entries"]
    ]
    balances = [
        f"{item['account']}: {_balance(item)} {item['unit']} (minor units)" for item in account["accounts"]
    ]
    output.answer(account, *(balances or ["no account yet"]), output.table(columns, shown))


def _follow(job: BuyerJob) -> None:
    """Show the stages of a job until it ends."""
    from sandbox.lifecycle import State

    order = [state.value for state in State]
    with output.progress(total=order.index(State.SETTLED)) as show:
        for event in job.watch():
            show(event.state, min(order.index(event.state), order.index(State.SETTLED)))


def _deliver(job: BuyerJob, out: Path | None, receipt: Path | None) -> None:
    """Open the result of an ended job; write it and its receipt, or show them."""
    from records.money import Money
    from sandbox.cli import results
    from sandbox.keystore import write_private

    result = job.result()
    table = result.to_arrow()
    facts = result.receipt.verify()
    charge = job.release_token.charge
    if out is not None:
        results.write(table, out)
    if receipt is not None:
        write_private(receipt, result.receipt.envelope)
    document = {
        "job": job.id,
        "state": job.state,
        "charge": charge.to_json(),
        "rows": table.num_rows,
        "suppressed": result.suppressed,
        "out": str(out) if out else None,
        "result": results.rows(table) if out is None else None,
        "receipt": str(receipt) if receipt else None,
        "facts": facts,
    }
    price = Money(charge.total_minor, charge.currency)
    paid = f"{price} charged, {result.suppressed} cells suppressed, job {job.id}"
    shown = results.on_screen(table) if out is None else (f"{table.num_rows} rows written to {out}",)
    output.answer(document, *shown, paid)


def _list_jobs(own: Member) -> None:
    views = own.run(own.session().views())
    entries = [_summary(view) for view in views]
    columns = ("job", "state", "issued_at", "purpose", "query")
    output.answer(
        {"jobs": entries}, output.table(columns, [[entry[name] for name in columns] for entry in entries])
    )


def _job(own: Member, job_id: str) -> dict[str, Any]:
    from records.job import Quote
    from sandbox.buyer.session import reasons_of

    session = own.session()
    view = own.run(session.view(job_id))
    price = Quote.unverified(view.quote).document.charge.to_json() if view.quote else None
    reasons = [reason.to_json() for reason in reasons_of(view)] if view.reason else []
    return {**_summary(view), "attempt": view.attempt, "price": price, "reasons": reasons}


def _summary(view: Any) -> dict[str, Any]:
    from records.job import Job

    job = Job.unverified(view.job).document
    return {
        "job": view.job_id,
        "state": view.state,
        "issued_at": job.issued_at,
        "purpose": job.purpose,
        "query": job.query,
    }


def _balance(item: dict[str, Any]) -> int:
    """Return what is left: credits booked, less debits booked or held."""
    left: int = item["credits_posted_minor"] - item["debits_posted_minor"] - item["debits_pending_minor"]
    return left
