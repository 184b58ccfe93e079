"""Training, evaluation and data preparation for SampleCNN: a program around the samplecnn_hf library."""
