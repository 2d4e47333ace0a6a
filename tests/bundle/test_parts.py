from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from devise.bundle.arrays_io import from_bytes, quantized, to_bytes
from devise.bundle.manifest import LabelSpaceFacts, Manifest
from devise.bundle.parts import (
    SurgeryMap,
    decode_classifier,
    decode_kernel,
    decode_label_vectors,
    decode_prior,
    decode_surgery,
    encode_classifier,
    encode_kernel,
    encode_label_vectors,
    encode_surgery,
)
from devise.errors import BundleError
from devise.space.evidence import Classifier
from devise.space.kernel import KernelConfig, KernelSurgery
from devise.text.vectors import decoded


def test_classifier_round_trip(model: Any) -> None:
    exact = decode_classifier(encode_classifier(model.classifier, "float32"), model.manifest)
    assert np.array_equal(exact.weight, model.classifier.weight)
    assert np.array_equal(exact.bias, model.classifier.bias)
    short = decode_classifier(encode_classifier(model.classifier, "float16"), model.manifest)
    assert short.weight.dtype == np.float32
    # float16 keeps 11 significant bits: half a step is 2^-11 of the value
    np.testing.assert_allclose(short.weight, exact.weight, rtol=2**-11)
    assert not np.array_equal(short.weight, exact.weight)


def test_surgery_round_trip(model: Any) -> None:
    read = decode_surgery(encode_surgery(model.surgery, "float32"), model.manifest)
    assert np.array_equal(read.map, model.surgery.map)
    assert read.centring.keys() == {"label_mean"}
    assert np.array_equal(read.centring["label_mean"], model.surgery.centring["label_mean"])


def test_label_vectors_in_8_bits_keep_length_and_zeros(model: Any) -> None:
    vectors = model.label_vectors.copy()
    vectors[2] = 0
    read = decoded(decode_label_vectors(encode_label_vectors(vectors), model.manifest))
    assert np.array_equal(read[2], np.zeros(4, np.float32))
    lengths = np.linalg.norm(read.astype(np.float64), axis=1)
    np.testing.assert_allclose(np.delete(lengths, 2), 1, atol=2e-7)  # float32 rounding
    # a code is off by at most half a step, 1/254 of the row's largest value; keeping the length adds a little
    assert np.abs(read - vectors).max() < 1 / 254 * 1.5
    assert not np.array_equal(read, vectors)


def test_codes_are_what_the_vectors_are_made_of(model: Any) -> None:
    data = encode_label_vectors(model.label_vectors)
    stored = from_bytes(data)
    assert stored["vectors"].dtype == np.int8
    rows = zip(stored["vectors"], stored["scales"], strict=True)
    by_hand = [[int(code) * float(scale) for code in row] for row, scale in rows]
    np.testing.assert_allclose(decoded(decode_label_vectors(data, model.manifest)), by_hand, rtol=1e-7)


@pytest.mark.parametrize("rows", [1, 511, 512, 513, 1300])
def test_blocks_of_rows_leave_none_out(model: Any, rows: int) -> None:
    vectors = np.random.default_rng(rows).normal(size=(rows, 4)).astype(np.float32)
    manifest = replace(model.manifest, label_space=LabelSpaceFacts(rows, 0, 4))
    read = decoded(decode_label_vectors(encode_label_vectors(vectors), manifest))
    assert (np.abs(read - vectors).max(axis=1) <= np.abs(vectors).max(axis=1) / 127).all()
    lengths = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(np.linalg.norm(read, axis=1), lengths, rtol=1e-6)  # float32 rounding


@pytest.mark.parametrize("stored", ["float16", "float32"])
def test_label_vectors_as_floats(model: Any, stored: Any) -> None:
    data = encode_label_vectors(model.label_vectors, stored)
    assert from_bytes(data)["vectors"].dtype == stored
    read = decode_label_vectors(data, model.manifest)
    assert np.array_equal(read, model.label_vectors.astype(stored).astype(np.float32))


