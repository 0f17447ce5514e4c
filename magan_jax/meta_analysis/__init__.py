"""The MAGAN paper's study of one generator, or of several from different seeds."""
