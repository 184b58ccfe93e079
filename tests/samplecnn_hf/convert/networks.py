"""The networks of other code, in Keras and plain PyTorch, with random weights, and the files that hold them."""

import itertools
import json
from collections import Counter

import h5py
import keras
import numpy as np
import torch
from keras import layers
from torch import nn

GAIN = 5  # of random weights, such that the logits are of the order of 1 and differ between waveforms
KERAS_KINDS = {"Conv1D": "conv1d", "BatchNormalization": "batch_normalization", "Dense": "dense"}


class KerasNetwork:
    """
    A network of tae-jun/sampleaudio, tae-jun/resemul (`default_names`) or tae-jun/sample-cnn (`block_type="plain"`).

    The stem subsamples by `stem_stride`, or with `stem_pool` by max-pooling.
    """

    def __init__(
        self,
        block_type="basic",
        multi_level=False,
        num_blocks=5,
        channels=8,
        num_labels=3,
        squeeze_ratio=0.125,
        activation="sigmoid",
        default_names=False,
        stem_kernel=3,
        stem_stride=3,
        stem_pool=False,
        last_kernel=1,
        epsilon=1e-3,
    ):
        self.default_names, self.epsilon, self.counter = default_names, epsilon, Counter()
        self.squeeze_ratio = squeeze_ratio if block_type == "se" or block_type.startswith("rese") else None
        inputs = x = keras.Input((3 ** (num_blocks + 1) if block_type == "plain" else None, 1), name="input_1")
        x = self.convolution(x, channels, "conv", "0", stem_kernel, 1 if stem_pool else stem_stride)
        x = layers.Activation("relu")(x)
        if stem_pool:
            x = layers.MaxPooling1D(3)(x)
        outputs = []
        for i in range(num_blocks):
            channels *= 2 if i in (2, num_blocks - 1) else 1
            block = self.residual_block if block_type.startswith("res") else self.block
            x = block(x, channels, f"block{i}", 2 if block_type.endswith("2") else 1)
            outputs.append(x)
        if block_type == "plain":
            x = self.convolution(x, channels, "", "", last_kernel)
            x = layers.Flatten()(layers.Activation("relu")(x))
        else:
            pooled = [layers.GlobalMaxPooling1D()(output) for output in outputs[-3 if multi_level else -1 :]]
            x = layers.Concatenate()(pooled) if multi_level else pooled[0]
            x = self.dense(x, x.shape[-1], "final_fc")
            x = layers.Activation("relu")(self.norm(x, "final_norm"))
        if default_names:
            x = self.dense(x, num_labels, "logit", activation)
        else:
            x = layers.Activation(activation, name="pred")(self.dense(x, num_labels, "logit"))
        self.model = keras.Model(inputs, x)
        self.fill()

    def name(self, kind, authors):
        self.counter[kind] += 1
        return f"{KERAS_KINDS[kind]}_{self.counter[kind]}" if self.default_names else authors

    def dense(self, x, width, name, activation=None):
        return layers.Dense(width, activation=activation, name=self.name("Dense", name))(x)

    def norm(self, x, name):
        return layers.BatchNormalization(epsilon=self.epsilon, name=self.name("BatchNormalization", name))(x)

    def convolution(self, x, channels, prefix, suffix="", kernel=3, stride=1):
        """A convolution with its batch norm: block0_scut_conv and block0_scut_norm."""
        name = self.name("Conv1D", f"{prefix}{suffix}")
        x = layers.Conv1D(channels, kernel, strides=stride, padding="same", name=name)(x)
        return self.norm(x, f"{prefix.replace('conv', 'norm')}{suffix}")

    def excite(self, x, name):
        if self.squeeze_ratio is None:
            return x
        channels = x.shape[-1]
        scale = layers.Reshape((1, channels))(layers.GlobalAveragePooling1D()(x))
        scale = self.dense(scale, max(1, int(channels * self.squeeze_ratio)), f"{name}_ex0", "relu")
        return layers.Multiply()([x, self.dense(scale, channels, f"{name}_ex1", "sigmoid")])

    def block(self, x, channels, name, _):
        x = layers.Activation("relu")(self.convolution(x, channels, f"{name}_conv"))
        return self.excite(layers.MaxPooling1D(3)(x), name)

    def residual_block(self, x, channels, name, num_convolutions):
        shortcut = x
        if x.shape[-1] != channels:
            shortcut = self.convolution(x, channels, f"{name}_scut_conv", kernel=1)
        for i in range(num_convolutions):
            if i > 0:
                x = layers.Dropout(0.2)(layers.Activation("relu")(x))
            x = self.convolution(x, channels, f"{name}_conv", str(i))
        x = layers.Activation("relu")(layers.Add()([shortcut, self.excite(x, name)]))
        return layers.MaxPooling1D(3)(x)

    def fill(self):
        """With weights as if it had been trained, from the batch norms' statistics to the biases."""
        generator = np.random.default_rng(0)
        for layer in self.model.layers:
            for variable in layer.weights:
                noise = generator.uniform(-1, 1, variable.shape)
                if variable.name == "kernel":
                    noise *= np.sqrt(GAIN / np.prod(variable.shape[:-1]))
                elif variable.name in ("gamma", "moving_variance"):
                    noise = 1 + 0.5 * noise
                elif getattr(layer, "activation", None) is keras.activations.sigmoid:
                    noise += 2  # or the scales, each about a half, would leave nothing of the waveform
                else:
                    noise *= 0.2
                variable.assign(noise.astype(np.float32))

    def logits(self, waveforms):
        """[clips, samples] -> [clips, labels], before the last activation."""
        (last,) = [layer for layer in self.model.layers if isinstance(layer, layers.Dense)][-1:]
        kernel, bias = last.get_weights()
        features = keras.Model(self.model.input, last.input)(waveforms[..., None], training=False)
        return features.detach().cpu().double() @ torch.tensor(kernel).double() + torch.tensor(bias).double()

    def save(self, path, whole=True, scope=""):
        """As Keras 2 and TensorFlow 1.10 do. `scope` is what a later model of the session has on its variables."""
        with h5py.File(path, "w") as file:
            root = file.create_group("model_weights") if whole else file
            root.attrs["layer_names"] = np.array([layer.name.encode() for layer in self.model.layers])
            for layer in self.model.layers:
                group = root.create_group(layer.name)
                names = [f"{layer.name}{scope}/{variable.name}:0" for variable in layer.weights]
                group.attrs["weight_names"] = np.array([name.encode() for name in names])
                for name, values in zip(names, layer.get_weights(), strict=True):
                    group.create_dataset(name, data=values)
            if whole:
                listed = [
                    {"name": layer.name, "class_name": type(layer).__name__, "config": layer.get_config()}
                    for layer in self.model.layers
                ]
                config = {"class_name": "Model", "config": {"name": "sample_cnn", "layers": listed}}
                file.attrs["model_config"] = json.dumps(config, default=str).encode()
                file.create_group("optimizer_weights/SGD").create_dataset("iterations:0", data=3)
        return path


