"""The table of what is compared."""

from magan_jax.augmentation import encoded, pools
from magan_jax.augmentation.arms import ARMS, BASELINES, CONTRASTS, CONTROL, any_needs
from magan_jax.augmentation.fitting import UNMOVED, Moves


def made_from(pool):
    """Of a pool: the function that makes it, what that is told, and what it is derived from."""
    first = getattr(pool, "first", None)
    function = pool.then if first else pool
    return getattr(function, "func", function), getattr(function, "keywords", {}), first


def needing(what):
    return {name for name in ARMS if any_needs([name], what)}


def of(name):
    return {one.title: made_from(one.pool) for one in ARMS[name].variants}


def test_variants_are_told_apart_and_their_shares_are_what_their_titles_say():
    for arm in ARMS.values():
        titles = [one.title for one in arm.variants]
        assert len(set(titles)) == len(titles)
        for one in arm.variants:
            assert one.share == (0.9 if "nine tenths" in one.title else 0.5)
    for name in set(ARMS) - {*BASELINES, "combined"}:
        first, last = ARMS[name].variants[0], ARMS[name].variants[-1]
        assert last.share == 0.9
        assert (last.pool, last.part, last.moves) == (first.pool, first.part, first.moves)


def test_what_a_title_says_is_done():
    found = of("confident")
    for title, least in (("from 0.9", 0.9), ("from 0.7", 0.7)):
        assert found[title] == (pools.sure, {"at_least": least}, pools.labelled_latents)
    found = of("paper")
    assert found["its ε"] == (pools.paper_shifts, {}, None)
    assert found["debiased"] == (pools.paper_shifts, {"debiased": True}, None)
    for name, first in (("means", pools.around_means), ("anchors", pools.around_anchors)):
        assert of(name)["ε"] == (pools.shifts, {}, first)
        assert of(name)["ε / 2"] == (pools.shifts, {"reach": 0.5}, first)
    for name in ("neighbourhoods", "hardened", "combined"):
        for scale in (0.8, 0.4):
            expected = (pools.neighbourhoods, {"scale": scale}, None)
            assert of(name)[f"s = {scale}"] == expected
    for name, thetas in (("encoded_means", (1.0, 0.5)), ("encoded_images", (0.5, 0.25))):
        for theta in thetas:
            expected = (getattr(encoded, name), {"theta": theta}, encoded.encoded_classes)
            assert of(name)[f"θ = {theta:g}"] == expected
    assert needing("autoencoder") == {n for n in ARMS if n.startswith("encoded")}
    found = of("combined")
    assert found["anchors"] == of("anchors")["ε"]
    assert found["means"] == of("means")["ε"]
    assert found["the paper's"] == of("paper")["its ε"]
    assert found["pseudo"] == of("pseudo")["half of a batch"]
    assert found["from 0.9"] == of("confident")["from 0.9"]
    assert needing("neighbourhoods") == {n for n in ARMS if "s = 0.8" in of(n)}


def test_arms_with_classical_moves_have_those_of_the_baseline_and_the_others_none():
    for name, arm in ARMS.items():
        for one in arm.variants:
            if name == "classical":
                assert isinstance(one.moves, Moves)
                assert one.moves != UNMOVED
                assert ("mirror" in one.title) == one.moves.mirror
                assert f"shift {one.moves.max_shift}" in one.title
            else:
                assert one.moves == ("classical" if "+ classical" in arm.title else UNMOVED)


def test_soft_and_hard_labels_differ_in_nothing_else():
    """Own labels or averaged ones, soft or hard: four arms, so that each can be held alone."""
    for one, other in zip(ARMS["neighbourhoods"].variants, ARMS["hardened"].variants, strict=True):
        assert other == one._replace(part=pools.hardened)
    for one, other in zip(ARMS["pseudo"].variants, ARMS["soft"].variants, strict=True):
        assert (one.pool, other.pool) == (pools.pseudo_labelled, pools.softly_labelled)
        assert other._replace(pool=one.pool, part=one.part) == one
    four = {"pseudo", "soft", "neighbourhoods", "hardened"}
    assert {name for pair in CONTRASTS for name in pair} == four
    assert [len(set(pair) & {"soft", "neighbourhoods"}) for pair in CONTRASTS] == [1, 1, 0, 2]


def test_the_control_is_the_mixture_without_g_s_images():
    for one, other in zip(ARMS["mixture"].variants, ARMS[CONTROL].variants, strict=True):
        assert other == one._replace(part=pools.half_real)
    assert not ARMS[CONTROL].from_latents
    assert {CONTROL, "mixture", "tuned", "graph", "features"} == needing("features")
