"""Data sets made by a program, for trying the training without a download."""
