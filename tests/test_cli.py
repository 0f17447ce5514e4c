"""What ends a command with one sentence, and what is a fault of ours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.cli import one_sentence


def wants_too_much_of_jax():
    jnp.zeros((10**6, 10**8)).block_until_ready()


def wants_too_much_of_numpy():
    np.zeros((10**6, 10**9))


def wants_a_size_without_meaning():
    np.int32(2**40)


def says_no():
    raise ValueError("size is 0; it must be at least 1.")


@pytest.mark.parametrize(
    ("function", "begins"),
    [
        (wants_too_much_of_jax, "error: memory does not suffice (RESOURCE_EXHAUSTED"),
        (wants_too_much_of_numpy, "error: memory does not suffice (Unable to allocate"),
        (wants_a_size_without_meaning, "error: Python integer"),
        (says_no, "error: size is 0; it must be at least 1."),
    ],
)
def test_what_a_user_can_mend_ends_with_one_sentence(function, begins):
    with pytest.raises(SystemExit) as ended:
        one_sentence(function)
    message = str(ended.value.code)
    assert message.startswith(begins)
    assert "\n" not in message


def test_a_fault_of_ours_keeps_its_traceback():
    def fault():
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    with pytest.raises(jax.errors.JaxRuntimeError):
        one_sentence(fault)
    with pytest.raises(ZeroDivisionError):
        one_sentence(lambda: 1 / 0)
