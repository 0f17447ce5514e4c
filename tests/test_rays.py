"""Labels along the ray of each class, where they are known in closed form."""

import numpy as np
import pytest
from conftest import three_with_one_missing

from magan_jax import labels_along_rays


def identity(z):
    return z


def test_rays_show_the_label_on_both_sides(half_spaces):
    found = labels_along_rays(
        identity, three_with_one_missing, half_spaces, reach=2.0, num_points=9
    )
    exact = half_spaces.mean[:2, 0] / half_spaces.std[:2, 0]
    for k in range(2):
        wanted = np.where(half_spaces.mean[k, 0] + found.position * half_spaces.std[k, 0] > 0, 0, 1)
        np.testing.assert_array_equal(found.label[k], wanted)
    assert (found.label[2] == -1).all()
    assert np.isnan(found.confidence[2]).all()
    assert exact[0] > 0 > exact[1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: labels_along_rays(identity, identity, a, reach=np.nan), "reach is nan"),
        (lambda a: labels_along_rays(identity, identity, a, num_points=0), "num_points is 0"),
        (
            lambda a: labels_along_rays(identity, identity, a._replace(counts=a.counts * 0)),
            "no class has two latents",
        ),
        (
            lambda a: labels_along_rays(identity, lambda x: x[:, :2], a),
            "classify gives logits for 2 classes, but the analysis is of 3; take the classifier",
        ),
    ],
)
def test_bad_input_gets_one_sentence(half_spaces, call, message):
    with pytest.raises(ValueError, match=message):
        call(half_spaces)
