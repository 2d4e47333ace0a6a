"""Corpora, phrases, skip-gram, word vectors and what label vectors are composed of."""
