import jax
import numpy as np
import pytest
from conftest import striped_images
from scipy.spatial.distance import cdist

from magan_jax.images import scale_images
from magan_jax.metrics import (
    METHODS,
    Extractor,
    cache,
    density_coverage,
    evaluate_against,
    evaluate_images,
    frechet_distance,
    frechet_distance_infinity,
    mean_pairwise_cosine,
    precision_recall,
    reference_of,
    vendi_score,
)
from magan_jax.metrics.__main__ import main
from magan_jax.metrics.methods import Method, Number
from magan_jax.metrics.selftest import checks
from magan_jax.training.classifier import feature_function
from magan_jax.training.classifier_config import ClassifierConfig
from magan_jax.training.classifier_step import init_classifier

RANDOM = np.random.default_rng(0)
PROJECTION = RANDOM.normal(size=(64, 6))
KEY = jax.random.key(0)


def project(images):
    return np.asarray(images).reshape(len(images), -1) @ PROJECTION


def some_images(n, seed):
    return striped_images(np.random.default_rng(seed), np.arange(n) % 8)[..., None]


REAL, FAKE, HELD_OUT = some_images(300, 0), some_images(120, 1) // 2, some_images(250, 2)
EXTRACTOR = Extractor("a projection", project, 0.75)


def features(images):
    return project(images.astype(np.float32) / np.float32(127.5) - 1)


