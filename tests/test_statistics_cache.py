import os

import numpy as np
import pytest

from magan_jax.metrics import cache, real_statistics, statistics_folder

REAL = np.random.default_rng(0).normal(size=(60, 4))


@pytest.fixture
def computations(monkeypatch):
    """How often neighbours were computed."""
    calls = []
    compute = cache.squared_neighbour_distances

    def counted(*arguments):
        calls.append(arguments)
        return compute(*arguments)

    monkeypatch.setattr(cache, "squared_neighbour_distances", counted)
    return calls


def assert_same(a, b):
    np.testing.assert_array_equal(a.moments.mean, b.moments.mean)
    np.testing.assert_array_equal(a.moments.covariance, b.moments.covariance)
    assert a.moments.num_samples == b.moments.num_samples == 60
    np.testing.assert_array_equal(a.squared_neighbours, b.squared_neighbours)


def test_statistics_are_computed_once(tmp_path, computations):
    first = real_statistics(REAL, k=3, folder=tmp_path)
    second = real_statistics(REAL.copy(), k=3, folder=str(tmp_path))
    assert len(computations) == 1
    assert_same(first, second)
    np.testing.assert_allclose(first.moments.covariance, np.cov(REAL.T))
    assert first.squared_neighbours.shape == (60, 3)
    assert len(list(tmp_path.iterdir())) == 1


def test_other_content_is_another_file(tmp_path, computations):
    changed = REAL.copy()
    changed[17, 2] = np.nextafter(changed[17, 2], 9)
    for features, k in (
        (REAL, 3),
        (REAL, 4),
        (changed, 3),
        (REAL.astype(np.float32), 3),
        (REAL.reshape(120, 2), 3),
    ):
        real_statistics(features, k=k, folder=tmp_path)
    assert len(computations) == len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize("broken", ["cut", "empty", "text", "foreign", "nan", "missing"])
def test_a_broken_file_is_replaced(tmp_path, computations, broken):
    expected = real_statistics(REAL, folder=tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    arrays = dict(np.load(path))
    if broken == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif broken == "empty":
        path.write_bytes(b"")
    elif broken == "text":
        path.write_text("something else")
    elif broken == "foreign":
        np.savez(path, **(arrays | {"mean": np.zeros(5)}))
    elif broken == "nan":
        np.savez(path, **(arrays | {"mean": np.full(4, np.nan)}))
    else:
        np.savez(path, mean=arrays["mean"])
    assert_same(real_statistics(REAL, folder=tmp_path), expected)
    assert_same(real_statistics(REAL, folder=tmp_path), expected)
    assert len(computations) == 2


def test_pickled_objects_are_not_loaded(tmp_path):
    """A file that would run code as it is unpickled."""
    expected = real_statistics(REAL, folder=tmp_path)
    (path,) = tmp_path.iterdir()

    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    arrays = dict(np.load(path)) | {"mean": np.array([Harmful()], object)}
    np.savez(path, **arrays)
    assert_same(real_statistics(REAL, folder=tmp_path), expected)
    assert not (tmp_path / "harm").exists()


def test_without_a_folder_or_with_one_gone_nothing_is_kept(tmp_path, computations):
    real_statistics(REAL)
    real_statistics(REAL, folder=tmp_path / "gone")
    assert len(computations) == 2
    assert not list(tmp_path.iterdir())


def test_the_folder_is_beside_the_data_or_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = tmp_path / "data"
    data.mkdir()
    assert statistics_folder(data) == statistics_folder(str(data)) == data / "magan_jax_statistics"
    assert (data / "magan_jax_statistics").stat().st_mode & 0o777 == 0o700
    in_cache = tmp_path / "cache" / "magan_jax" / "magan_jax_statistics"
    assert statistics_folder() == in_cache
    (data / "magan_jax_statistics").chmod(0o777)  # others could write there
    assert statistics_folder(data) == in_cache
    in_cache.chmod(0o777)
    assert statistics_folder(data) is None


def test_k_must_fit():
    with pytest.raises(ValueError, match="k is 60, but real has 60"):
        real_statistics(REAL, k=60)
