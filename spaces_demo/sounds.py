"""What visitors upload or record: looked at before it is decoded, and refused in words that help."""

import gradio as gr
import numpy as np
import soundfile

from samplecnn_hf import SampleCNNFeatureExtractor
from samplecnn_hf.feature_extraction_samplecnn import read_audio

MAX_FILE_SIZE = "50mb"  # gradio refuses more before it is stored
MAX_MINUTES = 10
MAX_SAMPLES = MAX_MINUTES * 60 * 48_000 * 2  # of all channels together: half a gigabyte, decoded


def refusal(message: str) -> gr.Error:
    """What the visitor reads; it is no error of the program, so the log has no traceback of it."""
    return gr.Error(message, duration=8, print_exception=False)


class Sound(gr.Audio):
    """An audio input for uploads and recordings. For an address, the server itself would go and fetch any size."""

    is_template = True  # looks like its parent

    async def async_move_resource_to_block_cache(self, url_or_file_path):
        if str(url_or_file_path).startswith(("http://", "https://")):
            raise refusal("This demo fetches nothing from the web: please upload the file.")
        return await super().async_move_resource_to_block_cache(url_or_file_path)


def read_clip(path: str | None, extractor: SampleCNNFeatureExtractor) -> np.ndarray:
    """
    An audio file as mono float32 (samples,) at the model's rate.

    Raises:
        gr.Error: there is no file, it is no audio, is empty or damaged, or is longer than `MAX_MINUTES`.
    """
    if path is None:
        raise refusal("There is no sound yet: record or upload some, or click an example.")
    try:
        # The header tells the length: a few kilobytes of flac can hold hours of silence, or of eight channels.
        info = soundfile.info(path)
        if info.duration > 60 * MAX_MINUTES:
            raise refusal(f"This clip is {info.duration / 60:.0f} minutes long; please keep to {MAX_MINUTES}.")
        if info.frames * info.channels > MAX_SAMPLES:
            raise refusal("This clip has too many channels at too high a rate; please send stereo at 48 kHz at most.")
        audio, sampling_rate = read_audio(path)
        return extractor.to_waveform(audio, sampling_rate)
    except soundfile.LibsndfileError as error:
        raise refusal("This cannot be read as audio: wav, flac, ogg and mp3 can.") from error
    except ValueError as error:
        reason = str(error).replace(repr(path), "This file")  # where it lies on the server is nobody's business
        raise refusal(reason[0].upper() + reason[1:]) from error
