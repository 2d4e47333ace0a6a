"""Where labels and photos stand: label vectors, surgery, kernels, priors, and the scorers over them."""
