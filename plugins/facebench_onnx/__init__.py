"""ONNX models as embedders."""
