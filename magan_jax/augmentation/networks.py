"""What all trials share, trained once: without labels GAN, features and autoencoder; a judge."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from magan_jax.augmentation.fitting import SHIFTED, FittingConfig, fit
from magan_jax.augmentation.judging import Judge
from magan_jax.files import digest_of
from magan_jax.run import GAN_STREAM, Run, RunConfig
from magan_jax.runtime import first_host_says
from magan_jax.training.checkpoints import CheckpointError
from magan_jax.training.classifier import last_layer_in_use
from magan_jax.training.contrast import ContrastConfig, train_contrast
from magan_jax.training.discriminator import discriminator_features
from magan_jax.training.gan import TrainedGAN, train_gan
from magan_jax.training.gan_config import GANConfig, compares_features
from magan_jax.training.stage import Stage, is_finished
from magan_jax.training.standardised import Features
from magan_jax.training.vae import TrainedVAE, VAEConfig, train_vaes


def generator_of(
    run: Run[RunConfig], config: GANConfig, fashion_workdir: Path | None
) -> TrainedGAN:
    """This run's own, where it is finished; else that of fashion.py's run, where that is there and
    nothing asks for a new one; else one that is trained alike.

    Args:
        run: the run under way.
        config: of the GAN.
        fashion_workdir: of a run whose GAN has to be taken; None for fashion.py's default, whose
            GAN is taken if it is there.
    """
    stage = run.single_stage("gan", {"gan": config})
    default = Path("runs") / f"fashion-{run.dataset.name}-{run.preset}-seed{run.config.seed}"
    folder = (fashion_workdir or default) / "checkpoints" / "gan"
    there = stage._replace(folder=folder, restart=False)
    own = run.config.restart or is_finished(stage, config.epochs)
    wanted = fashion_workdir is not None or not own
    if first_host_says(wanted and _is_there(there, config.epochs, fashion_workdir is not None)):
        stage = there
    elif fashion_workdir is not None:
        raise ValueError(
            f"--fashion-workdir is {fashion_workdir}, which holds no finished GAN of these "
            "settings, this seed and these data; give its settings (--gan...), or leave it out."
        )
    return train_gan(
        run.keys(GAN_STREAM)[0],
        config,
        run.dataset.train_images,
        stage=stage,
        num_devices=run.config.num_devices,
    )


def _is_there(stage: Stage, num_epochs: int, is_named: bool) -> bool:
    """Whether it is finished; a broken one that nobody has named is none."""
    try:
        return is_finished(stage, num_epochs)
    except CheckpointError:
        if is_named:
            raise
        return False


def check_unlabelled_normal(config: GANConfig) -> None:
    """Refuse a GAN that has been told of classes, or whose latents are not normal."""
    if compares_features(config):
        raise ValueError(
            f"gan.objective is {config.objective}, which needs a classifier's features; the "
            "GAN must see no labels, not even so: choose another objective."
        )
    for name in ("prior", "sampling_prior"):
        prior = getattr(config, name)
        if prior not in ("normal", None):
            raise ValueError(
                f"gan.{name} is {prior}; neighbourhoods are those of the normal prior: leave "
                f"--gan.{name.replace('_', '-')} out."
            )


def unlabelled_features(
    run: Run[RunConfig], gan: TrainedGAN, gan_config: GANConfig, contrast: ContrastConfig
) -> list[Features]:
    """What can be known of images without labels: what D sees, and what latent neighbours share."""
    images = run.dataset.train_images
    shared = train_contrast(
        run.keys(14)[0],
        contrast,
        gan.generate,
        gan.prior,
        images,
        stage=contrast_stage(run, gan_config, contrast, gan),
        num_devices=run.config.num_devices,
    )
    return [discriminator_features(gan_config, images, gan.progress.state), shared]


def autoencoder_of(run: Run[RunConfig], config: VAEConfig) -> TrainedVAE:
    """An autoencoder of all images without labels; it has one seed, as the GAN has."""
    (vae,) = train_vaes(
        run.keys(15)[:1],
        config,
        run.dataset.train_images,
        stage=autoencoder_stage(run, config),
        num_devices=run.config.num_devices,
    )
    return vae


def autoencoder_stage(run: Run[RunConfig], config: VAEConfig) -> Stage:
    """Where the autoencoder is kept."""
    return run.single_stage("vae", {"vae": config})


def trained_digest(
    gan: TrainedGAN, features: Sequence[Features], autoencoder: TrainedVAE | None = None
) -> str:
    """`digest_of` what training has made of a GAN, of features and of an autoencoder.

    What is computed from these and the images at each start, such as BatchNorm's statistics, is
    left out: another number of cores rounds it otherwise, and a trial of one machine is kept on
    the next.
    """
    encoders: Any = features
    others = [] if autoencoder is None else [autoencoder.progress.state]
    return digest_of((gan.progress.state, [one.args[0]["params"] for one in encoders], others))


GAN_DIGEST = "gan's parameters"
"""By this name an encoder remembers whose images it has learned from."""


def contrast_stage(
    run: Run[RunConfig],
    gan_config: GANConfig,
    contrast: ContrastConfig,
    gan: TrainedGAN | None = None,
) -> Stage:
    """Where the encoder is kept; it has one seed, as the GAN has, and is of this very GAN, be
    there another of the same settings; None stands for any."""
    stage = run.single_stage("contrast", {"gan": gan_config, "contrast": contrast})
    digest = None if gan is None else digest_of(gan.progress.state)
    return stage._replace(description=stage.description | {GAN_DIGEST: digest})


def knows_all(run: Run[RunConfig], config: FittingConfig, stream: int) -> Judge:
    """A classifier that has seen all labels; each stream of keys gives another."""
    num_classes = len(run.dataset.class_names)
    classify = fit(run.keys(stream)[0], config, run.train_set, num_classes, moves=SHIFTED)
    features = last_layer_in_use(config.width, num_classes)
    return Judge(classify, jax.tree_util.Partial(features, *classify.args))
