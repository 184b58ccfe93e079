"""What visitors upload or record: looked at before it is decoded, and refused in words that help."""

import gradio as gr
import numpy as np
import soundfile

from samplecnn_hf import SampleCNNFeatureExtractor
from samplecnn_hf.feature_extraction_samplecnn import read_audio

MAX_FILE_SIZE = "50mb"  # gradio refuses more before it is stored
MAX_MINUTES = 10


def refusal(message: str) -> gr.Error:
    """What the visitor reads; it is no error of the program, so the log has no traceback of it."""
    return gr.Error(message, duration=8, print_exception=False)


def read_clip(path: str | None, extractor: SampleCNNFeatureExtractor) -> np.ndarray:
    """
    An audio file as mono float32 (samples,) at the model's rate.

    Raises:
        gr.Error: there is no file, it is no audio, is empty or damaged, or is longer than `MAX_MINUTES`.
    """
    if path is None:
        raise refusal("There is no sound yet: record or upload some, or click an example.")
    try:
        # The header tells the length: a few kilobytes of flac can hold hours of silence.
        seconds = soundfile.info(path).duration
        if seconds > 60 * MAX_MINUTES:
            raise refusal(f"This clip is {seconds / 60:.0f} minutes long; please keep to {MAX_MINUTES}.")
        audio, sampling_rate = read_audio(path)
        return extractor.to_waveform(audio, sampling_rate)
    except soundfile.LibsndfileError as error:
        raise refusal("This cannot be read as audio: wav, flac, ogg and mp3 can.") from error
    except ValueError as error:
        reason = str(error).replace(repr(path), "This file")  # where it lies on the server is nobody's business
        raise refusal(reason[0].upper() + reason[1:]) from error
