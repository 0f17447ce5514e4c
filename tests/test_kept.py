"""Trials on disk: read back as they were, refused where they are another's or damaged."""

import chex
import jax
import numpy as np
import pytest

from magan_jax.augmentation import kept
from magan_jax.augmentation.judging import PoolJudgement
from magan_jax.augmentation.kept import (
    TrialsFolder,
    keep_trial,
    kept_trials,
    load_trial,
    put_in_place,
    save_trial,
)
from magan_jax.augmentation.neighbourhoods import Neighbourhoods
from magan_jax.augmentation.trial import ArmTrial, Trial
from magan_jax.models import Classifier
from magan_jax.training.classifier import classifier_in_use

SETTINGS = {"seed": 3, "arms": ("real", "anchors")}
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), np.uint8)


def trial():
    variables = Classifier(5, 2).init(jax.random.key(0), np.zeros((1, 8, 8, 1), np.float32))
    classifier = jax.tree_util.Partial(classifier_in_use(2, 5), variables)
    pool = PoolJudgement(4, np.arange(5), 0.75, 1.5, IMAGES, np.array([0, 1, 2, 4]))
    arms = {
        "real": ArmTrial(classifier, (0.5,), 0, None, (None,)),
        "anchors": ArmTrial(classifier, (0.25, 0.75), 1, pool, ("no region", None)),
    }
    studied = Neighbourhoods(*(np.full(2, i) for i in range(len(Neighbourhoods._fields))))
    return Trial(3, 10, 5, np.arange(50) % 10 == 0, arms, {"bound": arms["real"]}, studied)


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "trials" / "n10-seed3.npz"
    save_trial(file, trial(), SETTINGS, "abc")
    return file


def test_a_trial_is_read_as_it_was(path):
    found, expected = load_trial(path, SETTINGS, 2, "abc"), trial()
    for name in ("seed", "num_per_class", "num_classes"):
        assert getattr(found, name) == getattr(expected, name)
    np.testing.assert_array_equal(found.held_out, expected.held_out)
    chex.assert_trees_all_equal(found.neighbourhoods, expected.neighbourhoods)
    assert (list(found.arms), list(found.bounds)) == (["real", "anchors"], ["bound"])
    for name, arm in expected.arms.items():
        again = found.arms[name]
        chex.assert_trees_all_equal(again.classifier.args, arm.classifier.args)
        assert (again.validation, again.chosen) == (arm.validation, arm.chosen)
        assert again.failures == arm.failures
        chex.assert_trees_all_equal(again.pool, arm.pool)
    images = np.zeros((1, 8, 8, 1), np.float32)
    np.testing.assert_array_equal(
        found.arms["real"].classifier(images), expected.arms["real"].classifier(images)
    )


def test_none_is_read_where_there_is_none(tmp_path):
    assert load_trial(tmp_path / "none.npz", SETTINGS, 2) is None


def test_a_trial_of_other_settings_or_networks_is_refused(path):
    assert load_trial(path, SETTINGS, 2) is not None  # of any networks
    with pytest.raises(ValueError, match="holds a trial of other settings; delete it"):
        load_trial(path, SETTINGS | {"seed": 4}, 2)
    with pytest.raises(ValueError, match="holds a trial of other networks .another GAN or encoder"):
        load_trial(path, SETTINGS, 2, "abd")


def test_a_folder_gives_back_the_trials_that_it_was_given(tmp_path):
    folder = TrialsFolder(tmp_path / "trials", {"arms": ("real", "anchors")}, 2)
    assert kept_trials(folder, [10], [3]) == {}
    keep_trial(folder, trial(), "abc")
    keep_trial(folder, trial()._replace(seed=4), "abc")
    keep_trial(folder, trial()._replace(num_per_class=20), "abc")
    found = kept_trials(folder, [5, 10], range(4, 2, -1), "abc")
    assert [(place, one.num_per_class, one.seed) for place, one in found.items()] == [
        ((10, 4), 10, 4),
        ((10, 3), 10, 3),
    ]


