"""The MAGAN paper's claims about Fashion-MNIST, each held against analyses of ours.

The paper reports one run of one GAN at N = 1000, without intervals. Each claim is decided at its
own N; beside it stands what a large N shows. A number of the paper's holds when it lies in the
95 % prediction interval of a second analysis of our generator (√2 times the width of a confidence
interval, since the paper's number is one draw too); how much GANs differ among themselves is not
in it. Of d_min, ε and the cophenetic coefficient these intervals are wider than they say (see
`latent.geometry.jackknife`), so that the paper's number passes a little too easily. A statement
holds when it is true of our run. Where the reason can be computed (sampling noise of the means,
above all), it is given with its numbers.
"""
