"""Class-conditional images from autoencoders: the systems and claims of the VAE report."""
