"""Convolutions: a picture with every blur kernel, and every border."""
