"""Training: one step, the optimiser, the loop."""
