"""Box arithmetic, non-maximum suppression and RoIAlign in plain torch."""
