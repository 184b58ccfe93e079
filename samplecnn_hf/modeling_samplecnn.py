"""
SampleCNN: convolutional networks with filters of 3 samples on the raw waveform.

T. Kim, J. Lee and J. Nam, "Comparison and Analysis of SampleCNN Architectures for Audio Classification", IEEE JSTSP
2019. The file reads from the bottom of the network to its top: convolution, front ends, squeeze-and-excitation,
blocks, body, classifier.

Inside, a feature map is [segments, channels, 1, frames] in channels-last memory: a 1-D convolution pays for a new
layout in every layer, a 2-D one over a height of 1 does not (and it is what tensor cores want).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.audio_utils import mel_filter_bank
from transformers.utils import ModelOutput

from .configuration_samplecnn import KERNEL_SIZE, SampleCNNConfig

# In inference. On a CPU the feature maps of more than two segments do not fit in the cache.
CPU_SEGMENTS_AT_A_TIME = 2
SEGMENTS_AT_A_TIME = 64


@dataclass
class SampleCNNModelOutput(ModelOutput):
    """
    Output of `SampleCNNModel`. Segments that `attention_mask` leaves out are zeros.

    Args:
        last_hidden_state (`torch.Tensor` of shape `(batch, segments, channels, frames)`): output of the last block.
        pooler_output (`torch.Tensor` of shape `(batch, hidden_size)`): the clip embedding, the mean of its segments'.
        segment_embeddings (`torch.Tensor` of shape `(batch, segments, hidden_size)`): maximum over time of the last
            block (of the last three, where `config.multi_level`).
        hidden_states (`tuple`, returned when `output_hidden_states=True`): output of the front end and of each block,
            each of shape `(batch, segments, channels, frames)`.
        excitations (`tuple`, returned when `output_excitations=True`): what each squeeze-and-excitation block
            multiplies its channels by, in (0, 1), each of shape `(batch, segments, channels)` (section VII). Empty for
            a network without such blocks.
    """

    last_hidden_state: torch.FloatTensor | None = None
    pooler_output: torch.FloatTensor | None = None
    segment_embeddings: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    excitations: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class SampleCNNClassifierOutput(ModelOutput):
    """
    Output of `SampleCNNForAudioClassification`.

    Args:
        loss (`torch.Tensor` of shape `()`, returned when `labels` is given): cross-entropy, or binary cross-entropy
            for a multi-label model.
        logits (`torch.Tensor` of shape `(batch, num_labels)`): their softmax (sigmoid for a multi-label model) is the
            mean of the segments' probabilities.
        segment_logits (`torch.Tensor` of shape `(batch, segments, num_labels)`): the same before averaging.
        hidden_states, excitations: as in `SampleCNNModelOutput`.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    segment_logits: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    excitations: tuple[torch.FloatTensor, ...] | None = None


