"""What must hold of any input, tried on inputs that hypothesis draws: the same ones every time."""
