"""What needs torch or gensim: building a model."""
