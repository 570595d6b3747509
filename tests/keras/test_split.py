"""Split averages in both Kerases: trained, swapped, saved and loaded to the last bit."""

import numpy as np
import pytest
from keras_models import KERAS, averages, data, exact, faces
from oracle import BFLOAT16, FLOAT32, assert_same_bits, split

pytestmark = [
    # Keras reads its variables as NumPy 2 will not have it.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
KINDS = ["float32", "same", "split"]


def trained(face, choice="split", policy="bfloat16"):
    """A model after two epochs."""
    model = face.make(face.wrap(face.keras.optimizers.Adam(0.01), average_dtype=choice), policy)
    model.fit(*data(), epochs=2, verbose=0, shuffle=False)
    return model


def assert_all_same_bits(received, expected):
    """Asserts that lists of arrays agree in every bit."""
    for one, other in zip(received, expected, strict=True):
        assert_same_bits(one, other)


@faces
def test_fit_gives_the_bits_of_float32_averages(face):
    model, wide = trained(face, None), trained(face, "float32")
    assert_all_same_bits(exact(model.optimizer, model), averages(wide.optimizer, wide))
    before = [np.array(weight) for weight in model.get_weights()]
    with model.optimizer.swapped():
        expected = [split(value)[0] for value in exact(wide.optimizer, wide)]
        assert_all_same_bits([np.array(w) for w in model.get_weights()], expected)
    assert_all_same_bits([np.array(w) for w in model.get_weights()], before)
    assert_all_same_bits(exact(model.optimizer, model), exact(wide.optimizer, wide))


# Of Keras 3: tf_keras cannot read the bfloat16 weights that it has written.
@pytest.mark.parametrize(
    ("suffix", "wrote", "reads"),
    [
        *[(".keras", kind, kind) for kind in KINDS],
        *[(".weights.h5", wrote, reads) for wrote in KINDS for reads in KINDS],
    ],
)
def test_each_kind_of_average_is_loaded_from_each(suffix, wrote, reads, tmp_path):
    face = KERAS
    writer = trained(face, wrote)
    path = str(tmp_path / f"model{suffix}")
    if suffix == ".keras":
        writer.save(path)
        reader = face.keras.models.load_model(path)
    else:
        writer.save_weights(path)
        reader = face.make(
            face.wrap(face.keras.optimizers.Adam(0.01), average_dtype=reads), "bfloat16"
        )
        reader.optimizer.build(reader.trainable_variables)
        reader.load_weights(path)
    for before, after in zip(
        exact(writer.optimizer, writer), exact(reader.optimizer, reader), strict=True
    ):
        expected, received = before.astype(FLOAT32), after.astype(FLOAT32)
        if after.dtype == BFLOAT16:
            np.testing.assert_allclose(received, expected, rtol=2**-8)
        else:
            assert_same_bits(received, expected)


@faces
def test_the_variables_of_the_optimizer_hold_all_bits(face):
    model, other = trained(face), trained(face)
    other.fit(*data(), verbose=0)
    values = [np.array(variable) for variable in model.optimizer.variables]
    other.optimizer.set_weights(values)
    assert_all_same_bits(exact(other.optimizer, other), exact(model.optimizer, model))


@faces
def test_weights_of_other_dtypes_have_averages_of_these(face):
    model, other = (trained(face, choice, "mixed_bfloat16") for choice in ("split", "same"))
    assert {value.dtype for value in exact(model.optimizer, model)} == {FLOAT32}
    assert_all_same_bits(exact(model.optimizer, model), exact(other.optimizer, other))
