import jax
import numpy as np
import pytest

from magan_jax.blocks import in_blocks


@pytest.mark.parametrize("n", [1, 4, 5, 12])
def test_rows_are_those_of_the_whole_and_one_shape_is_seen(n):
    rows = np.random.default_rng(0).normal(size=(n, 2, 3)).astype(np.float32)
    seen = []

    def function(block):
        seen.append(block.shape)
        return {"sum": jax.numpy.sum(block, axis=(1, 2)), "twice": 2 * block}

    found = in_blocks(function, rows, 4)
    np.testing.assert_array_equal(found["twice"], 2 * rows)
    np.testing.assert_allclose(found["sum"], rows.astype(float).sum((1, 2)), rtol=1e-4, atol=1e-6)
    assert set(seen) == {(4, 2, 3)}
    assert len(seen) == -(-n // 4)


def test_what_fills_the_last_block_is_a_row_like_the_others():
    blocks = []
    in_blocks(lambda block: blocks.append(block) or block, np.arange(1.0, 6.0)[:, None], 4)
    np.testing.assert_array_equal(blocks[1][:, 0], [5, 5, 5, 5])


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="there are no rows"):
        in_blocks(lambda block: block, np.zeros((0, 3)), 4)
