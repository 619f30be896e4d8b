"""The embedded prior: fetch the photographs, train, export, evaluate."""
