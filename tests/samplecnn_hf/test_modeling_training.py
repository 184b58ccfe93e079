"""Losses, half precision, and transformers' Trainer."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers import Trainer, TrainingArguments

from samplecnn_hf import SampleCNNForAudioClassification, create_config
from samplecnn_hf.layers_samplecnn import SampleCNNStem

MULTI_LABEL = "multi_label_classification"
MEL = {"front_end": "mel", "stem_kernel_size": 243, "stem_stride": 81, "num_blocks": 2, "segment_length": 1458}


def noise(*shape, seed=0):
    return 0.5 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_loss_of_a_single_label_model(tiny_model):
    output = tiny_model(noise(3, 2, 1458), labels=torch.tensor([6, 0, 2]))
    clip = output.segment_logits.softmax(-1).mean(1)
    expected = -clip[range(3), [6, 0, 2]].log().mean()
    torch.testing.assert_close(output.loss, expected)


def test_loss_of_a_multi_label_model(make_model):
    model = make_model("test-se", num_labels=3, problem_type=MULTI_LABEL)
    labels = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    for given in (labels, labels.long()):
        output = model(noise(2, 2, 1458), labels=given)
        clip = output.segment_logits.sigmoid().mean(1)
        expected = -(labels * clip.log() + (1 - labels) * (1 - clip).log()).mean()
        torch.testing.assert_close(output.loss, expected)


@pytest.mark.parametrize("variant, overrides", [("test-rese2", {}), ("test-se", MEL)])
def test_bfloat16(make_model, variant, overrides):
    model = make_model(variant, num_labels=4, **overrides)
    clips = noise(2, 3, 1458)
    with torch.no_grad():
        expected = model(clips).logits.softmax(-1)
        model.to(torch.bfloat16)
        for dtype in (torch.float32, torch.bfloat16):
            logits = model(clips.to(dtype)).logits
            torch.testing.assert_close(logits.float().softmax(-1), expected, atol=0.05, rtol=0)


class LoudOrQuiet(torch.utils.data.Dataset):
    """Two classes of noise; clips of two segments, as the feature extractor gives them."""

    def __init__(self, multi_label=False):
        self.multi_label = multi_label

    def __len__(self):
        return 16

    def __getitem__(self, i):
        loud = i % 2
        labels = torch.tensor([float(loud), 1.0 - loud]) if self.multi_label else torch.tensor(loud)
        clip = noise(2, 1458, seed=i) * (1.0 if loud else 0.05)
        return {"input_values": clip, "attention_mask": torch.ones(2, dtype=torch.long), "labels": labels}


def make_trainer(model, folder, multi_label=False, **arguments):
    defaults = {"max_steps": 30, "learning_rate": 0.05, "per_device_train_batch_size": 8, "optim": "sgd"}
    arguments = TrainingArguments(
        output_dir=str(folder),
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        save_strategy="no",
        lr_scheduler_type="constant",
        **{**defaults, **arguments},
    )
    return Trainer(model=model, args=arguments, train_dataset=LoudOrQuiet(multi_label))


@pytest.mark.parametrize("problem_type", ["single_label_classification", MULTI_LABEL])
def test_transformers_trainer(tmp_path, problem_type):
    torch.manual_seed(0)
    multi_label = problem_type == MULTI_LABEL
    # Statistics of so few steps would be far off with the momentum of a long training.
    model = SampleCNNForAudioClassification(
        create_config("test-se", num_labels=2, problem_type=problem_type, dropout=0.0, batch_norm_momentum=0.3)
    )
    trainer = make_trainer(model, tmp_path, multi_label)
    dataset = LoudOrQuiet(multi_label)
    before = trainer.evaluate(dataset)["eval_loss"]
    trainer.train()
    assert trainer.evaluate(dataset)["eval_loss"] < 0.5 * before
    predictions = trainer.predict(dataset).predictions
    assert isinstance(predictions, np.ndarray)  # the logits alone
    assert predictions.shape == (16, 2)
    loud = predictions[:, 0] > predictions[:, 1] if multi_label else predictions[:, 1] > predictions[:, 0]
    assert loud.tolist() == [i % 2 == 1 for i in range(16)]


@pytest.mark.parametrize("problem_type", ["single_label_classification", MULTI_LABEL])
def test_gradient_accumulation_of_the_trainer(tmp_path, problem_type):
    """Two batches of 4, accumulated, are one step like a batch of 8."""
    updates = []
    for batch_size, steps in [(8, 1), (4, 2)]:
        torch.manual_seed(0)
        config = create_config("test-basic", num_labels=2, problem_type=problem_type, dropout=0.0)
        model = SampleCNNForAudioClassification(config)
        # Batch norm would tell batches of 4 and of 8 apart: let it use its running statistics.
        for module in model.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.train = lambda mode=True, module=module: module
                module.training = False
        before = model.classifier.out_proj.weight.detach().clone()
        make_trainer(
            model,
            tmp_path,
            problem_type == MULTI_LABEL,
            max_steps=1,
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=steps,
            max_grad_norm=0.0,
        ).train()
        updates.append(model.classifier.out_proj.weight.detach() - before)
    assert updates[0].abs().max() > 0
    torch.testing.assert_close(updates[1], updates[0], atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 2e-4)])
@pytest.mark.parametrize("overrides", [{}, {"num_strided_convolutions": 0}, {"stem_kernel_size": 9, "stem_stride": 3}])
def test_stem_with_normalized_weights_equals_convolution_and_batch_norm(overrides, dtype, tolerance):
    """Outputs, gradients and running statistics, on a waveform with an offset as large as its signal."""
    torch.manual_seed(0)
    stem = SampleCNNStem(create_config("basic-8", **overrides)).to(dtype).train()
    for parameter in stem.parameters():
        nn.init.normal_(parameter, std=0.5)
    waveform = (0.1 + 0.1 * torch.randn(4, 729)).to(dtype)
    output = stem(waveform)
    weights = torch.randn_like(output)
    gradients = torch.autograd.grad((output * weights).sum(), stem.parameters())

    norm = stem.norm
    mean, variance = torch.zeros(norm.num_features, dtype=dtype), torch.ones(norm.num_features, dtype=dtype)
    normalized = F.batch_norm(
        stem.conv(waveform[:, None, None]), mean, variance, norm.weight, norm.bias, True, norm.momentum, norm.eps
    )
    expected = F.relu(stem.pool(normalized))
    assert (output - expected).abs().max() < tolerance
    references = torch.autograd.grad((expected * weights).sum(), stem.parameters())
    scale = max(reference.abs().max() for reference in references)
    for actual, reference in zip(gradients, references, strict=True):
        assert (actual - reference).abs().max() < tolerance * scale
    assert norm.running_mean.allclose(mean, atol=tolerance) and norm.running_var.allclose(variance, atol=tolerance)
    assert norm.num_batches_tracked == 1
