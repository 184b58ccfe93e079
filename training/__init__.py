"""Training, evaluation and data preparation for SampleCNN: scripts that use the package samplecnn_hf."""
