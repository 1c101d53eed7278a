"""ONNX files: graphs read as functions of JAX, and functions written as graphs."""
