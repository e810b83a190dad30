"""Average precision of boxes, masks and surface correspondences (GPS, GPSm)."""
