"""Expressions over the columns of a table in shares, row by row; several alike in the rounds of one.

All three parties run each function that takes a party. Nothing is opened. Costs stand in `costs.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, cast

import numpy as np

from mpc.adder import add_bits
from mpc.comparison import equal_bits, less_than_bits, zero_bits
from mpc.conversion import arithmetic_to_bits, bits_to_arithmetic, select
from mpc.division import divide
from mpc.multiplication import and_, constant, multiply, public
from mpc.party import Party
from mpc.relational.bit_columns import byte_column, equal_words, inverted, masked_numbers, packed_bits
from mpc.sharing import WORD, Arithmetic, Boolean, Shared, concatenate
from mpc.truncation import truncate_exact
from sandbox.joint.tables import Parts, SharedTable, key_word, rings
from sandbox.sql.steps import Column, Compute, Operation, Step, TableShape

Alike: TypeAlias = tuple[Operation, int, tuple[str, int], tuple[tuple[str, int], ...]]


def alike_until(steps: Sequence[Step], start: int, table: TableShape) -> int:
    """Return the index behind the expressions from `start` on that are computed together.

    They are alike in operation, constant and kinds of columns, stand one behind the other over one table, and
    use no result of each other. `table` has the columns before them.
    """
    first = cast("Compute", steps[start])
    likeness = _likeness(first, table)
    end = start + 1
    while end < len(steps):
        step = steps[end]
        if not isinstance(step, Compute) or step.table != end - 1:
            break
        if not table.columns.keys() >= set(step.operands) or _likeness(step, table) != likeness:
            break
        end += 1
    return end


def computed(party: Party, steps: Sequence[Compute], table: SharedTable) -> list[Parts]:
    """Return the columns of expressions that are alike."""
    first, count = steps[0], len(steps)
    if first.operation == "present":
        return [(table.valid,)] * count
    if first.operation == "nothing":
        zeros = np.zeros(table.rows, dtype=WORD)
        return [
            tuple(public(party, kind, zeros.astype(dtype)) for kind, dtype in rings(first.column))
        ] * count
    operands = [
        tuple(concatenate(same) for same in zip(*(table.parts[name] for name in names), strict=True))
        for names in zip(*(step.operands for step in steps), strict=True)
    ]
    bits = max((table.shape.columns[name].bits for name in first.operands), default=0)
    columns = _evaluated(party, first, operands, bits)
    rows = table.rows
    return [tuple(part[k * rows : (k + 1) * rows] for part in columns) for k in range(count)]


def all_bits(party: Party, columns: Sequence[Boolean]) -> Boolean:
    """Return the AND of packed bits of one length, at least one column, by a tree."""
    rest = list(columns)
    while len(rest) > 1:
        half, size = len(rest) // 2, rest[0].size
        product = and_(party, concatenate(rest[:half]), concatenate(rest[half : 2 * half]))
        rest = [*(product[k * size : (k + 1) * size] for k in range(half)), *rest[2 * half :]]
    return rest[0]


def known_bits(party: Party, key: Boolean, bits: int) -> Boolean:
    """Return, packed, where a key is not NULL; bits after row n are unspecified."""
    return inverted(party, equal_words(party, [(key, _zeros(key), bits)]))


def widened(key: Boolean, bits: int) -> Boolean:
    """Return a key in the words of one with more bits. No message: zeros are shares of zeros."""
    return key.map(lambda words: words.astype(key_word(bits), copy=False))


def _likeness(step: Compute, table: TableShape) -> Alike:
    operands = tuple((table.columns[name].kind, table.columns[name].bits) for name in step.operands)
    return step.operation, step.constant, (step.column.kind, step.column.bits), operands


def _evaluated(party: Party, step: Compute, operands: Sequence[Parts], bits: int) -> Parts:
    if step.operation == "select":
        return _select(party, operands, step.column)
    if step.operation in _ON_NUMBERS:
        numbers = [cast("Arithmetic", parts[0]) for parts in operands]
        return (_ON_NUMBERS[step.operation](party, numbers, step.constant),)
    words = [cast("Boolean", parts[0]) for parts in operands]
    if step.operation == "key":
        return (_key(party, cast("Arithmetic", operands[0][0]), words[1], step),)
    if step.operation == "reverse":
        return (_reverse(party, words[0], step.column, step.constant),)
    if step.operation == "same":
        return (_same(party, words[0], words[1], bits),)
    return (_ON_BITS[step.operation](party, words),)


def _add(party: Party, numbers: Sequence[Arithmetic], constant_: int) -> Arithmetic:
    return sum(numbers[1:], start=numbers[0])


def _truncate(party: Party, numbers: Sequence[Arithmetic], bits: int) -> Arithmetic:
    # Exact, because the coin of a probabilistic rounding is known to parties and may reach the result.
    return truncate_exact(party, numbers[0], bits)


def _divide(party: Party, numbers: Sequence[Arithmetic], quotient_bits: int) -> Arithmetic:
    dividend, divisor = numbers
    quotient = divide(party, dividend, divisor, quotient_bits)
    return masked_numbers(party, inverted(party, zero_bits(party, divisor)), [quotient])[0]


def _less(party: Party, numbers: Sequence[Arithmetic], _: int) -> Boolean:
    return byte_column(less_than_bits(party, numbers[0], numbers[1]), numbers[0].size)


def _equal(party: Party, numbers: Sequence[Arithmetic], _: int) -> Boolean:
    return byte_column(equal_bits(party, numbers[0], numbers[1]), numbers[0].size)


def _and(party: Party, bits: Sequence[Boolean]) -> Boolean:
    return byte_column(all_bits(party, [packed_bits(column) for column in bits]), bits[0].size)


def _or(party: Party, bits: Sequence[Boolean]) -> Boolean:
    return _not(party, [_and(party, [_not(party, [column]) for column in bits])])


def _not(party: Party, bits: Sequence[Boolean]) -> Boolean:
    return bits[0] ^ public(party, Boolean, np.ones_like(bits[0].own))


def _number(party: Party, bits: Sequence[Boolean]) -> Arithmetic:
    return bits_to_arithmetic(party, packed_bits(bits[0]), bits[0].size)


def _same(party: Party, x: Boolean, y: Boolean, bits: int) -> Boolean:
    x, y = widened(x, bits), widened(y, bits)
    # Both comparisons at once: with each other, and of one of them with NULL.
    answers = equal_words(party, [(concatenate([x, x]), concatenate([y, _zeros(x)]), bits)])
    both = byte_column(answers, 2 * x.size)
    agreeing, missing = packed_bits(both[: x.size]), packed_bits(both[x.size :])
    return byte_column(and_(party, agreeing, inverted(party, missing)), x.size)


def _key(party: Party, number: Arithmetic, known: Boolean, step: Compute) -> Boolean:
    # Only the lowest bits count, and these are the same in the narrower ring.
    narrow = number.narrow(key_word(step.column.bits))
    moved = narrow + constant(party, step.constant + 1, narrow.shape, narrow.dtype)
    words = arithmetic_to_bits(party, moved) & ((1 << step.column.bits) - 1)
    return and_(party, words, _spread(known, words))


def _reverse(party: Party, key: Boolean, column: Column, constant_: int) -> Boolean:
    wide = widened(key, column.bits)
    ones = np.full_like(wide.own, -1 % (1 << 8 * wide.dtype.itemsize))
    # constant + 1 − k = (constant + 2) + ¬k in two's complement.
    start = np.full_like(ones, (constant_ + 2) % (1 << 8 * wide.dtype.itemsize))
    total = add_bits(party, wide ^ public(party, Boolean, ones), public(party, Boolean, start))
    reversed_ = total & ((1 << column.bits) - 1)
    known = byte_column(known_bits(party, wide, column.bits), wide.size)
    return and_(party, reversed_, _spread(known, wide))


def _select(party: Party, operands: Sequence[Parts], column: Column) -> Parts:
    bit = cast("Boolean", operands[0][0])
    if column.kind == "number":
        chosen = bits_to_arithmetic(party, packed_bits(bit), bit.size)
        x, y = (cast("Arithmetic", parts[0]) for parts in operands[1:])
        return (select(party, chosen, x, y),)
    dtype = WORD if column.kind == "payload" else key_word(column.bits)
    if_one, if_zero = (
        concatenate(
            [cast("Boolean", part).map(lambda words: words.astype(dtype, copy=False)) for part in parts]
        )
        for parts in operands[1:]
    )
    marks = concatenate([_spread(bit, if_one)] * len(operands[1]))
    found = if_zero ^ and_(party, marks, if_one ^ if_zero)
    return tuple(found[k * bit.size : (k + 1) * bit.size] for k in range(len(operands[1])))


def _spread(bit: Boolean, like: Boolean) -> Boolean:
    """Return words of equal bits, of the word of another column."""
    return bit.map(lambda words: np.negative((words & 1).astype(like.dtype)))


def _zeros(like: Boolean) -> Boolean:
    return like.map(np.zeros_like)


def _scale(party: Party, numbers: Sequence[Arithmetic], factor: int) -> Arithmetic:
    return numbers[0] * factor


def _subtract(party: Party, numbers: Sequence[Arithmetic], _: int) -> Arithmetic:
    return numbers[0] - numbers[1]


def _multiply(party: Party, numbers: Sequence[Arithmetic], _: int) -> Arithmetic:
    return multiply(party, numbers[0], numbers[1])


_ON_NUMBERS: Final[dict[Operation, Callable[[Party, Sequence[Arithmetic], int], Shared]]] = {
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "scale": _scale,
    "truncate": _truncate,
    "divide": _divide,
    "less": _less,
    "equal": _equal,
}
_ON_BITS: Final[dict[Operation, Callable[[Party, Sequence[Boolean]], Shared]]] = {
    "and": _and,
    "or": _or,
    "not": _not,
    "number": _number,
}
