"""Training losses: proposals and boxes, annotated points, chart outputs."""
