"""Synthetic data sets in the layouts of the real ones, to try the training without a download."""
