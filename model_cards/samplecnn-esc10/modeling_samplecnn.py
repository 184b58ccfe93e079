"""SampleCNN: convolutional networks with filters of 3 samples on the raw waveform.

T. Kim, J. Lee and J. Nam, "Comparison and Analysis of SampleCNN Architectures for Audio Classification", IEEE JSTSP
2019. Body and classifier; `layers_samplecnn.py` holds the front ends and the blocks, `segments_samplecnn.py` how the
segments of clips are packed and averaged.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput, can_return_tuple

from .configuration_samplecnn import AUTO_MAP, CUSTOM_PIPELINES, SampleCNNConfig
from .layers_samplecnn import (
    SampleCNNBlock,
    SampleCNNMelSpectrogram,
    SampleCNNResidualBlock,
    SampleCNNStem,
    at_least_float32,
    batch_norm,
)
from .segments_samplecnn import Clips, log_mean_exp, masked_mean

# For inference. On a CPU, the feature maps of more than two segments do not fit in the cache.
CPU_SEGMENTS_AT_A_TIME = 2
SEGMENTS_AT_A_TIME = 64


@dataclass
class SampleCNNModelOutput(ModelOutput):
    """Output of `SampleCNNModel`. Segments masked by `attention_mask` are zeros.

    Args:
        last_hidden_state (`torch.Tensor` of shape `(batch, segments, channels, frames)`): Output of the last block.
        pooler_output (`torch.Tensor` of shape `(batch, hidden_size)`): Clip embedding, the mean over its segments.
        segment_embeddings (`torch.Tensor` of shape `(batch, segments, hidden_size)`): Maximum over time of the last
            block, or of the last three with `config.multi_level`.
        hidden_states (`tuple`, returned when `output_hidden_states=True`): Output of the front end and of each block,
            each of shape `(batch, segments, channels, frames)`.
        excitations (`tuple`, returned when `output_excitations=True`): Factors in (0, 1) by which each
            squeeze-and-excitation block scales its channels, of shape `(batch, segments, channels)` (section VII).
    """

    last_hidden_state: torch.FloatTensor | None = None
    pooler_output: torch.FloatTensor | None = None
    segment_embeddings: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    excitations: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class SampleCNNClassifierOutput(ModelOutput):
    """Output of `SampleCNNForAudioClassification`.

    Args:
        loss (`torch.Tensor`, returned when `labels` is given): Cross-entropy (binary for a multi-label model).
        logits (`torch.Tensor` of shape `(batch, num_labels)`): Their softmax (sigmoid for a multi-label model) is the
            mean of the segments' probabilities.
        segment_logits (`torch.Tensor` of shape `(batch, segments, num_labels)`): Logits of the segments.
        pooler_output (`torch.Tensor` of shape `(batch, hidden_size)`): Clip embedding, as in `SampleCNNModelOutput`.
        hidden_states, excitations (`tuple`): As in `SampleCNNModelOutput`.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    segment_logits: torch.FloatTensor | None = None
    pooler_output: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    excitations: tuple[torch.FloatTensor, ...] | None = None


