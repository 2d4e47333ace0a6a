"""WordNet's nouns: synsets, the is-a graph, balls and correct sets."""
