import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import magan_jax
from magan_jax import load_result, save_result
from magan_jax.saved_results import _RESULTS

KEY = jax.random.key(0)


def identity(z):
    return z


def three(x):
    return x[:, :3]


def images(z):
    return jnp.tanh(z).reshape(-1, 2, 2, 1)


def of_images(x):
    return x.reshape(len(x), -1)[:, :3]


@pytest.fixture(scope="module")
def results():
    """A result of every public function that gives one."""
    networks = (images, of_images)
    latents = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    analysis = magan_jax.analyze(
        KEY, *networks, latent_dim=4, num_classes=3, num_samples=500, num_permutations=9
    )
    other = magan_jax.analyze(
        jax.random.key(1), *networks, latent_dim=4, num_classes=3, num_samples=500
    )
    regions = magan_jax.regions_around_means(analysis, analysis.epsilon)
    pictures = np.asarray(images(latents))
    of_classes = magan_jax.class_latents(
        lambda x: (x.reshape(len(x), -1), jnp.zeros((len(x), 4))), pictures, np.arange(12) % 3, 3
    )
    settings = {"num_samples": 4, "num_devices": 1}
    return [
        analysis,
        magan_jax.cluster(analysis, num_clusters=2, num_bootstrap=3),
        magan_jax.compare_geometries([analysis, other], num_clusters=2, num_permutations=3),
        magan_jax.bisect_epsilon(*networks, analysis.mean, analysis.std[:, None], upper=2.0),
        magan_jax.measure_invariance(KEY, *networks, analysis, num_directions=4),
        magan_jax.measure_purity(KEY, *networks, analysis, analysis.epsilon, num_shifts=4),
        magan_jax.labels_along_rays(*networks, analysis, num_points=5),
        magan_jax.label_latents(*networks, latents),
        magan_jax.ascend(*networks, latents, 1, num_steps=2),
        regions,
        magan_jax.synthesize(KEY, *networks, regions, num_per_class=2),
        of_classes,
        magan_jax.score_conditional(KEY, *networks, of_classes, 0.5, **settings),
        magan_jax.search_simple(KEY, *networks, of_classes, **settings),
        magan_jax.search_scales(
            KEY, *networks, of_classes, start=0.5, per_class=True, max_sweeps=1, **settings
        ),
    ]


def test_what_was_saved_comes_back_as_it_was(results, tmp_path):
    seen = set()
    for result in results:
        save_result(tmp_path / "result.npz", result)
        found = load_result(str(tmp_path / "result.npz"))
        assert type(found) is type(result)
        assert jax.tree.structure(found) == jax.tree.structure(result)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(result), strict=True):
            assert type(a) is type(np.asarray(b) if isinstance(b, jax.Array) else b)
            assert np.asarray(a).dtype == np.asarray(b).dtype
        chex.assert_trees_all_equal(found, result)  # NaN too
        seen.add(type(result))
    public = {getattr(magan_jax, name) for name in magan_jax.__all__}
    assert seen == public & set(_RESULTS)


def test_numpy_reads_the_arrays_by_their_names(results, tmp_path):
    analysis = results[0]
    save_result(tmp_path / "analysis.npz", analysis)
    with np.load(tmp_path / "analysis.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["mean"], analysis.mean)
        np.testing.assert_array_equal(file["epsilon_interval.low"], analysis.epsilon_interval.low)
        np.testing.assert_array_equal(file["replicates.count"], analysis.replicates.count)
        assert file["num_samples"] == 500
    assert [path.name for path in tmp_path.iterdir()] == ["analysis.npz"]  # nothing else is left


def test_what_was_saved_goes_on(results, tmp_path):
    """A loaded analysis has its properties, and serves where the other does."""
    save_result(tmp_path / "analysis.npz", results[0])
    found = load_result(tmp_path / "analysis.npz")
    np.testing.assert_array_equal(found.valid, results[0].valid)
    exits = magan_jax.measure_invariance(KEY, images, of_images, found, num_directions=4)
    chex.assert_trees_all_equal(exits, results[4])


@pytest.mark.parametrize("value", [{"a": 1}, np.zeros(3), None])
def test_what_is_no_result_is_not_saved(value, tmp_path):
    with pytest.raises(ValueError, match="result is of type .*; what can be saved is Agreement,"):
        save_result(tmp_path / "x.npz", value)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_result_is_refused_in_a_sentence(results, tmp_path):
    path = tmp_path / "x.npz"
    with pytest.raises(ValueError, match="there is no such file"):
        load_result(path)
    for content in (b"", b"no archive", b"PK\x03\x04 and no more"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="that is no result that save_result"):
            load_result(path)
    for arrays in (
        {"mean": np.zeros(3)},
        {"kinds": np.array("{}")},
        {"kinds": np.array(json.dumps({"": "Labels"})), "label": np.zeros(3)},  # a part is missing
        {"kinds": np.array(json.dumps({"": "Path"})), "label": np.zeros(3)},
        {"kinds": np.array(json.dumps({"": "dict", ".": "dict"}))},  # itself inside itself
    ):
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match="that is no result that save_result"):
            load_result(path)


@pytest.mark.parametrize("value", [None, [1, 2]])
def test_a_part_that_is_no_array_is_not_saved(value, tmp_path):
    with pytest.raises(ValueError, match="confidence of the result is of type .*; an array or"):
        save_result(tmp_path / "x.npz", magan_jax.Labels(np.zeros(2, int), value))
    assert not list(tmp_path.iterdir())