class SampleCNNPreTrainedModel(PreTrainedModel):
    """Base class: initialization, loading and saving."""

    config: SampleCNNConfig
    base_model_prefix = "samplecnn"
    main_input_name = "input_values"
    input_modalities = ("audio",)
    _no_split_modules = ["SampleCNNBlock", "SampleCNNResidualBlock"]
    # Recomputing a block would update the statistics of its batch norms twice.
    supports_gradient_checkpointing = False
    # Binary cross-entropy has no `num_items_in_batch`, so `Trainer` divides by the accumulation steps.
    accepts_loss_kwargs = False
    is_optimized = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        if isinstance(module, SampleCNNMelSpectrogram):
            for name, value in module.constants().items():
                init.copy_(getattr(module, name), value)
        if not isinstance(module, (nn.Conv1d, nn.Linear)):
            return super()._init_weights(module)
        bound = _uniform_bound(module, self.config.initializer)
        init.uniform_(module.weight, -bound, bound)
        init.zeros_(module.bias)

    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        """As `PreTrainedModel.from_pretrained`, but loads safetensors only."""
        return super().from_pretrained(*args, **{"use_safetensors": True, **kwargs})

    def optimize_for_inference(self, dtype: torch.dtype | None = None):
        """
        Make the model faster in place, and freeze it: batch norms are folded into the convolutions and dense layers.

        The outputs stay the same up to rounding. The model has no gradients and can be neither trained nor saved: load
        it again for that.

        Args:
            dtype (`torch.dtype`, *optional*): Convert the weights, e.g. to `torch.bfloat16`.

        Returns:
            The model.

        Raises:
            ValueError: The model has layers that cannot be folded, such as adapters, or weights that are not finite.
            RuntimeError: The model is optimized already.
        """
        if self.is_optimized:
            raise RuntimeError("the model is optimized for inference already")
        if not all(value.isfinite().all() for value in self.state_dict().values()):
            raise ValueError("the weights are not finite: a damaged file, or training that diverged")
        from .inference_samplecnn import folded_modules, keep_freed_memory

        keep_freed_memory()
        device, dtype = self.device, self.dtype if dtype is None else dtype
        models = [module for module in self.modules() if isinstance(module, SampleCNNPreTrainedModel)]
        replacements = [replacement for model in models for replacement in folded_modules(model, dtype)]
        self.to(dtype)
        for parent, name, module in replacements:
            setattr(parent, name, module)
        self.eval().requires_grad_(False)
        for model in models:
            model.is_optimized = True
        return self.to(device)

    def train(self, mode: bool = True):
        if mode and self.is_optimized:
            raise RuntimeError("the model is optimized for inference and cannot be trained: load it again")
        return super().train(mode)

    def save_pretrained(self, save_directory, *args, **kwargs):
        """Save weights, configuration and code; `pipeline` and all Auto classes can load the folder."""
        if self.is_optimized:
            raise RuntimeError("the model is optimized for inference and cannot be saved: load it again")
        # transformers saves the files that this file imports relatively.
        from .pipeline_samplecnn import SampleCNNAudioClassificationPipeline  # noqa: F401

        self.config.auto_map = dict(AUTO_MAP)
        self.config.custom_pipelines = dict(CUSTOM_PIPELINES)
        super().save_pretrained(save_directory, *args, **kwargs)


def _uniform_bound(module: nn.Conv1d | nn.Linear, initializer: str) -> float:
    """Glorot uniform for kernels of 1 (dense, squeeze-and-excitation and shortcut layers), as in the authors' code.

    Other convolutions are He uniform (2018); "sampleaudio" (2019) counts the input channels twice in the fan-in.
    """
    out_channels, in_channels = module.weight.shape[:2]
    kernel_size = module.weight[0, 0].numel()
    if kernel_size == 1:
        return math.sqrt(6 / (in_channels + out_channels))
    if initializer == "he_uniform":
        return math.sqrt(6 / (kernel_size * in_channels))
    scale = 1 if in_channels == 1 else 2
    return math.sqrt(3 * scale / (kernel_size * in_channels**2))


