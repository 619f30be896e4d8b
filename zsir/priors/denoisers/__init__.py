"""Denoisers as priors."""
