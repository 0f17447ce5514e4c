import chex
import jax
import numpy as np

from magan_jax.augmentation.rows import EACH_ITS_OWN, SoftBatch, sets_to_rows, to_rows

KEY = jax.random.key(0)


def numbered(first, number):
    """Images of one pixel that say which they are, and what their probabilities are."""
    numbers = first + np.arange(number)
    return SoftBatch(numbers.astype(np.uint8).reshape(-1, 1, 1, 1), np.eye(256)[numbers])


def test_rows_are_drawn_from_all_of_a_set_and_nothing_else():
    rows = to_rows(*numbered(5, 40))
    chex.assert_shape(rows.images, (1024, 1, 1, 1))
    images, probabilities = rows.draw(KEY, 2000)
    assert set(np.ravel(images)) == set(range(5, 45))
    np.testing.assert_array_equal(np.argmax(probabilities, 1), np.ravel(images))
    # With replacement, each as often as another: 50 ± 7.
    assert np.bincount(np.ravel(images)).max() < 90


def test_each_of_several_sets_is_drawn_from_as_if_it_were_alone():
    a, b, c = numbered(0, 30), numbered(100, 3), numbered(200, 50)
    together = sets_to_rows([a, b, a, c])
    drawn = jax.vmap(lambda rows: rows.draw(KEY, 500), (EACH_ITS_OWN,))(together)
    for place, one in enumerate((a, b, a, c)):
        chex.assert_trees_all_equal([x[place] for x in drawn], list(to_rows(*one).draw(KEY, 500)))


def test_what_sets_share_is_kept_once():
    pool = SoftBatch(np.zeros((1500, 2, 2, 1), np.uint8), np.full((1500, 4), 0.25))
    assert len(sets_to_rows([pool] * 3).images) == len(to_rows(*pool).images) == 2048
    assert len(sets_to_rows([pool, SoftBatch(*pool)]).images) == 3072
