"""Operators of a user's own: from a matrix, or from two functions."""
