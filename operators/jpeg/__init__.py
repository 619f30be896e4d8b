"""JPEG files as measurements: their codes, and the linear operator behind them."""