def test_every_number_is_its_function_and_carries_what_it_depends_on():
    found = evaluate_images(
        EXTRACTOR, real=REAL, fake=FAKE, held_out=HELD_OUT, k={"precision_recall": 2}, batch_size=50
    )
    expected = {}
    for part, images in (("value", FAKE), ("yardstick", HELD_OUT[np.arange(120) * 250 // 120])):
        sets = {"real": features(REAL), "fake": features(images)}
        expected[part] = {
            "frechet_distance": frechet_distance(**sets),
            **precision_recall(**sets, k=2)._asdict(),
            **density_coverage(**sets)._asdict(),
            "mean_pairwise_cosine": mean_pairwise_cosine(sets["fake"]),
            "vendi_score": vendi_score(sets["fake"]),
        }
    assert list(found) == list(expected["value"])
    ks = {"precision": 2, "recall": 2, "density": 5, "coverage": 5}
    for name, score in found.items():
        assert score.value == pytest.approx(expected["value"][name], rel=1e-9), name
        assert score.yardstick == pytest.approx(expected["yardstick"][name], rel=1e-9), name
        assert (score.extractor, score.test_accuracy) == ("a projection", 0.75)
        assert score.k == ks.get(name)
        alone = name in ("mean_pairwise_cosine", "vendi_score")
        assert score.num_real == (None if alone else 300)
        assert score.num_fake == score.num_yardstick == 120
        assert score.standard_error is None
    assert found["frechet_distance"].value > found["frechet_distance"].yardstick
    assert found["recall"].value < found["recall"].yardstick


def test_features_without_direction_cost_their_own_numbers_only():
    def half_blind(images):
        seen = project(images)
        return np.where(seen[:, :1] > np.median(seen[:, 0]), seen, 0)

    blind = Extractor("half blind", half_blind)
    found = evaluate_images(blind, real=REAL, fake=FAKE)
    for name, score in found.items():
        if name in ("mean_pairwise_cosine", "vendi_score"):
            assert np.isnan(score.value)
            assert "rows that are not zero" in score.reason
        else:
            assert np.isfinite(score.value)
            assert score.reason is None


def test_one_reference_serves_several_sets():
    reference = reference_of(EXTRACTOR, real=REAL, held_out=HELD_OUT)
    for fake in (FAKE, some_images(90, 5)):
        alone = evaluate_images(EXTRACTOR, real=REAL, fake=fake, held_out=HELD_OUT)
        assert evaluate_against(reference, fake) == alone


def test_a_metric_is_a_line_of_the_table(monkeypatch):
    def largest(real, fake, key):
        return (Number(real.features.max() - fake.max()),)

    monkeypatch.setitem(METHODS, "largest", Method(("gap",), largest))
    found = evaluate_images(
        EXTRACTOR, real=REAL, fake=FAKE, held_out=HELD_OUT[:120], methods=["largest"]
    )
    assert list(found) == ["gap"]
    assert found["gap"].value == features(REAL).max() - features(FAKE).max()
    assert found["gap"].yardstick == features(REAL).max() - features(HELD_OUT[:120]).max()
    assert (found["gap"].k, found["gap"].num_real, found["gap"].num_fake) == (None, 300, 120)


def test_so_is_one_with_balls_of_its_own(monkeypatch):
    def radius(real, fake, key):
        distances = cdist(real.features, real.features)
        np.testing.assert_allclose(
            real.statistics.squared_neighbours[:, real.k["radius"] - 1],
            np.sort(distances, axis=1)[:, real.k["radius"]] ** 2,
            rtol=1e-4,
        )
        return (Number(float(np.sort(distances, axis=1)[:, real.k["radius"]].mean())),)

    monkeypatch.setitem(METHODS, "radius", Method(("radius",), radius, k=7))
    asked = {"real": REAL, "fake": FAKE, "methods": ["radius", "precision_recall"]}
    found = evaluate_images(EXTRACTOR, **asked)
    assert (found["radius"].k, found["precision"].k) == (7, 3)
    assert found["precision"] == evaluate_images(EXTRACTOR, real=REAL, fake=FAKE)["precision"]
    nearer = evaluate_images(EXTRACTOR, **asked, k={"radius": 2})["radius"]
    assert nearer.k == 2
    assert nearer.value < found["radius"].value


def test_whole_numbers_may_be_floats():
    settings = {"real": REAL, "fake": FAKE, "held_out": HELD_OUT}
    floats = {"k": {"precision_recall": 3.0, "density_coverage": 5.0}, "batch_size": 1e2}
    assert evaluate_images(EXTRACTOR, **settings, **floats) == evaluate_images(
        EXTRACTOR, **settings
    )
    sets = {"real": features(REAL), "fake": features(FAKE)}
    assert precision_recall(**sets, k=3.0) == precision_recall(**sets, k=3)
    assert density_coverage(**sets, k=5.0) == density_coverage(**sets, k=5)


def test_a_reference_made_for_less_is_refused():
    for methods, missing in (
        (["vendi_score"], "frechet_distance"),
        (["precision_recall"], "density_coverage"),
    ):
        reference = reference_of(EXTRACTOR, real=REAL, methods=methods)
        evaluate_against(reference, FAKE, methods=methods)
        with pytest.raises(ValueError, match=f"made without {missing}"):
            evaluate_against(reference, FAKE, methods=[missing])


def test_without_held_out_images_only_the_diversity_has_a_yardstick():
    found = evaluate_images(EXTRACTOR, real=REAL, fake=FAKE)
    spread = features(REAL)[np.arange(120) * 300 // 120]
    for name, score in found.items():
        if name == "vendi_score":
            assert score.yardstick == pytest.approx(vendi_score(spread), rel=1e-9)
        elif name == "mean_pairwise_cosine":
            assert score.yardstick == pytest.approx(mean_pairwise_cosine(spread), rel=1e-9)
        else:
            assert (score.yardstick, score.num_yardstick) == (None, None)


def test_infinity_has_a_standard_error():
    found = evaluate_images(
        EXTRACTOR, real=REAL, fake=FAKE, methods=["frechet_distance_infinity"], key=KEY
    )
    expected = frechet_distance_infinity(
        jax.random.split(KEY)[0], real=features(REAL), fake=features(FAKE)
    )
    score = found["frechet_distance_infinity"]
    assert score.value == pytest.approx(expected.value, rel=1e-9)
    assert score.standard_error == pytest.approx(expected.standard_error, rel=1e-6)


def test_infinity_of_too_few_images_costs_no_other_number():
    few = evaluate_images(
        EXTRACTOR, real=REAL, fake=FAKE[:12], held_out=HELD_OUT, methods=METHODS, key=KEY
    )
    score = few.pop("frechet_distance_infinity")
    assert np.isnan([score.value, score.yardstick]).all()
    assert "15 different sizes" in score.reason
    assert all(np.isfinite(other.value) and other.reason is None for other in few.values())
    only_beside = evaluate_images(
        EXTRACTOR, real=REAL, fake=FAKE, held_out=HELD_OUT[:12], methods=METHODS, key=KEY
    )["frechet_distance_infinity"]
    assert np.isfinite(only_beside.value)
    assert only_beside.reason == "held_out has 12 image(s); a yardstick needs 21"


def test_a_second_call_reads_the_statistics_of_the_real_set(tmp_path):
    first = evaluate_images(EXTRACTOR, real=REAL, fake=FAKE, cache_folder=tmp_path)
    (path,) = tmp_path.iterdir()
    arrays = dict(np.load(path))
    np.savez(path, **(arrays | {"mean": arrays["mean"] + 1}))  # so that a reader can be told
    second = evaluate_images(EXTRACTOR, real=REAL, fake=FAKE, cache_folder=tmp_path)
    assert second["frechet_distance"].value != first["frechet_distance"].value
    assert second["recall"] == first["recall"]


def test_too_few_images_are_warned_of_once_and_not_for_the_yardstick():
    with pytest.warns(UserWarning, match="fake has 6 rows for 6 features") as record:
        evaluate_images(EXTRACTOR, real=REAL, fake=FAKE[:6], held_out=HELD_OUT)
    assert len(record) == 1
    with pytest.warns(UserWarning, match="fake has 6 rows for 6 features") as record:
        evaluate_images(EXTRACTOR, real=REAL, fake=FAKE[:6], held_out=HELD_OUT[:6])
    assert len(record) == 1


def test_too_few_held_out_images_are_warned_of_and_cost_the_yardstick_alone():
    with pytest.warns(UserWarning, match="held_out has 5 images for 6 features, so the yardst"):
        few = evaluate_images(EXTRACTOR, real=REAL, fake=FAKE, held_out=HELD_OUT[:5])
    assert all(np.isfinite(score.yardstick) and score.reason is None for score in few.values())
    with pytest.warns(UserWarning, match="held_out has 1 images"):
        one = evaluate_images(EXTRACTOR, real=REAL, fake=FAKE, held_out=HELD_OUT[:1])
    whole = evaluate_images(EXTRACTOR, real=REAL, fake=FAKE, held_out=HELD_OUT)
    assert {name: score.value for name, score in one.items()} == {
        name: score.value for name, score in whole.items()
    }
    for name, needed in (("frechet_distance", 2), ("precision", 4), ("recall", 4)):
        assert np.isnan(one[name].yardstick)
        assert one[name].reason == f"held_out has 1 image(s); a yardstick needs {needed}"
    assert np.isfinite(one["coverage"].yardstick)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ["fid"]}, "method is 'fid'; choose among frechet_distance, precision_re"),
        ({"methods": []}, "methods names none; choose among frechet_distance"),
        ({"extractor": project}, r"extractor is <function .*; pass Extractor\(name, function\)"),
        ({"methods": ["frechet_distance_infinity"]}, "key is None, but"),
        ({"k": {"density_coverage": 300}}, r"k is 300, but real has 300 row\(s\)"),
        (
            {"k": {"precision_recall": 3.5}},
            "k of precision_recall is 3.5; it must be a whole number, at least 1",
        ),
        ({"k": {"precision": 3}}, "k names 'precision'; methods with balls are"),
        ({"batch_size": 0.5}, "batch_size is 0.5; it must be a whole number"),
        ({"k": {"precision_recall": 120}}, r"k is 120, but fake has 120 row\(s\)"),
        ({"fake": FAKE[:0]}, r"fake has the shape \(0, 8, 8, 1\)"),
        ({"held_out": HELD_OUT.astype(float)}, "held_out goes from"),
        ({"held_out": HELD_OUT[:, :4]}, r"held_out images are \(4, 8, 1\), the real ones \(8, 8"),
        (
            {"fake": FAKE.transpose(0, 3, 1, 2)},
            r"fake images are \(1, 8, 8\), the real ones \(8, 8, 1",
        ),
    ],
)
def test_what_cannot_be_computed_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        evaluate_images(**({"extractor": EXTRACTOR, "real": REAL, "fake": FAKE} | changes))


