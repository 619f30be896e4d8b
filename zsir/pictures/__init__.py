"""Pictures from and to files."""
