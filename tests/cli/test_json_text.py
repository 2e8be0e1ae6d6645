"""The writer of JSON that `prock run` has, beside the library's."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prock.cli.run.json_text import dumps

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts),
)


@given(plain)
def test_it_writes_what_the_library_writes(value: object) -> None:
    assert dumps(value) == json.dumps(value)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_numbers_that_json_has_not_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="no number in JSON"):
        dumps({"cpu": number})


def test_other_values_are_refused() -> None:
    with pytest.raises(TypeError, match="set is no plain value"):
        dumps([{1}])
