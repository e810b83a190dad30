"""Synthetic people with exact I, U and V: bodies, clothes, scenes, pictures."""
