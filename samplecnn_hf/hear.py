"""
Embeddings under the names of the HEAR API (https://hearbenchmark.com/hear-api.html), e.g. for its evaluation kit:

    model = load_model("runs/quickstart")
    embeddings, timestamps = get_timestamp_embeddings(audio, model)  # one window every 50 ms or less
    embeddings = get_scene_embeddings(audio, model)

Audio is float [sounds, samples] in [-1, 1] at `model.sample_rate`.
"""

import torch
import torch.nn.functional as F
from torch import nn

from .events_samplecnn import timeline_extractor
from .feature_extraction_samplecnn import SampleCNNFeatureExtractor
from .loading import load_encoder
from .modeling_samplecnn import SampleCNNModel
from .pipeline_samplecnn import GROUP_SAMPLES
from .windows_samplecnn import OverlappingWindows

HOP_SECONDS = 0.049  # HEAR suggests at most 0.05, here with rounding


class HearModel(nn.Module):
    """
    A network and its feature extractor.

    Attributes:
        sample_rate (`int`): Sampling rate of the audio in Hz.
        scene_embedding_size (`int`): Features of a clip.
        timestamp_embedding_size (`int`): Features of a window.
    """

    def __init__(self, samplecnn: SampleCNNModel, feature_extractor: SampleCNNFeatureExtractor):
        super().__init__()
        self.samplecnn, self.feature_extractor = samplecnn, feature_extractor
        self.sample_rate = feature_extractor.sampling_rate
        self.scene_embedding_size = self.timestamp_embedding_size = samplecnn.config.hidden_size


def load_model(model_file_path: str) -> HearModel:
    """
    Load a trained model, in float32.

    Args:
        model_file_path: Folder or Hub id of a model.

    Raises:
        OSError: The model does not exist or is damaged. The message is one line.
    """
    return HearModel(*load_encoder(model_file_path))


@torch.no_grad()
def get_timestamp_embeddings(audio: torch.Tensor, model: HearModel) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Embeddings of windows of one segment, centered at their timestamps; silence is added around the audio.

    Args:
        audio: Float [sounds, samples].
        model: The model.

    Returns:
        Embeddings, float32 [sounds, timestamps, timestamp_embedding_size], and timestamps in milliseconds, float64
        [sounds, timestamps], from 0 on.

    Raises:
        ValueError: The shape of the audio is invalid.
    """
    _check(audio)
    timeline = timeline_extractor(model.feature_extractor, HOP_SECONDS)
    length, hop_length = timeline.segment_length, timeline.hop_length
    network = OverlappingWindows(model.samplecnn, timeline)
    padded = F.pad(audio, (length // 2, length - length // 2), value=timeline.padding_value)
    size, embeddings = max(1, GROUP_SAMPLES // length), []
    for windows in padded.unfold(1, length, hop_length):
        groups = [network.embed(timeline.normalize(group)) for group in windows.split(size)]
        embeddings.append(torch.cat(groups).float())
    timestamps = hop_length / timeline.sampling_rate * 1000 * torch.arange(len(embeddings[0]), dtype=torch.float64)
    return torch.stack(embeddings), timestamps.to(audio.device).expand(len(audio), -1)


@torch.no_grad()
def get_scene_embeddings(audio: torch.Tensor, model: HearModel) -> torch.Tensor:
    """
    Embeddings of clips: the means over their consecutive segments (`pooler_output`).

    Args:
        audio: Float [sounds, samples].
        model: The model.

    Returns:
        float32 [sounds, scene_embedding_size].

    Raises:
        ValueError: The shape of the audio is invalid.
    """
    _check(audio)
    clips = [clip.numpy(force=True) for clip in audio]
    features = model.feature_extractor(clips, sampling_rate=model.sample_rate, return_tensors="pt").to(audio.device)
    return model.samplecnn(**features, return_dict=True, output_last_hidden_state=False).pooler_output.float()


def _check(audio: torch.Tensor):
    if audio.dim() != 2 or 0 in audio.shape:
        raise ValueError(f"audio must be [sounds, samples]; got {list(audio.shape)}")
