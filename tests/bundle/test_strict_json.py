import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.bundle.strict_json import dump_json, parse_json, record, text, whole
from devise.errors import BundleError

plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


@given(plain_values, st.sampled_from([None, 2]))
def test_what_is_written_is_read_again_and_is_plain_json(value: object, indent: int | None) -> None:
    written = dump_json(value, indent=indent)
    assert parse_json(written.encode()) == value
    assert json.loads(written) == value


def test_the_order_of_keys_does_not_change_the_text() -> None:
    assert dump_json({"b": 1, "a": 2}, indent=None) == dump_json({"a": 2, "b": 1}, indent=None) == '{"a":2,"b":1}\n'


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b'{"a": 1', "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"a": 1, "b": 2, "a": 1}', "key a is a duplicate"),
        (b"[NaN]", "NaN is not a JSON number"),
        (b"[-Infinity]", "Infinity"),
        (b"[1e999]", "1e999 is too large"),
        (b"[" + b"9" * 5000 + b"]", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'["\\ud800"]', "not UTF-8"),
    ],
)
def test_broken_json_is_refused_in_one_line(data: bytes, reason: str) -> None:
    with pytest.raises(BundleError, match=reason) as caught:
        parse_json(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, b"bytes", object()])
def test_values_that_json_does_not_keep_are_refused(value: object) -> None:
    with pytest.raises(BundleError, match="cannot be written as JSON"):
        dump_json([value])


def test_the_key_is_named() -> None:
    with pytest.raises(BundleError, match=r"key a\.y is unknown"):
        record({"x": 1, "y": 2}, {"x"}, "a")
    with pytest.raises(BundleError, match="key z is missing"):
        record({"x": 1}, {"x", "z"})
    with pytest.raises(BundleError, match="the file must be an object, got 3"):
        record(3, {"x"})
    with pytest.raises(BundleError, match=r"key a\.b must be text that is not empty, got ''"):
        text("", "a.b")
    with pytest.raises(BundleError, match="key n must be a whole number of at least 1, got True"):
        whole(True, "n", least=1)


def test_a_key_that_stands_twice_among_many_is_found_at_once() -> None:
    data = ("{" + ",".join(f'"{number}":0' for number in range(100_000)) + ',"99999":1}').encode()
    with pytest.raises(BundleError, match="key 99999 is a duplicate"):
        parse_json(data)


def test_a_long_or_broken_key_is_shown_in_one_short_line() -> None:
    with pytest.raises(BundleError, match=r"key 'a\\na") as told:
        record({"a\n" * 10_000: 1}, ())
    assert len(str(told.value)) < 600
