"""What numba computes is what NumPy computes, bit for bit; both products of matrices are exact."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mpc
from mpc import acceleration, kernels, matrices
from mpc.comparison import less_than_bits, zero_bits
from mpc.conversion import arithmetic_to_bits, bits_to_arithmetic
from mpc.multiplication import matmul, multiply
from mpc.party import Party
from mpc.prg import Words
from mpc.sharing import WORD, WORD32, Arithmetic, Shared, split
from tests.unit.mpc.three_parties import run

U8, U16, U32, U64 = (np.dtype(name) for name in ("u1", "u2", "u4", "u8"))
ALL = (U8, U16, U32, U64)
HALVES = ((U16, U8), (U32, U16), (U64, U32))


def words(count: int, dtype: np.dtype[Any], seed: int) -> Words:
    raw = np.random.default_rng(seed).bytes(count * dtype.itemsize)
    return np.frombuffer(raw, dtype).copy()


def inputs(count: int, *dtypes: np.dtype[Any]) -> list[Any]:
    return [words(count, dtype, seed) for seed, dtype in enumerate(dtypes)]


CASES: list[tuple[str, Callable[[int], list[Any]], np.dtype[Any]]] = [
    *[("product_terms", lambda n, t=t: inputs(n, *[t] * 6), t) for t in ALL],
    *[("and_terms", lambda n, t=t: inputs(n, *[t] * 6), t) for t in ALL],
    *[("pair_and_terms", lambda n, t=t: inputs(n, *[t] * 3), t) for t in ALL],
    *[
        ("bit_terms", lambda n, t=t, one=one: [words(n, t, 1), words(n, t, 2) & 1, one, words(n, t, 3)], t)
        for t in ALL
        for one in (0, 1)
    ],
    *[("fold_terms", lambda n, w=w, t=t: inputs(n, w, w, t, t), t) for w, t in HALVES],
    *[("carry_terms", lambda n, w=w, t=t: inputs(n, w, w, t, t), t) for w, t in HALVES],
    ("last_carry_terms", lambda n: inputs(n, U32, U32, U8, U8), U8),
    *[
        ("first_carry_terms", lambda n, t=t, one=one: [*inputs(n, *[t] * 4), one, *inputs(n, t, t)], t)
        for t in ALL
        for one in (0, 1, 2)
    ],
    *[
        ("prefix_terms", lambda n, t=t, d=d: [*inputs(n, *[t] * 4), d, *inputs(n, t, t)], t)
        for t in ALL
        for d in (1, 2, 4)
    ],
    *[
        ("prefix_terms", lambda n, w=w, t=t: [*inputs(n, *[w] * 4), 4 * w.itemsize, *inputs(n, t, t)], t)
        for w, t in HALVES
    ],
    *[("delta_swaps", lambda n, t=t: [words(n, t, 1), swaps((4, 0x3), (1, 0x5), (0, 0))], t) for t in ALL],
]


def swaps(*pairs: tuple[int, int]) -> tuple[tuple[np.uint64, np.uint64], ...]:
    return tuple((np.uint64(shift), np.uint64(mask)) for shift, mask in pairs)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[2]}")
@pytest.mark.parametrize("count", [0, 1, 33])
def test_compiled_kernels_agree_with_numpy(
    case: tuple[str, Callable[[int], list[Any]], np.dtype[Any]], count: int
) -> None:
    compiled = pytest.importorskip("mpc.compiled")
    name, arguments, dtype = case
    expected, found = np.empty(count, dtype), np.empty(count, dtype)
    getattr(kernels, name)(*arguments(count), expected)
    getattr(compiled, name)(*arguments(count), found)
    np.testing.assert_array_equal(found, expected)


def test_every_kernel_has_its_compiled_twin_and_its_cases() -> None:
    compiled = pytest.importorskip("mpc.compiled")
    names = {name for name, kernel in vars(kernels).items() if hasattr(kernel, "__wrapped__")}
    assert names == {name for name, _, _ in CASES} | {"prefix_update"}
    assert all(callable(getattr(compiled, name)) for name in names)


def test_kernels_compile_where_no_folder_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    caching = pytest.importorskip("numba.core.caching")
    from mpc.compiled import kernel

    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])

    def double(value: int) -> int:
        return value + value

    assert kernel(double)(2) == 4


@pytest.mark.parametrize(("wide", "narrow"), [*HALVES, *[(t, t) for t in ALL]])
def test_compiled_updates_of_a_prefix_agree_with_numpy(wide: np.dtype[Any], narrow: np.dtype[Any]) -> None:
    compiled = pytest.importorskip("mpc.compiled")
    results = []
    for engine in (kernels, compiled):
        generate, propagate = words(33, wide, 1), words(33, wide, 2)
        distance = 4 * wide.itemsize if narrow != wide else 2
        engine.prefix_update(words(33, narrow, 3), distance, generate, propagate)
        results.append((generate, propagate))
    np.testing.assert_array_equal(results[0], results[1])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 70), st.sampled_from([WORD32, WORD]))
def test_products_of_matrices_are_exact_in_the_ring(n: int, k: int, m: int, dtype: np.dtype[Any]) -> None:
    x, y = words(n * k, dtype, 1).reshape(n, k), words(k * m, dtype, 2).reshape(k, m)
    np.testing.assert_array_equal(matrices._limb_product(x, y), x @ y)
    compiled = pytest.importorskip("mpc.compiled")
    out = np.empty((n, m), dtype)
    compiled.matrix_product(x, y, out)
    np.testing.assert_array_equal(out, x @ y)


@pytest.mark.parametrize("inner", [2048, 5001])
@pytest.mark.parametrize("digit", [-(1 << 21), (1 << 21) - 1])
def test_sums_of_the_largest_digits_stay_exact(inner: int, digit: int) -> None:
    # One digit everywhere, of the largest magnitude: sums reach 2^53, and odd ones beyond it would be off.
    x = np.full((2, inner), np.uint64(digit * (1 + (1 << 22)) % (1 << 64)))
    np.testing.assert_array_equal(matrices._limb_product(x, x.T), x @ x.T)


def programs(length: int) -> dict[str, Callable[[Party], Shared]]:
    values = words(length, WORD, 5).view(np.int64)
    draws = {seed: np.random.default_rng(seed) for seed in range(2)}
    x = shared_with(values, draws[0], WORD)
    y = shared_with(values[::-1], draws[1], WORD)
    narrow = [share.narrow(WORD32) for share in x]
    return {
        "multiply": lambda p: multiply(p, x[p.index], y[p.index]),
        "less_than": lambda p: less_than_bits(p, x[p.index], y[p.index]),
        "zero": lambda p: zero_bits(p, narrow[p.index]),
        "bits": lambda p: arithmetic_to_bits(p, narrow[p.index]),
        "numbers": lambda p: bits_to_arithmetic(p, zero_bits(p, x[p.index]), length, WORD32),
        "matmul": lambda p: matmul(p, x[p.index][:4096].reshape(64, 64), y[p.index][:4096].reshape(64, 64)),
    }


def shared_with(values: Any, rng: np.random.Generator, dtype: np.dtype[Any]) -> tuple[Arithmetic, ...]:
    return split(values, rng.bytes, dtype)


@pytest.mark.parametrize("name", ["multiply", "less_than", "zero", "bits", "numbers", "matmul"])
def test_parties_with_and_without_numba_understand_each_other(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # More than one frame, and a last run that is short: every path of the choice between the two.
    pytest.importorskip("numba")
    monkeypatch.setattr(matrices, "_SMALL_PRODUCT", 1)
    program = programs((1 << 15) + 5)[name]
    results = []
    for loaded in (acceleration._load_compiled, lambda: None):
        monkeypatch.setattr(acceleration, "_load_compiled", loaded)
        monkeypatch.setattr(acceleration, "_LOADING_PAYS", 0)
        results.append([(share.own, share.next) for share in run(program).results])
    np.testing.assert_array_equal(results[0], results[1])


def test_without_numba_nothing_is_missing_but_other_faults_are_not_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "mpc.compiled", raising=False)
    monkeypatch.delattr(mpc, "compiled", raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    assert acceleration._load_compiled.__wrapped__() is None
    monkeypatch.setitem(sys.modules, "mpc.compiled", None)
    with pytest.raises(ImportError):
        acceleration._load_compiled.__wrapped__()


def test_small_jobs_do_not_load_numba() -> None:
    code = (
        "import sys; sys.path.insert(0, '.');"
        "import numpy as np;"
        "from mpc import comparison, kernels, truncation;"
        "x = np.zeros(1 << 14, np.uint64);"
        "kernels.and_terms(x, x, x, x, x, x, x.copy());"
        "assert 'numba' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
