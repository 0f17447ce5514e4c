"""The checks that most functions share."""

import jax
import numpy as np
import pytest

from magan_jax.errors import check_key, check_names, check_positive, check_real, check_whole
from magan_jax.metrics import evaluate_images, frechet_distance
from magan_jax.metrics.evaluate import Extractor

NO_NUMBERS = ["a", None, [3], np.array([3, 4]), np.nan, np.inf, 2.5, True, 1j]


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0, -1])
def test_what_is_no_size_is_refused_in_a_sentence(value):
    with pytest.raises(ValueError, match="size is .*; it must be a whole number, at least 1"):
        check_positive("size", value)


@pytest.mark.parametrize("value", [3, 3.0, np.int8(3), np.float32(3), np.array(3)])
def test_whole_numbers_are_ints_afterwards(value):
    found = check_positive("size", value)
    assert found == 3
    assert type(found) is int
    assert check_whole("number", 0.0, 0) == 0


@pytest.mark.parametrize(
    "key", [0, None, "a", np.zeros(3, np.uint32), jax.random.split(KEY := jax.random.key(0))]
)
def test_a_key_is_one_key(key):
    with pytest.raises(ValueError, match="one key is needed"):
        check_key(key)
    check_key(KEY)
    check_key(jax.random.PRNGKey(0))


@pytest.mark.parametrize("kind", ["rbg", "unsafe_rbg"])
def test_a_key_of_another_prng_is_refused(kind):
    sentence = f"key is of the PRNG {kind}, .* pass jax.random.key.0, impl=.threefry2x32"
    with pytest.raises(ValueError, match=sentence):
        check_key(jax.random.key(0, impl=kind))
    with jax.default_prng_impl(kind), pytest.raises(ValueError, match=sentence):
        check_key(np.zeros(2, np.uint32))  # what it is depends on that setting
    with jax.default_prng_impl(kind):
        check_key(jax.random.key(0, impl="threefry2x32"))


def test_names_are_those_of_the_table():
    check_names("--methods", ["a"], {"a": 1, "b": 2})
    for names, named in ((["a", "c", "d"], "c, d"), ([], "none")):
        with pytest.raises(ValueError, match=f"--methods names {named}; choose among a, b."):
            check_names("--methods", names, {"a": 1, "b": 2})


def test_a_warning_names_the_callers_line():
    """Whichever function of the package gives it, however deep."""
    few = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    grey = np.linspace(0, 1, 6 * 16, dtype=np.float32).reshape(6, 4, 4, 1)
    flat = Extractor("flat", lambda x: x.reshape(len(x), -1)[:, :2])
    with pytest.warns(UserWarning, match="rows for 4 features") as said:
        frechet_distance(real=few, fake=few + 1)
    with pytest.warns(UserWarning, match="none clearly below 0") as also_said:
        evaluate_images(flat, real=grey, fake=grey, methods=("frechet_distance",))
    ours = [
        w for w in (*said, *also_said) if "features" in str(w.message) or "grey" in str(w.message)
    ]
    assert len(ours) >= 3
    assert {warning.filename for warning in ours} == {__file__}


@pytest.mark.parametrize("value", ["3", None, [3.0], np.array([3.0]), True, 1j])
def test_what_is_no_number_is_refused_in_a_sentence(value):
    with pytest.raises(ValueError, match="upper is .*; it must be a number"):
        check_real("upper", value)


@pytest.mark.parametrize("value", [3, 3.0, np.float32(3), np.array(3.0), jax.numpy.float32(3)])
def test_numbers_are_floats_afterwards(value):
    assert check_real("upper", value) == 3.0
    assert type(check_real("upper", value)) is float