class SampleCNNConv1d(nn.Conv1d):
    """A 1-D convolution, weight [out, in, kernel], that runs on [segments, channels, 1, frames]."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = KERNEL_SIZE, stride: int = 1):
        # For stride 1 this is "same"; for stride 3 both kernels see whole groups of three frames.
        padding = max(0, kernel_size - stride) // 2
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, padding=padding)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        if self.stride[0] > self.kernel_size[0]:  # a strided shortcut drops the frames that the body drops
            frames = hidden_states.shape[-1]
            hidden_states = hidden_states[..., : frames - frames % self.stride[0]]
        weight = self.weight.unsqueeze(2)
        return F.conv2d(hidden_states, weight, self.bias, stride=(1, *self.stride), padding=(0, *self.padding))


def batch_norm(num_channels: int, config: SampleCNNConfig, norm_class: type[nn.Module] = nn.BatchNorm2d) -> nn.Module:
    return norm_class(num_channels, eps=config.batch_norm_eps, momentum=config.batch_norm_momentum)


def max_pool(size: int) -> nn.MaxPool2d:
    """Max-pooling over time; frames that do not fill a window are dropped, as in Keras."""
    return nn.MaxPool2d((1, size))


def frame_waveform(waveform: torch.Tensor, frame_length: int, hop_length: int) -> torch.Tensor:
    """[segments, samples] -> [segments, samples // hop_length, frame_length], centred on the hops."""
    padding = (frame_length - hop_length) // 2
    return F.pad(waveform, (padding, padding)).unfold(-1, frame_length, hop_length)


def channels_last(frames: torch.Tensor) -> torch.Tensor:
    """[segments, frames, channels] -> a view [segments, channels, 1, frames]."""
    return frames.transpose(1, 2).unsqueeze(2)


class SampleCNNStem(nn.Module):
    """The first convolution (Fig. 1), as a matrix product on frames: with one input channel that is what it is."""

    def __init__(self, config: SampleCNNConfig):
        super().__init__()
        strided = config.num_strided_convolutions > 0
        self.conv = nn.Conv1d(
            1, config.stem_channels, config.stem_kernel_size, stride=config.stem_stride if strided else 1
        )
        self.norm = batch_norm(config.stem_channels, config)
        self.pool = nn.Identity() if strided else max_pool(config.stem_stride)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        frames = frame_waveform(waveform, self.conv.kernel_size[0], self.conv.stride[0])
        hidden_states = channels_last(F.linear(frames, self.conv.weight.squeeze(1), self.conv.bias))
        return F.relu(self.pool(self.norm(hidden_states)))


class SampleCNNMelSpectrogram(nn.Module):
    """The fixed front end of the paper's spectrogram-based CNN: log(1 + C * mel) of a Hann-windowed spectrum (V-A)."""

    def __init__(self, config: SampleCNNConfig):
        super().__init__()
        self.window_length, self.hop_length = config.stem_kernel_size, config.stem_stride
        self.n_fft, self.compression = config.n_fft, config.mel_compression
        filters = mel_filter_bank(
            num_frequency_bins=config.n_fft // 2 + 1,
            num_mel_filters=config.stem_channels,
            min_frequency=0.0,
            max_frequency=config.sampling_rate / 2,
            sampling_rate=config.sampling_rate,
            norm="slaney",
            mel_scale="slaney",
        )
        # In the checkpoint: from_pretrained does not run this code on real tensors.
        self.register_buffer("mel_filters", torch.tensor(filters, dtype=torch.float32))
        self.register_buffer("window", torch.hann_window(self.window_length))

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        frames = frame_waveform(waveform.float(), self.window_length, self.hop_length)
        magnitude = torch.fft.rfft(frames * self.window.float(), n=self.n_fft).abs()
        mel = torch.log1p(self.compression * (magnitude @ self.mel_filters.float()))
        return channels_last(mel.to(waveform.dtype))


class SampleCNNSqueezeExcitation(nn.Module):
    """Rescales each channel by a function of all channels' means over time (Fig. 3e, section III-B)."""

    def __init__(self, channels: int, config: SampleCNNConfig):
        super().__init__()
        squeezed = max(1, round(config.se_ratio * channels))
        self.squeeze = nn.Linear(channels, squeezed)
        self.excite = nn.Linear(squeezed, channels)

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[segments, channels, 1, frames] -> the same, rescaled, and the excitation [segments, channels]."""
        magnitude = hidden_states.mean((2, 3))
        excitation = self.excite(F.relu(self.squeeze(magnitude))).sigmoid()
        return hidden_states * excitation[:, :, None, None], excitation


class SampleCNNBlock(nn.Module):
    """
    Basic and SE block (Fig. 3a, 3c): convolution, batch norm, ReLU, max-pooling and, for SE, squeeze-and-excitation.

    ReLU comes after the pooling: the values are the same, on a third of the frames.
    """

    def __init__(self, in_channels: int, out_channels: int, strided: bool, config: SampleCNNConfig):
        super().__init__()
        self.conv = SampleCNNConv1d(in_channels, out_channels, stride=KERNEL_SIZE if strided else 1)
        self.norm = batch_norm(out_channels, config)
        self.pool = nn.Identity() if strided else max_pool(KERNEL_SIZE)
        self.se = SampleCNNSqueezeExcitation(out_channels, config) if config.block_type == "se" else None

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        hidden_states = F.relu(self.pool(self.norm(self.conv(hidden_states))))
        return self.se(hidden_states) if self.se is not None else (hidden_states, None)


class SampleCNNResidualBlock(nn.Module):
    """Res-n and ReSE-n block (Fig. 3b, 3d): one or two convolutions beside a shortcut, then ReLU and max-pooling."""

    def __init__(self, in_channels: int, out_channels: int, strided: bool, config: SampleCNNConfig):
        super().__init__()
        stride = KERNEL_SIZE if strided else 1
        self.shortcut = nn.Identity()
        if in_channels != out_channels or strided:
            self.shortcut = nn.Sequential(
                SampleCNNConv1d(in_channels, out_channels, kernel_size=1, stride=stride),
                batch_norm(out_channels, config),
            )
        layers = [SampleCNNConv1d(in_channels, out_channels, stride=stride), batch_norm(out_channels, config)]
        if config.block_type in ("res2", "rese2"):
            layers += [nn.ReLU(), nn.Dropout(config.block_dropout)]
            layers += [SampleCNNConv1d(out_channels, out_channels), batch_norm(out_channels, config)]
        self.body = nn.Sequential(*layers)
        self.se = SampleCNNSqueezeExcitation(out_channels, config) if config.block_type.startswith("rese") else None
        self.pool = nn.Identity() if strided else max_pool(KERNEL_SIZE)

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        residual, excitation = self.body(hidden_states), None
        if self.se is not None:
            residual, excitation = self.se(residual)
        return F.relu(self.pool(self.shortcut(hidden_states) + residual)), excitation


class SampleCNNPreTrainedModel(PreTrainedModel):
    """Initialisation, loading and saving of the family."""

    config: SampleCNNConfig
    base_model_prefix = "samplecnn"
    main_input_name = "input_values"
    input_modalities = ("audio",)
    _no_split_modules = ["SampleCNNBlock", "SampleCNNResidualBlock"]
    # Running a block twice would count its batch twice in the batch norm's statistics.
    supports_gradient_checkpointing = False
    # Binary cross-entropy takes no `num_items_in_batch`: `Trainer` is to divide by its accumulation steps itself.
    accepts_loss_kwargs = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        if not isinstance(module, (nn.Conv1d, nn.Linear)):
            return super()._init_weights(module)
        bound = {"he_uniform": _he_bound, "sampleaudio": _sampleaudio_bound}[self.config.initializer](module)
        init.uniform_(module.weight, -bound, bound)
        init.zeros_(module.bias)

    @classmethod
    def from_pretrained(cls, *args, **kwargs):
        """As for any model, but safetensors only."""
        return super().from_pretrained(*args, **{"use_safetensors": True, **kwargs})

    def save_pretrained(self, save_directory, **kwargs):
        """Save weights, configuration and the code, such that `pipeline` and every Auto class load the folder."""
        # Imported here for its file to be saved along: transformers copies what this file imports relatively.
        from .pipeline_samplecnn import SampleCNNAudioClassificationPipeline

        self.config.auto_map = {
            "AutoConfig": "configuration_samplecnn.SampleCNNConfig",
            "AutoModel": "modeling_samplecnn.SampleCNNModel",
            "AutoModelForAudioClassification": "modeling_samplecnn.SampleCNNForAudioClassification",
            "AutoFeatureExtractor": "feature_extraction_samplecnn.SampleCNNFeatureExtractor",
        }
        self.config.custom_pipelines = {
            "audio-classification": {
                "impl": f"pipeline_samplecnn.{SampleCNNAudioClassificationPipeline.__name__}",
                "pt": ["AutoModelForAudioClassification"],
                "type": "audio",
            }
        }
        super().save_pretrained(save_directory, **kwargs)


def _he_bound(module: nn.Conv1d | nn.Linear) -> float:
    """He uniform: variance 2 / fan_in."""
    return math.sqrt(6 / module.weight[0].numel())


def _sampleaudio_bound(module: nn.Conv1d | nn.Linear) -> float:
    """The authors' code: Glorot uniform, but variance scaling with fan_in = kernel * in^2 for the convolutions."""
    out_features, in_features = module.weight.shape[:2]
    kernel_size = module.kernel_size[0] if isinstance(module, nn.Conv1d) else 1
    if kernel_size == 1:  # dense, squeeze-and-excitation, shortcut
        return math.sqrt(6 / (in_features + out_features))
    scale = 1 if in_features == 1 else 2
    return math.sqrt(3 * scale / (kernel_size * in_features**2))


class SampleCNNModel(SampleCNNPreTrainedModel):
    """The body of SampleCNN: front end and blocks, from waveforms to embeddings."""

    def __init__(self, config: SampleCNNConfig):
        super().__init__(config)
        block_class = SampleCNNBlock if config.block_type in ("basic", "se") else SampleCNNResidualBlock
        channels = [config.stem_channels, *config.block_channels]
        self.front_end = SampleCNNStem(config) if config.front_end == "waveform" else SampleCNNMelSpectrogram(config)
        self.blocks = nn.ModuleList(
            block_class(channels[i], channels[i + 1], strided=i + 1 < config.num_strided_convolutions, config=config)
            for i in range(config.num_blocks)
        )
        self.num_frozen_layers = 0
        self.post_init()

    def freeze_layers(self, num_layers: int):
        """
        Freeze the `num_layers` lowest layers, the front end being the first and the blocks the others.

        They get no gradients, and their batch norms keep their statistics in training mode, too.
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

    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_excitations: bool = False,
        return_dict: bool | None = None,
    ) -> SampleCNNModelOutput | tuple:
        """
        Args:
            input_values (`torch.Tensor` of shape `(batch, samples)` or `(batch, segments, samples)`): waveforms at
                `config.sampling_rate`, at least `config.min_samples` samples each.
            attention_mask (`torch.Tensor` of shape `(batch, segments)`, *optional*): 1 for real segments, 0 for
                padding. Padding is left out of the computation, and so of the batch norm's statistics.
            output_hidden_states (`bool`, *optional*): return the output of the front end and of every block.
            output_excitations (`bool`, *optional*): return the excitations of the squeeze-and-excitation blocks.
            return_dict (`bool`, *optional*): `False` for a plain tuple.
        """
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        return_dict = self.config.return_dict if return_dict is None else return_dict
        input_values, attention_mask = self._check_inputs(input_values, attention_mask)

        segments = _select_segments(input_values, attention_mask).to(self.dtype)
        pieces = [self._run(piece, output_hidden_states) for piece in self._split(segments)]

        def by_clip(*parts: torch.Tensor) -> torch.Tensor:
            whole = parts[0] if len(parts) == 1 else torch.cat(parts)
            return _restore_segments(whole, input_values.shape[:2], attention_mask)

        last, embeddings, hidden_states, excitations = zip(*pieces, strict=True)
        segment_embeddings = by_clip(*embeddings)
        output = SampleCNNModelOutput(
            last_hidden_state=by_clip(*last),
            pooler_output=_masked_mean(segment_embeddings, attention_mask),
            segment_embeddings=segment_embeddings,
            hidden_states=tuple(map(by_clip, *hidden_states)) if output_hidden_states else None,
            excitations=tuple(map(by_clip, *excitations)) if output_excitations else None,
        )
        return output if return_dict else output.to_tuple()

    def _split(self, segments: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """In inference, as many segments at a time as run fastest; it also bounds the memory of long audio."""
        if self.training or torch.compiler.is_compiling():
            return (segments,)
        return segments.split(SEGMENTS_AT_A_TIME if segments.device.type != "cpu" else CPU_SEGMENTS_AT_A_TIME)

    def _run(self, segments: torch.Tensor, keep_hidden_states: bool):
        """[segments, samples] -> last hidden state, embeddings, all hidden states (or none), excitations."""
        hidden_states = self.front_end(segments)
        kept, excitations, pooled = [hidden_states], [], []
        for block in self.blocks:
            hidden_states, excitation = block(hidden_states)
            pooled.append(hidden_states.amax((2, 3)))
            if keep_hidden_states:
                kept.append(hidden_states)
            if excitation is not None:
                excitations.append(excitation)
        embeddings = torch.cat(pooled[-3:], dim=1) if self.config.multi_level else pooled[-1]
        return hidden_states.squeeze(2), embeddings, [x.squeeze(2) for x in kept], excitations

    def _check_inputs(self, input_values, attention_mask):
        if input_values.dim() == 2:
            input_values = input_values.unsqueeze(1)
        if input_values.dim() != 3:
            raise ValueError(
                f"input_values must be [batch, samples] or [batch, segments, samples]; got {list(input_values.shape)}"
            )
        if input_values.shape[2] < self.config.min_samples:
            raise ValueError(
                f"input_values hold {input_values.shape[2]} samples a segment; this network needs at least "
                f"{self.config.min_samples} (the feature extractor pads shorter clips)"
            )
        if attention_mask is not None:
            if attention_mask.shape != input_values.shape[:2]:
                raise ValueError(
                    f"attention_mask must be [batch, segments] = {list(input_values.shape[:2])}; "
                    f"got {list(attention_mask.shape)}"
                )
            attention_mask = attention_mask.bool()
            if not torch.compiler.is_compiling() and not attention_mask.any(1).all():
                raise ValueError("attention_mask leaves a clip without any segment")
        return input_values, attention_mask


def _select_segments(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """[batch, segments, ...] -> [real segments, ...]."""
    return x.flatten(0, 1) if mask is None else x[mask]


def _restore_segments(x: torch.Tensor, shape: torch.Size, mask: torch.Tensor | None) -> torch.Tensor:
    """[real segments, ...] -> [batch, segments, ...], zeros where there is no segment."""
    if mask is None:
        return x.unflatten(0, shape)
    restored = x.new_zeros(*shape, *x.shape[1:])
    restored[mask] = x
    return restored


def _masked_mean(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Mean over the real segments: [batch, segments, features] -> [batch, features]."""
    if mask is None:
        return x.mean(1)
    weights = mask.unsqueeze(-1).to(x.dtype)
    return (x * weights).sum(1) / weights.sum(1)


def _log_mean_exp(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """log(mean(exp(x))) over the real segments: [batch, segments, labels] -> [batch, labels]."""
    if mask is None:
        return x.logsumexp(1) - torch.ones_like(x).sum(1).log()  # a tensor: export keeps the number free
    mask = mask.unsqueeze(-1)
    return x.masked_fill(~mask, -torch.inf).logsumexp(1) - mask.sum(1).log()


class SampleCNNClassificationHead(nn.Module):
    """Two dense layers, the first as wide as the embedding, with dropout before the last (section IV-D)."""

    def __init__(self, config: SampleCNNConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = batch_norm(config.hidden_size, config, nn.BatchNorm1d)
        self.dropout = nn.Dropout(config.dropout)
        self.out_proj = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        return self.out_proj(self.dropout(F.relu(self.norm(self.dense(embeddings)))))


class SampleCNNForAudioClassification(SampleCNNPreTrainedModel):
    """SampleCNN with its classifier: a clip's probabilities are the mean of its segments' (section IV-D)."""

    def __init__(self, config: SampleCNNConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.samplecnn = SampleCNNModel(config)
        self.classifier = SampleCNNClassificationHead(config)
        self.post_init()

    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_excitations: bool = False,
        return_dict: bool | None = None,
    ) -> SampleCNNClassifierOutput | tuple:
        """
        Args:
            labels (`torch.Tensor`, *optional*): class indices, int64 `(batch,)`, or for a multi-label model float
                `(batch, num_labels)` of zeros and ones.

        The other arguments are those of `SampleCNNModel`.
        """
        return_dict = self.config.return_dict if return_dict is None else return_dict
        outputs = self.samplecnn(
            input_values,
            attention_mask=attention_mask,
            output_hidden_states=output_hidden_states,
            output_excitations=output_excitations,
            return_dict=True,
        )
        mask = None if attention_mask is None else attention_mask.bool()
        embeddings = outputs.segment_embeddings
        segment_logits = self.classifier(_select_segments(embeddings, mask)).float()
        segment_logits = _restore_segments(segment_logits, embeddings.shape[:2], mask)
        logits = self._clip_logits(segment_logits, mask)
        output = SampleCNNClassifierOutput(
            loss=self.loss_function(labels, logits, self.config) if labels is not None else None,
            logits=logits,
            segment_logits=segment_logits,
            hidden_states=outputs.hidden_states,
            excitations=outputs.excitations,
        )
        return output if return_dict else output.to_tuple()

    def _clip_logits(self, segment_logits: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Logits of the mean of the segments' probabilities, computed in the log domain."""
        if self.config.problem_type == "multi_label_classification":
            log_odds = _log_mean_exp(F.logsigmoid(segment_logits), mask)
            return log_odds - _log_mean_exp(F.logsigmoid(-segment_logits), mask)
        return _log_mean_exp(segment_logits.log_softmax(-1), mask)
