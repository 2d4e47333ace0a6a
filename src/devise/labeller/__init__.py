"""Pictures in, ranked labels out."""
