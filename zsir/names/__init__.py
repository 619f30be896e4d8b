"""Names and specs: how operators, priors and samplers are called, and whom to cite."""
