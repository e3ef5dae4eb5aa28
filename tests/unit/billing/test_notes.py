"""Notes and checkpoints come back as they were signed; anything else is refused."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from billing import notes
from billing.notes import Checkpoint, Note, NoteSignature
from records.errors import InputError, LimitExceeded, MalformedDocument, SignatureInvalid, UsufructError
from records.keys import ED25519, Signer, VerifyingKey


def signer(seed: int) -> Signer:
    private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    return Signer(VerifyingKey(ED25519, private.public_key().public_bytes_raw()), private.sign)


LOG, WITNESS = signer(1), signer(2)
ORIGIN = "exchange.example/log"
CHECKPOINT = Checkpoint(ORIGIN, 20_852_163, bytes(range(32)))
SIGNED = notes.sign_checkpoint(CHECKPOINT, LOG).to_bytes()

printable = st.text(st.characters(min_codepoint=32, codec="utf-8"), min_size=1, max_size=20)
checkpoints = st.builds(
    Checkpoint,
    st.just(ORIGIN),
    st.integers(0, (1 << 63) - 1),
    st.binary(min_size=32, max_size=32),
    st.lists(printable, max_size=3).map(tuple),
)


def test_the_example_of_the_go_implementation_verifies() -> None:
    """The note and key in the documentation of golang.org/x/mod/sumdb/note."""
    public = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    key = VerifyingKey(ED25519, public.removeprefix(notes.ED25519_TYPE))
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )
    line = (
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6R"
        "yyBwJnAM=\n"
    )
    note = notes.parse(f"{text}\n{line}".encode())
    assert notes.key_id("PeterNeumann", key).hex() == "c74f20a3"
    note.verify("PeterNeumann", key)
    assert note.text == text


def test_the_example_of_the_checkpoint_specification_parses() -> None:
    data = (
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "— example.com/behind-the-sofa "
        "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    ).encode()
    note = notes.parse(data)
    assert notes.parse_checkpoint(note.text).size == 20_852_163
    assert note.to_bytes() == data


@given(checkpoints)
def test_a_signed_checkpoint_comes_back(checkpoint: Checkpoint) -> None:
    data = notes.sign_checkpoint(checkpoint, LOG).to_bytes()
    assert notes.open_checkpoint(data, ORIGIN, LOG.key) == checkpoint
    assert notes.parse(data).to_bytes() == data


@given(st.data())
def test_one_changed_bit_is_refused(data: st.DataObject) -> None:
    at, bit = data.draw(st.integers(0, len(SIGNED) - 1)), data.draw(st.integers(0, 7))
    tampered = bytearray(SIGNED)
    tampered[at] ^= 1 << bit
    assert notes.open_checkpoint(SIGNED, ORIGIN, LOG.key) == CHECKPOINT
    with pytest.raises(InputError):
        notes.open_checkpoint(bytes(tampered), ORIGIN, LOG.key)


@given(st.binary(max_size=200) | printable.map(lambda text: f"{text}\n\n— a {text}\n".encode()))
def test_any_other_bytes_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(UsufructError):
        notes.open_checkpoint(data, ORIGIN, LOG.key)


def test_lines_of_other_names_may_follow() -> None:
    own = notes.parse(SIGNED)
    cosigned = notes.sign(own.text, "witness.example", WITNESS)
    both = Note(own.text, (*cosigned.signatures, *own.signatures))
    assert notes.open_checkpoint(both.to_bytes(), ORIGIN, LOG.key) == CHECKPOINT
    both.verify("witness.example", WITNESS.key)


def test_a_signature_by_another_key_or_name_says_nothing() -> None:
    for note in (
        notes.sign(CHECKPOINT.to_text(), ORIGIN, WITNESS),
        notes.sign(CHECKPOINT.to_text(), "exchange.example/other", LOG),
    ):
        with pytest.raises(SignatureInvalid, match="is not signed by"):
            notes.open_checkpoint(note.to_bytes(), ORIGIN, LOG.key)


def test_a_wrong_signature_is_refused_beside_a_right_one() -> None:
    own = notes.parse(SIGNED)
    (line,) = own.signatures
    wrong = NoteSignature(line.name, line.key_id, bytes(64))
    with pytest.raises(SignatureInvalid):
        notes.open_checkpoint(Note(own.text, (line, wrong)).to_bytes(), ORIGIN, LOG.key)


def test_a_checkpoint_of_another_log_is_refused_though_the_key_signed_it() -> None:
    other = Checkpoint("exchange.example/other", 3, bytes(32))
    note = notes.sign(other.to_text(), ORIGIN, LOG)
    with pytest.raises(SignatureInvalid, match="not of the log"):
        notes.open_checkpoint(note.to_bytes(), ORIGIN, LOG.key)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "log\n5\n",
        f"log\n05\n{base64.b64encode(bytes(32)).decode()}\n",
        f"log\n-5\n{base64.b64encode(bytes(32)).decode()}\n",
        f"log\n٥\n{base64.b64encode(bytes(32)).decode()}\n",
        f"log\n9223372036854775808\n{base64.b64encode(bytes(32)).decode()}\n",
        f"log\n5\n{base64.b64encode(bytes(31)).decode()}\n",
        f"log\n5\n{base64.b64encode(bytes(32)).decode()}",
        f"log\n5\n{base64.b64encode(bytes(32)).decode()}\n\n",
        f"\n5\n{base64.b64encode(bytes(32)).decode()}\n",
        f"a log\n5\n{base64.b64encode(bytes(32)).decode()}\n",
        "log\n5\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n",
        "log\n5\n€\n",
    ],
)
def test_a_checkpoint_has_one_form(text: str) -> None:
    with pytest.raises(MalformedDocument):
        notes.parse_checkpoint(text)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n\n- name AAAAAAAA\n",
        "text\n\n— name AAAAAAAA".encode(),
        "text\n\n— name AAAA\n".encode(),
        "text\n\n— name  AAAAAAAA\n".encode(),
        "text\n\n— na+me AAAAAAAA\n".encode(),
        "text\n\n— name AAAAAAAA extra\n".encode(),
        "te\rxt\n\n— name AAAAAAAA\n".encode(),
        b"\xff\n\n" + "— name AAAAAAAA\n".encode(),
    ],
)
def test_a_note_has_one_form(data: bytes) -> None:
    with pytest.raises(MalformedDocument):
        notes.parse(data)


def test_a_note_is_bounded() -> None:
    line = "— name AAAAAAAA\n"
    assert len(notes.parse(f"text\n\n{line * 64}".encode()).signatures) == 64
    with pytest.raises(LimitExceeded):
        notes.parse(f"text\n\n{line * 65}".encode())
    with pytest.raises(LimitExceeded):
        notes.parse(f"{'x' * (1 << 16)}\n\n{line}".encode())


def test_only_a_text_that_parses_again_is_signed() -> None:
    for text in ("no newline", "a\ttab\n"):
        with pytest.raises(MalformedDocument):
            notes.sign(text, ORIGIN, LOG)
    with pytest.raises(MalformedDocument):
        notes.sign("text\n", "a name", LOG)
    with pytest.raises(MalformedDocument):
        Checkpoint(ORIGIN, 0, bytes(32), ("two\nlines",))
