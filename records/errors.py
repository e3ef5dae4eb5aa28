"""The one exception tree.

UsufructError                 everything the product raises on purpose
├── InputError                what came in is at fault: fix it and send again
│   ├── MalformedDocument     a document does not parse or has an unknown field
│   ├── SignatureInvalid      a signature is missing, wrong, or by a key that may not sign this
│   ├── UnknownObject         no such product, job, party, column …, or not one this caller may see
│   ├── RequestExpired        the request, quote, acceptance or token is past its time
│   ├── RequestReplayed       this nonce or idempotency key was seen with other content
│   ├── SourceUnreadable      a provider's file or table cannot be read as what it was registered as
│   └── NotPermitted          the role, or the party, may not do this
├── RefusedError              terms, ledger or planner refuse; carries reasons
│   ├── JobRefused            before execution
│   ├── ResultWithheld        after execution, by a rule on the whole result
│   └── JobEnded              cancelled, expired or failed: there is no result, and nothing was charged
├── StateConflict             the object is in a state in which this cannot be done
├── EvidenceError             a peer contradicts what it signed, or what the rules demand (R1–R8)
├── PeerUnavailable           a peer did not answer in time; the call may be repeated
└── LimitExceeded             a size, count or time limit

Messages never hold data values, literals of queries, or secrets: names of products, columns,
clauses and parties only. `code` is the stable word that crosses the wire.
"""

from __future__ import annotations

from dataclasses import dataclass


class UsufructError(Exception):
    """Base of all errors raised on purpose; `code` is stable across versions."""

    code = "error"


class InputError(UsufructError):
    """What came in is at fault."""

    code = "input-invalid"


class MalformedDocument(InputError):
    """A document does not parse, or has an unknown field."""

    code = "document-malformed"


class SignatureInvalid(InputError):
    """A signature is missing, wrong, or by a key that may not sign this."""

    code = "signature-invalid"


class UnknownObject(InputError):
    """No such object, or not one that this caller may see."""

    code = "object-unknown"


class RequestExpired(InputError):
    """A request, quote, acceptance or token is past its time."""

    code = "request-expired"


class RequestReplayed(InputError):
    """A nonce or idempotency key was seen before with other content."""

    code = "request-replayed"


class SourceUnreadable(InputError):
    """A provider's file or table cannot be read as what it was registered as."""

    code = "source-unreadable"


class NotPermitted(InputError):
    """The role, or the party, may not do this."""

    code = "not-permitted"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something was refused: who, by which clause, what was wanted, what would pass."""

    provider: str
    clause: str
    wanted: str
    limit: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.provider}: {self.clause}: wanted {self.wanted}, limit {self.limit}; {self.remedy}"

    def to_json(self) -> dict[str, str]:
        """Return the five fields as a JSON object."""
        return {
            "provider": self.provider,
            "clause": self.clause,
            "wanted": self.wanted,
            "limit": self.limit,
            "remedy": self.remedy,
        }


class RefusedError(UsufructError):
    """Terms, ledger, planner or gate refuse; `reasons` say why."""

    code = "refused"

    def __init__(self, reasons: tuple[Reason, ...]) -> None:
        super().__init__("; ".join(str(reason) for reason in reasons))
        self.reasons = reasons


class JobRefused(RefusedError):
    """A job is refused before execution; nothing was charged."""

    code = "job-refused"

    def _repr_html_(self) -> str:
        from html import escape

        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(value)}</td>" for value in reason.to_json().values()) + "</tr>"
            for reason in self.reasons
        )
        head = "".join(f"<th>{name}</th>" for name in ("provider", "clause", "wanted", "limit", "remedy"))
        return f"<b>Job refused</b><table><tr>{head}</tr>{rows}</table>"


class ResultWithheld(RefusedError):
    """A result was computed and not released; no use-right fee is charged (R12)."""

    code = "result-withheld"


class JobEnded(RefusedError):
    """A job was cancelled, expired or failed; there is no result, and nothing was charged."""

    code = "job-ended"


class StateConflict(UsufructError):
    """The object is in a state in which this cannot be done."""

    code = "state-conflict"


class EvidenceError(UsufructError):
    """A peer contradicts what it signed, or what the rules of trust demand."""

    code = "evidence"


class PeerUnavailable(UsufructError):
    """A peer did not answer in time; the call may be repeated."""

    code = "peer-unavailable"


class LimitExceeded(UsufructError):
    """A size, count or time limit would be passed."""

    code = "limit-exceeded"
