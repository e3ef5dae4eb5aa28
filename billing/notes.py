"""Signed notes and log checkpoints (C2SP signed-note and tlog-checkpoint), with Ed25519.

A note is text, a blank line, and signature lines `— name base64(key id ‖ signature)`. A checkpoint is a
note whose text is the log's origin, its size and its root. Signatures of other names, such as a
witness's cosignature, may follow and are kept as they are.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from billing.merkle import HASH_BYTES
from records.errors import LimitExceeded, MalformedDocument, SignatureInvalid
from records.keys import Signer, VerifyingKey

ED25519_TYPE = b"\x01"
KEY_ID_BYTES = 4
DASH = "—"

MAX_NOTE_BYTES = 1 << 16
MAX_SIGNATURES = 64
MAX_SIZE = 1 << 63
SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A text, which ends in a newline, with its signatures."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def to_bytes(self) -> bytes:
        """Return the note as it is served and stored."""
        lines = (
            f"{DASH} {line.name} {base64.b64encode(line.key_id + line.signature).decode()}\n"
            for line in self.signatures
        )
        return f"{self.text}\n{''.join(lines)}".encode()

    def verify(self, name: str, key: VerifyingKey) -> None:
        """Return if the note is signed by `key` under `name`; lines of other keys say nothing.

        Raises:
            SignatureInvalid: no such signature, or one that does not verify.
        """
        own = [line for line in self.signatures if (line.name, line.key_id) == (name, key_id(name, key))]
        if not own:
            raise SignatureInvalid(f"the note is not signed by `{name}`")
        for line in own:
            key.verify(line.signature, self.text.encode())


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: the root over its first `size` leaves. The origin names the log and its key."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require_key_name(self.origin)
        if not 0 <= self.size < MAX_SIZE or len(self.root) != HASH_BYTES:
            raise MalformedDocument("a checkpoint has a size from 0 and a root of 32 bytes")
        for line in self.extensions:
            _require_text(line)
            if not line or "\n" in line:
                raise MalformedDocument("an extension of a checkpoint is one line that is not empty")

    def to_text(self) -> str:
        """Return `origin`, `size`, `base64(root)` and the extensions, each with a newline."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def key_id(name: str, key: VerifyingKey) -> bytes:
    """Return SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)[:4]."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519_TYPE + key.public).digest()[:KEY_ID_BYTES]


def sign(text: str, name: str, signer: Signer) -> Note:
    """Return `text` signed under `name`.

    Raises:
        MalformedDocument: a text or name that a note cannot hold.
    """
    _require_key_name(name)
    _require_text(text)
    if not text.endswith("\n"):
        raise MalformedDocument("the text of a note ends in a newline")
    signature = signer.sign(text.encode())
    return Note(text, (NoteSignature(name, key_id(name, signer.key), signature),))


def parse(data: bytes) -> Note:
    """Parse a note; its signatures are not yet verified.

    Raises:
        MalformedDocument: not a note.
        LimitExceeded: above 64 KiB or 64 signatures.
    """
    if len(data) > MAX_NOTE_BYTES:
        raise LimitExceeded("a note is at most 64 KiB")
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        raise MalformedDocument("a note is UTF-8") from error
    _require_text(whole)
    text, blank, block = whole.rpartition("\n\n")
    if not blank or not block.endswith("\n"):
        raise MalformedDocument("a note is a text, a blank line and signature lines")
    lines = block[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise LimitExceeded("a note has at most 64 signatures")
    return Note(text + "\n", tuple(map(_signature_line, lines)))


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> Note:
    """Return the checkpoint signed under its origin. Record it first (`log.record_checkpoint`, R6)."""
    return sign(checkpoint.to_text(), checkpoint.origin, signer)


def parse_checkpoint(text: str) -> Checkpoint:
    """Parse the text of a checkpoint.

    Raises:
        MalformedDocument: not the text that `Checkpoint.to_text` writes.
    """
    match text.split("\n"):
        case [origin, size, root, *extensions, ""] if SIZE.fullmatch(size):
            return Checkpoint(origin, int(size), _decode64(root), tuple(extensions))
    raise MalformedDocument("a checkpoint is the lines origin, size and root")


def open_checkpoint(data: bytes, origin: str, key: VerifyingKey) -> Checkpoint:
    """Return the checkpoint of the log `origin` in a note signed by its `key`.

    Raises:
        SignatureInvalid: not signed by `key`, or of another log.
        MalformedDocument: not a note, or not a checkpoint.
        LimitExceeded: the note is too large.
    """
    note = parse(data)
    note.verify(origin, key)
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin != origin:
        raise SignatureInvalid(f"the checkpoint is not of the log `{origin}`")
    return checkpoint


def _signature_line(line: str) -> NoteSignature:
    match line.split(" "):
        case [dash, name, encoded] if dash == DASH:
            _require_key_name(name)
            data = _decode64(encoded)
            if len(data) > KEY_ID_BYTES:
                return NoteSignature(name, data[:KEY_ID_BYTES], data[KEY_ID_BYTES:])
    raise MalformedDocument("a signature line is a dash, a name and base64")


def _require_key_name(name: str) -> None:
    if not name or any(char.isspace() or char < " " or char == "+" for char in name):
        raise MalformedDocument("the name of a log or witness has no spaces and no `+`")


def _require_text(text: str) -> None:
    if any(char < " " and char != "\n" for char in text):
        raise MalformedDocument("a note has no control characters but newlines")


def _decode64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedDocument("not base64") from error
    # Several texts decode alike where padding bits are ignored; only one of them is signed.
    if base64.b64encode(data).decode() != text:
        raise MalformedDocument("not base64 in its one form")
    return data
