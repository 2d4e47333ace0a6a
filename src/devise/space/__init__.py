"""Places of labels and photos: label vectors, surgery, kernels, priors, and the scorers over them."""
