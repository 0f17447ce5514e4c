"""What a generator's latent space holds, class by class.

Everything here takes two functions, `generate: z [n, d] -> images` and
`classify: images -> logits [n, K]`, and knows nothing of the networks behind them.
"""
