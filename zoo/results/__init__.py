"""What was measured: the raw certification rows, the numbers drawn from them, and their picture."""
