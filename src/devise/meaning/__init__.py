"""What words and labels mean: senses, relations, neighbours, the map of the labels."""
