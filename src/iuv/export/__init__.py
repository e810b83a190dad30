"""Models that run without iuv: in ONNX Runtime, OpenVINO or plain torch."""
