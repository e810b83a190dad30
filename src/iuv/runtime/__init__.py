"""Engines that run the heavy parts of a model."""