@pytest.mark.parametrize(
    ("other", "networks"), [({"settings": {"arms": ("real",)}}, None), ({}, "abd")]
)
def test_others_trials_are_refused_or_replaced(tmp_path, other, networks):
    folder = TrialsFolder(tmp_path, {"arms": ("real", "anchors")}, 2)
    keep_trial(folder, trial(), "abc")
    keep_trial(folder, trial()._replace(seed=4), "abd")
    with pytest.raises(ValueError, match="n10-seed3.npz holds a trial of other"):
        kept_trials(folder._replace(**other), [10], [3, 4], networks)
    again = folder._replace(**other, others_replaced=True)
    assert [seed for _, seed in kept_trials(again, [10], [3, 4], networks)] == (
        [4] if networks else []
    )


def test_trials_made_anew_replace_their_like_and_no_other(tmp_path):
    old = TrialsFolder(tmp_path / "trials", {}, 2)
    for n in (10, 20):
        keep_trial(old, trial()._replace(num_per_class=n), "abc")
    new = TrialsFolder(tmp_path / "trials-restarted", {}, 2)
    keep_trial(new, trial(), "abd")
    keep_trial(new, trial()._replace(num_per_class=20), "abe")  # of another call, interrupted
    put_in_place(new, [trial()], old.path)
    assert not new.path.exists()
    assert list(kept_trials(old, [10], [3], "abd")) == [(10, 3)]
    assert list(kept_trials(old, [20], [3], "abc")) == [(20, 3)]


def test_only_the_first_host_reads_and_writes_trials(tmp_path, monkeypatch):
    folder = TrialsFolder(tmp_path, {}, 2)
    keep_trial(folder, trial(), "abc")
    monkeypatch.setattr(kept, "is_first_host", lambda: False)
    keep_trial(folder, trial()._replace(seed=4), "abc")
    assert kept_trials(folder, [10], [3]) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["n10-seed3.npz"]


def cut(content):
    return content[: len(content) // 2]


def emptied(content):
    return b""


def renamed(content):
    """An entry's name in both places: its content is whole."""
    return content.replace(b"neighbourhoods/", b"neighbourhoodz/")


def compressed_in_an_unknown_way(content):
    """The method that the archive's directory gives for its first entry."""
    place = content.index(b"PK\x01\x02") + 10
    return content[:place] + b"\x63" + content[place + 1 :]


def encrypted(content):
    place = content.index(b"PK\x01\x02") + 8
    return content[:place] + b"\x01" + content[place + 1 :]


@pytest.mark.parametrize("damage", [cut, emptied, renamed, compressed_in_an_unknown_way, encrypted])
def test_a_damaged_trial_is_refused_in_a_sentence(path, damage):
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="cannot be read .*; delete it to make it anew"):
        load_trial(path, SETTINGS, 2)


def test_a_flipped_byte_is_refused_or_changes_nothing(path):
    """Some bytes of an archive say nothing, its times for example."""
    content, expected, refused = path.read_bytes(), trial(), []
    places = np.linspace(0, len(content) - 1, 300).astype(int)
    for place in {*places, *range(len(content) - 100, len(content))}:
        path.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        try:
            found = load_trial(path, SETTINGS, 2)
        except ValueError as error:
            refused.append(str(error))
            continue
        for name, arm in expected.arms.items():
            chex.assert_trees_all_equal(found.arms[name].classifier.args, arm.classifier.args)
            chex.assert_trees_all_equal(found.arms[name].pool, arm.pool)
        chex.assert_trees_all_equal(found.neighbourhoods, expected.neighbourhoods)
    assert len(refused) > 100
    assert all("cannot be read" in message for message in refused)


def test_a_trial_that_lacks_something_is_refused_in_a_sentence(path):
    with np.load(path) as file:
        arrays = dict(file)
    for lost in arrays:
        np.savez(path, **{name: array for name, array in arrays.items() if name != lost})
        with pytest.raises(ValueError, match="cannot be read .*(not what was written|content)"):
            load_trial(path, SETTINGS, 2)
    np.savez(path, **arrays)
    assert load_trial(path, SETTINGS, 2) is not None