class SampleCNNModel(SampleCNNPreTrainedModel):
    """SampleCNN without a classifier: front end and blocks, from waveforms to embeddings."""

    _keys_to_ignore_on_load_unexpected = [r"^classifier\.(dense|norm|out_proj)\."]

    def __init__(self, config: SampleCNNConfig):
        super().__init__(config)
        block_class = SampleCNNBlock if config.block_type in ("basic", "se") else SampleCNNResidualBlock
        channels = [config.stem_channels, *config.block_channels]
        self.front_end = SampleCNNStem(config) if config.front_end == "waveform" else SampleCNNMelSpectrogram(config)
        self.blocks = nn.ModuleList(
            block_class(channels[i], channels[i + 1], strided=config.strides[i + 1] > 1, config=config)
            for i in range(config.num_blocks)
        )
        self.num_frozen_layers = 0
        self.post_init()

    def freeze_layers(self, num_layers: int):
        """Freeze the front end and the first `num_layers - 1` blocks: no gradients, and batch norms in eval mode.

        Raises:
            ValueError: There are fewer layers.
        """
        if not 0 <= num_layers <= 1 + len(self.blocks):
            raise ValueError(f"num_layers must be between 0 and {1 + len(self.blocks)}; got {num_layers}")
        self.num_frozen_layers = num_layers
        for i, layer in enumerate([self.front_end, *self.blocks]):
            layer.requires_grad_(i >= num_layers)
        self.train(self.training)

    def train(self, mode: bool = True):
        super().train(mode)
        for layer in [self.front_end, *self.blocks][: self.num_frozen_layers]:
            layer.eval()
        return self

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_excitations: bool = False,
        output_last_hidden_state: bool = True,
    ) -> SampleCNNModelOutput:
        """
        Args:
            input_values (`torch.Tensor` of shape `(batch, samples)` or `(batch, segments, samples)`): Waveforms at
                `config.sampling_rate`, of at least `config.min_samples` samples per segment.
            attention_mask (`torch.Tensor` of shape `(batch, segments)`, *optional*): 1 for real segments, 0 for
                padding, which is excluded from the computation and from the statistics of batch norms.
            output_hidden_states (`bool`, *optional*): Return the output of the front end and of all blocks.
            output_excitations (`bool`, *optional*): Return the excitations of the squeeze-and-excitation blocks.
            output_last_hidden_state (`bool`, *optional*): `False` to omit it, which saves memory for long clips.

        Raises:
            ValueError: A shape is invalid, the segments are too short, or all segments of a clip are masked; a sample
                is NaN or infinite (only checked if the model is optimized for inference and on a CPU).
        """
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        input_values, attention_mask = self._check_inputs(input_values, attention_mask)

        wanted = {"segment_embeddings": True, "last_hidden_state": output_last_hidden_state}
        wanted |= {"hidden_states": output_hidden_states, "excitations": output_excitations}
        features = self._run(input_values, Clips(input_values.shape[:2], attention_mask, self.training), wanted)
        segment_embeddings = features["segment_embeddings"][0]
        return SampleCNNModelOutput(
            last_hidden_state=features["last_hidden_state"][0] if output_last_hidden_state else None,
            pooler_output=masked_mean(segment_embeddings, attention_mask),
            segment_embeddings=segment_embeddings,
            hidden_states=tuple(features["hidden_states"]) if output_hidden_states else None,
            excitations=tuple(features["excitations"]) if output_excitations else None,
        )

    def _run(self, input_values, clips, wanted):
        """Run the network, in inference a few segments at a time: faster, and in constant memory for feature maps."""
        if self.training or torch.compiler.is_compiling() or (wanted["hidden_states"] and torch.is_grad_enabled()):
            return self._run_together(clips.pack(input_values), clips, wanted)
        size = CPU_SEGMENTS_AT_A_TIME if input_values.device.type == "cpu" else SEGMENTS_AT_A_TIME
        groups = [self._run_together(x, Clips(x.shape[:1]), wanted) for x in clips.split(input_values, size)]
        return {
            name: [clips.unpack(torch.cat(parts)) for parts in zip(*(group[name] for group in groups), strict=True)]
            for name in wanted
        }

    def _run_together(self, segments, clips, wanted):
        """[segments, samples] -> unpacked tensors by name."""
        if self.is_optimized and segments.device.type == "cpu" and not torch.compiler.is_compiling():
            if not segments.sum(dtype=torch.float32).isfinite():
                raise ValueError("input_values hold NaN or infinite samples")
        features, pooled = {name: [] for name in wanted}, []

        def keep(name: str, x: torch.Tensor) -> torch.Tensor:
            """Store x; the graph continues from the stored tensor, so that `retain_grad()` works on it."""
            if not wanted[name]:
                return x
            features[name].append(clips.unpack(x))
            return clips.pack(features[name][-1])

        front_end_stride, *block_strides = self.config.strides
        lowest_level = len(self.blocks) - (3 if self.config.multi_level else 1)
        hidden_states = self.front_end(self._pad_partial_frame(segments.to(self.dtype), front_end_stride))
        hidden_states = keep("hidden_states", hidden_states.squeeze(2)).unsqueeze(2)
        for i, (block, stride) in enumerate(zip(self.blocks, block_strides, strict=True)):
            hidden_states, excitation = block(self._pad_partial_frame(hidden_states, stride))
            hidden_states = keep("hidden_states", hidden_states.squeeze(2)).unsqueeze(2)
            if i >= lowest_level:
                pooled.append(hidden_states.amax((2, 3)))
            if excitation is not None:
                keep("excitations", excitation)
        keep("last_hidden_state", hidden_states.squeeze(2))
        keep("segment_embeddings", torch.cat(pooled, dim=1))
        return features

    def _pad_partial_frame(self, x: torch.Tensor, stride: int) -> torch.Tensor:
        """With `partial_frames="pad"`, pad [..., time] with zeros on both sides to a multiple of the stride."""
        if self.config.partial_frames == "drop" or stride == 1:
            return x
        missing = -x.shape[-1] % stride
        return F.pad(x, (missing // 2, missing - missing // 2))

    def _check_inputs(self, input_values, attention_mask):
        if input_values.dim() == 2:
            input_values = input_values.unsqueeze(1)
        shape = list(input_values.shape)
        if len(shape) != 3:
            raise ValueError(f"input_values must be [batch, samples] or [batch, segments, samples]; got {shape}")
        if shape[2] < self.config.min_samples:
            least = f"this network needs at least {self.config.min_samples}"
            raise ValueError(f"input_values hold {shape[2]} samples per segment; {least} (the extractor pads clips)")
        if attention_mask is None:
            return input_values, None
        mask = attention_mask.bool()
        if list(mask.shape) != shape[:2]:
            raise ValueError(f"attention_mask must be [batch, segments] = {shape[:2]}; got {list(mask.shape)}")
        if not torch.compiler.is_compiling() and not mask.any(1).all():
            raise ValueError("attention_mask masks all segments of a clip")
        return input_values, mask


class SampleCNNClassificationHead(nn.Module):
    """Two dense layers with dropout before the last; the first has the size of the embedding (section IV-D)."""

    def __init__(self, config: SampleCNNConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = batch_norm(config.hidden_size, config, nn.BatchNorm1d)
        self.dropout = nn.Dropout(config.dropout)
        self.out_proj = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        return self.out_proj(self.dropout(F.relu(self.norm(self.dense(embeddings)))))


class SampleCNNForAudioClassification(SampleCNNPreTrainedModel):
    """SampleCNN with a classifier: the probabilities of a clip are the mean of its segments' (section IV-D)."""

    def __init__(self, config: SampleCNNConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.samplecnn = SampleCNNModel(config)
        self.classifier = SampleCNNClassificationHead(config)
        self.post_init()
        self._keys_to_ignore_on_load_unexpected = set()  # that of the body, which ignores the classifier

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_excitations: bool = False,
    ) -> SampleCNNClassifierOutput:
        """
        Args:
            labels (`torch.Tensor`, *optional*): Class indices, int64 `(batch,)`, or for a multi-label model
                `(batch, num_labels)` of zeros and ones.

        The other arguments are those of `SampleCNNModel`.

        Raises:
            ValueError: As in `SampleCNNModel`.
        """
        outputs = self.samplecnn(
            input_values,
            attention_mask=attention_mask,
            output_hidden_states=output_hidden_states,
            output_excitations=output_excitations,
            return_dict=True,
            output_last_hidden_state=False,
        )
        embeddings = outputs.segment_embeddings
        clips = Clips(embeddings.shape[:2], attention_mask, self.training)
        segment_logits = clips.unpack(at_least_float32(self.classifier(clips.pack(embeddings))))
        logits = self.average_segments(segment_logits, attention_mask)
        if labels is not None and self.config.multi_label:
            labels = labels.to(logits.dtype)
        return SampleCNNClassifierOutput(
            loss=self.loss_function(labels, logits, self.config) if labels is not None else None,
            logits=logits,
            segment_logits=segment_logits,
            pooler_output=outputs.pooler_output,
            hidden_states=outputs.hidden_states,
            excitations=outputs.excitations,
        )

    def average_segments(self, segment_logits: torch.Tensor, attention_mask: torch.Tensor | None = None):
        """[batch, segments, labels] -> logits [batch, labels] of the mean of the segments' probabilities (IV-D)."""
        if self.config.multi_label:
            log_odds = log_mean_exp(F.logsigmoid(segment_logits), attention_mask)
            return log_odds - log_mean_exp(F.logsigmoid(-segment_logits), attention_mask)
        return log_mean_exp(segment_logits.log_softmax(-1), attention_mask)


# Save the code with models.
SampleCNNModel.register_for_auto_class("AutoModel")
SampleCNNForAudioClassification.register_for_auto_class("AutoModelForAudioClassification")
