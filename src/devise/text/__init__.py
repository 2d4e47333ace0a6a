"""Corpora, phrases, skip-gram and word vectors."""
