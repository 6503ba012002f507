"""The catalogue of bad input: what can be wrong with what a user brings, and what is said of it."""
