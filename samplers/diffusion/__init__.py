"""Methods that walk down a ladder of noise levels."""
