"""Photo indexes: build, store, search; bulk labels of very many photos."""
