"""What visitors upload or record: read up to a limit, and refused in words that help."""

import gradio as gr
import numpy as np

from samplecnn_hf import SampleCNNFeatureExtractor

MAX_FILE_SIZE = "50mb"  # gradio refuses more before it is stored
MAX_MINUTES = 10
MAX_DECODED_SAMPLES = 60 * MAX_MINUTES * 48_000 * 8  # of 7.1 sound: decoding takes time, too


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
        # A little more than the limit, because resampling rounds up.
        max_samples = 60 * MAX_MINUTES * extractor.sampling_rate + 10
        return extractor.to_waveform(path, max_samples=max_samples, max_file_samples=MAX_DECODED_SAMPLES)
    except ValueError as error:
        reason = str(error).replace(repr(path), "This file")  # where it lies on the server is nobody's business
        raise refusal(reason[0].upper() + reason[1:]) from error
