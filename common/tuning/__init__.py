"""Tuning: which values of a recipe's fields score best, by Optuna."""
