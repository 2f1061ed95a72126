"""Hyper-parameter search and training of signal models on Ray that refuses to crown a sick model."""

__version__ = "0.1.0"
