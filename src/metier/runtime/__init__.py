"""What a bundle needs to predict, with numpy and onnxruntime only."""
