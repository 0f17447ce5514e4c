"""Searches on disk."""

import chex
import numpy as np
import pytest

from magan_jax.conditional.kept import kept_search
from magan_jax.conditional.samplers import Chosen
from magan_jax.latent.conditional import ConditionalScores
from magan_jax.latent.scale_search import SimpleSearch

RANDOM = np.random.default_rng(0)
DESCRIPTION = {"seed": 0, "sampling": {"num_searched": 5, "accuracy_weights": (1.0, 10.0)}}


def searched():
    """As a search would give it, new numbers each time."""
    scores = ConditionalScores(RANDOM.uniform(size=(4, 3)), RANDOM.uniform(size=(4, 3)))
    grid = SimpleSearch(np.arange(4) / 10, np.array([1, 1, 2, 3]), scores)
    kinds = ("simple", "medium1", "medium2")
    return grid, [
        Chosen(k, 10.0, RANDOM.uniform(size=(3, 2)), i + 1, 0.5) for i, k in enumerate(kinds)
    ]


def test_the_same_search_is_not_repeated(tmp_path):
    path = tmp_path / "searches" / "one.npz"
    first = kept_search(path, DESCRIPTION, searched)
    again = kept_search(path, DESCRIPTION, lambda: pytest.fail("searched again"))
    chex.assert_trees_all_equal(again[0], first[0])
    assert [one.kind for one in again[1]] == ["simple", "medium1", "medium2"]
    for one, other in zip(again[1], first[1], strict=True):
        np.testing.assert_array_equal(one.theta, other.theta)
        assert one._replace(theta=None) == other._replace(theta=None)
        assert [type(x) for x in one] == [type(x) for x in other]


def test_another_search_is_made_and_kept_in_its_place(tmp_path):
    path = tmp_path / "one.npz"
    first = kept_search(path, DESCRIPTION, searched)
    second = kept_search(path, DESCRIPTION | {"seed": 1}, searched)
    assert (first[0].scores.cosine != second[0].scores.cosine).all()
    again = kept_search(path, DESCRIPTION | {"seed": 1}, lambda: pytest.fail("searched again"))
    chex.assert_trees_all_equal(again[0], second[0])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_damaged_file_is_replaced(tmp_path, share):
    path = tmp_path / "one.npz"
    kept_search(path, DESCRIPTION, searched)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    second = kept_search(path, DESCRIPTION, searched)
    again = kept_search(path, DESCRIPTION, lambda: pytest.fail("searched again"))
    chex.assert_trees_all_equal(again[0], second[0])


def test_a_changed_byte_is_noticed(tmp_path):
    path = tmp_path / "one.npz"
    kept_search(path, DESCRIPTION, searched)
    content = bytearray(path.read_bytes())
    place = content.find(b"accuracy.npy") + 80  # inside the compressed numbers
    content[place] ^= 255
    path.write_bytes(content)
    calls = []
    kept_search(path, DESCRIPTION, lambda: calls.append(1) or searched())
    assert calls == [1]


@pytest.mark.parametrize(("field", "value"), [(8, 1), (10, 99)])  # encrypted; compressed by 99
def test_a_changed_byte_of_the_archives_index_is_noticed(tmp_path, field, value):
    path = tmp_path / "one.npz"
    kept_search(path, DESCRIPTION, searched)
    content = bytearray(path.read_bytes())
    content[content.find(b"PK\x01\x02") + field] = value
    path.write_bytes(content)
    second = kept_search(path, DESCRIPTION, searched)
    again = kept_search(path, DESCRIPTION, lambda: pytest.fail("searched again"))
    chex.assert_trees_all_equal(again[0], second[0])


def test_nothing_is_loaded_that_could_run_code(tmp_path):
    path = tmp_path / "one.npz"
    np.savez(path, description=np.array([{"a": 1}], dtype=object))
    calls = []
    kept_search(path, DESCRIPTION, lambda: calls.append(1) or searched())
    assert calls == [1]
