"""Packed bits: the order of bits that every room relies on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from satqkd.bits import from_bytes, pack, to_bytes, unpack
from satqkd.errors import DataFormatError


@given(st.lists(st.integers(0, 1), max_size=300))
@settings(max_examples=60, deadline=None)
def test_bit_i_is_where_the_convention_says(values: list[int]) -> None:
    bits = np.array(values, dtype=np.uint8)
    words, data = pack(bits), to_bytes(bits)
    assert [int(words[i // 64]) >> (i % 64) & 1 for i in range(bits.size)] == values
    assert [data[i // 8] >> (i % 8) & 1 for i in range(bits.size)] == values
    assert unpack(words, bits.size).tolist() == from_bytes(data, bits.size).tolist() == values
    assert sum(int(word).bit_count() for word in words) == sum(values), "unused high bits are zero"


def test_too_few_words_or_another_number_of_bytes_is_refused() -> None:
    with pytest.raises(DataFormatError, match="at least 2 words"):
        unpack(np.zeros(1, np.uint64), 65)
    with pytest.raises(DataFormatError, match="expected 2 bytes"):
        from_bytes(bytes(3), 9)
