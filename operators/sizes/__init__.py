"""Operators that change the size of a picture: any resize, every k-th pixel, a window."""
