"""The embedded priors: fetch the photographs, fill the model cards, measure what one had before."""
