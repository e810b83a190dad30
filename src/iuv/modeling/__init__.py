"""The networks and the R-CNN recipe."""
