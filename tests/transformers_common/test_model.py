"""
transformers' own common tests of models and configurations, on four small networks.

What cannot apply to SampleCNN is skipped with a reason in `DOES_NOT_APPLY`; the tests skip by themselves what needs a
GPU, text, attention or generation.
"""

import unittest
from unittest import mock

import pytest
import torch
from transformers.models.auto import modeling_auto

from samplecnn_hf import SampleCNNConfig, SampleCNNForAudioClassification, SampleCNNModel
from tests.transformers_common import sdist

common = sdist.load("test_modeling_common")
configuration = sdist.load("test_configuration_common")

pytestmark = pytest.mark.slow

DOES_NOT_APPLY = {
    "test_model_get_set_embeddings": "the input is a waveform, there is no embedding of tokens",
}
DOES_NOT_APPLY_TO = {
    "Mel": {"test_retain_grad_hidden_states_attentions": "the first hidden state, a spectrogram, has no gradient"},
    "ReSE2Multi": {"test_num_layers_is_small": "multi_level embeds three blocks"},
}

SMALL = {"stem_channels": 8, "num_blocks": 2, "segment_length": 162, "num_labels": 3, "se_ratio": 0.5}
NETWORKS = {
    "Basic": SMALL,
    "SE": {**SMALL, "block_type": "se", "problem_type": "multi_label_classification"},
    "ReSE2Multi": {**SMALL, "block_type": "rese2", "num_blocks": 3, "multi_level": True},
    "Mel": {**SMALL, "front_end": "mel", "stem_kernel_size": 18, "stem_stride": 18, "n_fft": 64},
}


class ModelTester:
    """A configuration and inputs: three clips of two segments, the last segment of one of them padding."""

    batch_size = 3
    is_training = True

    def __init__(self, fields: dict):
        self.fields = fields
        self.num_hidden_layers = fields["num_blocks"]
        # The last two dimensions of the first hidden state.
        self.seq_length = fields["stem_channels"]
        self.hidden_size = fields["segment_length"] // fields.get("stem_stride", 3)

    def get_config(self) -> SampleCNNConfig:
        return SampleCNNConfig(**self.fields)

    def prepare_config_and_inputs_for_common(self):
        generator = torch.Generator().manual_seed(0)
        clips = 0.5 * torch.randn(self.batch_size, 2, self.fields["segment_length"], generator=generator)
        return self.get_config(), {"input_values": clips, "attention_mask": torch.tensor([[1, 1], [1, 0], [1, 1]])}


class SampleCNNTests(common.ModelTesterMixin):
    all_model_classes = (SampleCNNModel, SampleCNNForAudioClassification)
    has_attentions = False
    test_resize_embeddings = False
    test_can_init_all_missing_weights_before_2023 = True

    def setUp(self):
        self.model_tester = ModelTester(self.fields)
        # By these names the tests know what a class is for.
        for names, name in (
            (modeling_auto.MODEL_MAPPING_NAMES, "SampleCNNModel"),
            (modeling_auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES, "SampleCNNForAudioClassification"),
        ):
            patch = mock.patch.dict(names, samplecnn=name)
            patch.start()
            self.addCleanup(patch.stop)

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels=return_labels)
        if "labels" in inputs and self.fields.get("problem_type") == "multi_label_classification":
            inputs["labels"] = torch.ones(len(inputs["labels"]), self.fields["num_labels"])
        return inputs

    def test_configuration(self):
        tester = configuration.ConfigTester(
            self,
            config_class=SampleCNNConfig,
            has_text_modality=False,
            common_properties=["hidden_size", "num_hidden_layers", "num_labels"],
            **{name: value for name, value in self.fields.items() if name != "num_labels"},
        )
        tester.run_common_tests()


def skipped(reason: str):
    return lambda self: self.skipTest(reason)


for name, fields in NETWORKS.items():
    skips = DOES_NOT_APPLY | DOES_NOT_APPLY_TO.get(name, {})
    assert all(hasattr(SampleCNNTests, test) for test in skips)
    members = {"fields": fields, **{test: skipped(reason) for test, reason in skips.items()}}
    globals()[f"Test{name}"] = type(f"Test{name}", (SampleCNNTests, unittest.TestCase), members)
