"""The engine of skip-gram training: text as numbers, Huffman codes, compiled steps, threads and checkpoints."""
