"""The version, by itself, so that modules below `zsir` can name it."""

__version__ = "0.1.0"
