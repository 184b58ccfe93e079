"""transformers' own common tests of feature extractors."""

import unittest

import numpy as np
import pytest

from samplecnn_hf import SampleCNNFeatureExtractor
from tests.transformers_common import sdist

common = sdist.load("test_sequence_feature_extraction_common")

pytestmark = pytest.mark.slow


class FeatureExtractionTester:
    """Seven clips of rising lengths, in samples."""

    batch_size = 7
    min_seq_length = 400
    max_seq_length = 2000
    seq_length_diff = (max_seq_length - min_seq_length) // (batch_size - 1)
    feature_size = 1

    def prepare_feat_extract_dict(self):
        return {"sampling_rate": 22050, "segment_length": 1458, "padding_value": 0.0, "return_attention_mask": True}

    def prepare_inputs_for_common(self, equal_length=False, numpify=False):
        random = np.random.default_rng(0)
        lengths = range(self.min_seq_length, self.max_seq_length, self.seq_length_diff)[: self.batch_size]
        if equal_length:
            lengths = [self.max_seq_length] * self.batch_size
        clips = [random.uniform(-1, 1, length).astype(np.float32) for length in lengths]
        return clips if numpify else [clip.tolist() for clip in clips]


class TestFeatureExtractor(common.SequenceFeatureExtractionTestMixin, unittest.TestCase):
    feature_extraction_class = SampleCNNFeatureExtractor

    def setUp(self):
        self.feat_extract_tester = FeatureExtractionTester()
