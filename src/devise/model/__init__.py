"""What a model is: its parts, the labels that compete, the scorers, and answers for photos."""
