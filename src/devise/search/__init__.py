"""Indexes of photos: made, kept, searched; labels of very many photos in parts."""
