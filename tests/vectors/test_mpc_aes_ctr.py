"""NIST SP 800-38A, F.5.1 (CTR-AES128.Encrypt): the output blocks are what our streams yield."""

from __future__ import annotations

import numpy as np

from mpc.prg import Stream

KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
FIRST_BLOCK = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
PLAINTEXT = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
CIPHERTEXT = bytes.fromhex(
    "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"
    "5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee"
)


def test_streams_yield_the_key_stream_of_the_standard() -> None:
    words = Stream(KEY, FIRST_BLOCK).words((8,), np.dtype(np.uint64))
    assert words.tobytes() == bytes(p ^ c for p, c in zip(PLAINTEXT, CIPHERTEXT, strict=True))


def test_words_are_read_in_little_endian_order() -> None:
    words = Stream(KEY, FIRST_BLOCK).words((1,), np.dtype(np.uint64))
    assert int(words[0]) == int.from_bytes(bytes.fromhex("ec8cdf7398607cb0"), "little")
