"""DensePose-COCO data: annotations, data sets, transforms, the training stream."""