@given(
    st.dictionaries(
        st.text("abcxyz_", min_size=1, max_size=8),
        st.sampled_from([np.float32, np.float16, np.int8, np.uint8, np.int64]).flatmap(
            lambda kind: arrays(kind, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
        ),
        max_size=4,
    )
)
def test_any_arrays_come_back_whatever_their_order_and_layout(found: dict[str, np.ndarray]) -> None:
    turned = {name: np.asarray(found[name], order="F") for name in reversed(found)}
    data = to_bytes(found)
    assert to_bytes(turned) == data
    read = from_bytes(data)
    assert read.keys() == found.keys()
    for name, array in found.items():
        assert read[name].dtype == array.dtype
        assert read[name].shape == array.shape
        assert read[name].tobytes() == array.tobytes()


def test_a_slice_with_steps_is_stored_as_it_reads() -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 6)[::2, ::-3]
    assert np.array_equal(from_bytes(to_bytes({"a": array}))["a"], [[5, 2], [17, 14]])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"weight": np.zeros((3, 5), np.float32)}, "has no array bias, only weight"),
        ({"weight": np.zeros((2, 5), np.float32)}, r"array weight must be \(3, 5\), got \(2, 5\)"),
        ({"weight": np.zeros((3, 5)), "bias": np.zeros(3)}, "must be float16 or float32, got float64"),
        ({"weight": np.zeros((3, 5), np.float32), "other": np.zeros(3)}, "array other is unknown"),
    ],
)
def test_a_classifier_of_another_form_is_refused(model: Any, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        decode_classifier(safetensors.numpy.save(arrays), model.manifest)


def test_codes_of_another_type_are_refused(model: Any) -> None:
    stored = {"vectors": np.zeros((7, 4), np.int8), "scales": np.zeros(7, np.float16)}
    with pytest.raises(BundleError, match="must be int8 and float32, got int8 and float16"):
        decode_label_vectors(to_bytes(stored), model.manifest)


def test_a_centring_vector_must_fit(model: Any) -> None:
    data = encode_surgery(SurgeryMap(model.surgery.map, {"feature_mean": np.zeros(5, np.float32)}))
    assert decode_surgery(data, model.manifest).centring["feature_mean"].shape == (5,)
    wrong = encode_surgery(SurgeryMap(model.surgery.map, {"mean": np.zeros(6, np.float32)}))
    with pytest.raises(BundleError, match=r"array mean must have 5 numbers.* or 4.*, got \(6,\)"):
        decode_surgery(wrong, model.manifest)
    with pytest.raises(BundleError, match="cannot be named map"):
        encode_surgery(SurgeryMap(model.surgery.map, {"map": np.zeros(4, np.float32)}))


def test_values_that_cannot_be_kept_are_refused() -> None:
    weight, bias = np.full((1, 1), 70000, np.float32), np.zeros(1, np.float32)
    assert encode_classifier(Classifier(weight, bias), "float32")
    with pytest.raises(BundleError, match="too large for float16"):
        encode_classifier(Classifier(weight, bias), "float16")
    for value in (np.nan, np.inf):
        broken = np.full((2, 3), value, np.float32)
        with pytest.raises(BundleError, match="not finite"):
            encode_label_vectors(broken, "float32")
        with pytest.raises(BundleError, match="not finite"):
            encode_label_vectors(broken)


@pytest.mark.parametrize("data", [b"", b"1234567", b"\xff" * 16, b"\x02" + b"\0" * 7 + b"{}" + b"rest"])
def test_bytes_that_are_no_safetensors_are_refused(data: bytes, model: Any) -> None:
    with pytest.raises(BundleError, match="is not a safetensors file") as caught:
        decode_classifier(data, model.manifest)
    assert "\n" not in str(caught.value)


def test_a_type_that_numpy_lacks_is_refused() -> None:
    header = b'{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    with pytest.raises(BundleError, match="BF16"):
        from_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")


def test_directions_survive_8_bits() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 300)).astype(np.float32)
    stored = quantized(rows)
    read = stored.codes * stored.scales[:, None].astype(np.float64)
    cosine = (read * rows).sum(1) / np.linalg.norm(read, axis=1) / np.linalg.norm(rows, axis=1)
    assert cosine.min() > 0.9999
    np.testing.assert_allclose(np.linalg.norm(read, axis=1), np.linalg.norm(rows, axis=1), rtol=1e-6)


