"""Weights that others have published, in this project's form."""
