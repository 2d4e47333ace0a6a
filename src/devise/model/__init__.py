"""The scorers: softmax, ConSE, DeViSE, random embeddings, chance, and what fuses them."""
