"""A checkpoint -> ONNX: exported, specialized, compared with PyTorch, kept between starts."""
