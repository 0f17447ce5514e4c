"""Compiled programs, kept on disk for the next call."""

from pathlib import Path

import jax

from magan_jax.files import private_folder

MAX_BYTES = 2 * 2**30
"""What the folder may hold; the programs longest unused go first."""


def keep_compiled(folder: Path | None = None) -> Path | None:
    """Keep XLA's compiled programs in a folder of the user's own; call it before any compilation.

    What lies there is run as code by the next call, so nobody else may be able to write to it.

    Args:
        folder: default `magan_jax` in $XDG_CACHE_HOME or ~/.cache. JAX's own
            JAX_COMPILATION_CACHE_DIR, where set, is left in force.

    Returns:
        The folder in use; None where it is not private to this user or cannot be made, in which
        case nothing is kept.
    """
    named: str | None = getattr(jax.config, "jax_compilation_cache_dir", None)
    if named:
        return Path(named)
    folder = private_folder(folder)
    if folder is None:
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", MAX_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return folder