def test_methods_may_come_one_by_one():
    names = ("vendi_score", "frechet_distance")
    found = evaluate_images(EXTRACTOR, real=REAL, fake=FAKE, methods=(name for name in names))
    assert tuple(found) == names


def test_images_of_another_size_are_refused_before_any_work():
    unused = Extractor("never", lambda images: pytest.fail("asked"))
    with pytest.raises(ValueError, match="fake images are"):
        evaluate_images(unused, real=REAL, fake=FAKE[:, :4])


def test_a_distance_alone_needs_no_neighbours(monkeypatch):
    monkeypatch.setattr(cache, "squared_neighbour_distances", lambda *_: pytest.fail("asked"))
    reference = reference_of(EXTRACTOR, real=REAL, methods=["frechet_distance"])
    found = evaluate_against(reference, FAKE, methods=["frechet_distance"])
    expected = frechet_distance(real=features(REAL), fake=features(FAKE))
    assert found["frechet_distance"].value == expected
    with pytest.raises(ValueError, match="reference was made without precision_recall"):
        evaluate_against(reference, FAKE, methods=["precision_recall"])


def test_features_of_the_classifier_are_what_its_last_layer_sees():
    config = ClassifierConfig(width=4)
    state = init_classifier(KEY, config, (8, 8, 1), 8, 10)
    extract = feature_function(config, 8, state)
    images = scale_images(some_images(20, 3))
    found = np.asarray(extract(images))
    assert found.shape == (20, 16)
    assert found.dtype == np.float32
    assert (found >= 0).all()
    assert (found > 0).any()
    from magan_jax.training.classifier import classifier_function

    last = state.parameters["Dense_1"]
    np.testing.assert_allclose(
        found @ np.asarray(last["kernel"]) + np.asarray(last["bias"]),
        classifier_function(config, 8, state)(images),
        atol=1e-5,
    )
    scores = evaluate_images(
        Extractor("classifier", extract, 0.5), real=REAL, fake=FAKE, batch_size=64
    )
    assert scores["frechet_distance"].value > 0


def test_the_selftest_passes_and_covers_every_metric():
    found = list(checks())
    assert [check.name for check in found if not check.ok] == []
    for word in ("Fréchet", "precision", "recall", "density", "coverage", "cosine", "Vendi"):
        assert any(word in check.name for check in found)


def test_the_selftest_fails_where_a_number_is_wrong(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["metrics", "selftest"])
    main()
    assert "WRONG" not in capsys.readouterr().out
    monkeypatch.setattr("magan_jax.metrics.selftest.vendi_score", lambda features: float("nan"))
    with pytest.raises(SystemExit, match=r"2 check\(s\) failed"):
        main()
    assert capsys.readouterr().out.count("WRONG") == 2


def test_an_unknown_command_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["metrics", "test"])
    with pytest.raises(SystemExit) as refused:
        main()
    assert refused.value.code == 2
    assert "invalid choice: 'test'" in capsys.readouterr().err
