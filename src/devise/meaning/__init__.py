"""Meanings of words and labels: senses, relations, neighbours, the map of the labels."""