def test_the_manifest_rules_the_shapes(model: Any) -> None:
    other: Manifest = replace(model.manifest, label_space=LabelSpaceFacts(7, 3, 5))
    with pytest.raises(BundleError, match=r"array map must be \(5, 5\), got \(4, 5\)"):
        decode_surgery(encode_surgery(SurgeryMap(model.surgery.map)), other)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("stored", [np.float16, np.float32])
def test_numbers_out_of_sense_are_refused(wrong: float, stored: type, model: Any) -> None:
    dim, features = model.manifest.label_space.dim, model.manifest.backbone.features
    labels, trained = model.manifest.label_space.labels, model.manifest.label_space.trained

    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape, stored)

    def spoilt(*shape: int) -> np.ndarray:
        array = zeros(*shape)
        with np.errstate(over="ignore"):
            array.flat[-1] = wrong
        return array

    told = pytest.raises(BundleError, match="not finite or is beyond")
    with told:
        decode_surgery(to_bytes({"map": spoilt(dim, features)}), model.manifest)
    with told:
        decode_surgery(to_bytes({"map": zeros(dim, features), "label_centre": spoilt(dim)}), model.manifest)
    with told:
        decode_classifier(to_bytes({"weight": spoilt(trained, features), "bias": zeros(trained)}), model.manifest)
    with told:
        decode_label_vectors(to_bytes({"vectors": spoilt(labels, dim)}), model.manifest)
    scales = np.ones(labels, np.float32)
    scales[2] = wrong
    with told:
        decode_label_vectors(to_bytes({"vectors": np.ones((labels, dim), np.int8), "scales": scales}), model.manifest)
    with told:
        decode_prior(to_bytes({"log_odds": spoilt(labels)}), model.manifest)
    scoring = {"kernel": KernelConfig(rank=2).to_dict()}
    kernel = replace(model.manifest, scoring=scoring)
    whole = {
        "places": np.ones((labels, 2), np.int8),
        "scales": np.ones(labels, np.float32),
        "axes": zeros(2, features),
        "by_label": zeros(trained, 2),
    }
    assert decode_kernel(to_bytes(whole), kernel).places.shape == (labels, 2)
    for name, array in {"scales": scales, "axes": spoilt(2, features), "by_label": spoilt(trained, 2)}.items():
        with told:
            decode_kernel(to_bytes({**whole, name: array}), kernel)


def test_labels_that_all_lack_a_place_are_refused(model: Any) -> None:
    space, features = model.manifest.label_space, model.manifest.backbone.features
    told = pytest.raises(BundleError, match=r"array (vectors|places) contains only zeros")
    vectors = np.zeros((space.labels, space.dim), np.float32)
    for stored in (None, "float16"):
        with told:
            decode_label_vectors(encode_label_vectors(vectors, stored), model.manifest)
    manifest = replace(model.manifest, scoring={**model.manifest.scoring, "kernel": KernelConfig(rank=2).to_dict()})
    for rank in (2, 0):
        kernel = KernelSurgery(
            KernelConfig(rank=2),
            np.zeros((space.labels, rank), np.float32),
            np.ones((rank, features), np.float32),
            np.ones((space.trained, rank), np.float32),
        )
        with told:
            decode_kernel(encode_kernel(kernel), manifest)