class PlainNetwork(nn.Module):
    """The SampleCNN of 2017, whose layers are named as in kyungyunlee/sampleCNN-pytorch, or CLMR, or sota-music-..."""

    def __init__(self, style="conv", num_blocks=5, channels=8, num_labels=3, last_kernel=3):
        super().__init__()
        widths = [channels * (1 + (i >= 2)) * (1 + (i == num_blocks - 1)) for i in range(num_blocks)]
        widths = [1, channels, *widths, widths[-1]]
        blocks = []
        for i, (before, after) in enumerate(itertools.pairwise(widths)):
            kernel = last_kernel if i == num_blocks + 1 else 3
            padding = (style == "layer") if i == 0 else kernel // 2
            convolution = nn.Conv1d(before, after, kernel, stride=3 if i == 0 else 1, padding=int(padding))
            blocks.append([convolution, nn.BatchNorm1d(after), nn.ReLU()])
            if 1 <= i <= num_blocks:
                blocks[-1].append(nn.MaxPool1d(3))
        output = nn.Linear(widths[-1], num_labels)
        if style == "conv":
            self.steps = [nn.Sequential(*block) for block in blocks]
            for i, block in enumerate(self.steps):
                self.add_module(f"conv{i + 1}", block)
            self.fc = output
        elif style == "sequential":
            self.steps = [nn.Sequential(*(nn.Sequential(*block) for block in blocks))]
            self.sequential, self.fc = self.steps[0], output
        else:
            for i, (convolution, norm, *_) in enumerate(blocks):
                self.add_module(f"layer{i + 1}", nn.ModuleDict({"conv": convolution, "bn": norm}))
            self.steps, self.dense = [nn.Sequential(*block) for block in blocks], output
        self.output = [output]
        generator = torch.Generator().manual_seed(0)
        for name, tensor in self.state_dict().items():
            noise = torch.rand(tensor.shape, generator=generator)
            if name.endswith("running_var") or (name.endswith("weight") and tensor.dim() == 1):
                tensor.copy_(0.5 + noise)
            elif tensor.dim() == 1:
                tensor.copy_(0.4 * (noise - 0.5))
            elif tensor.dim() > 1:
                tensor.copy_((2 * noise - 1) * (GAIN / tensor[0].numel()) ** 0.5)
        self.eval()

    @torch.no_grad()
    def logits(self, waveforms):
        x = waveforms[:, None]
        for step in self.steps:
            x = step(x)
        return self.output[0](x.flatten(1))
