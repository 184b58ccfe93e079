"""Audio from visitors: uploads and recordings, read up to a size limit."""

import gradio as gr
import numpy as np
import soundfile
from gradio.events import EventListener, Events

from samplecnn_hf import SampleCNNFeatureExtractor

MAX_FILE_SIZE = "50mb"  # gradio rejects larger uploads before storing them
MAX_MINUTES = 10
MAX_DECODED_SAMPLES = 60 * MAX_MINUTES * 48_000 * 8  # all channels of 7.1 audio; limits the decoding time
MAX_CHUNK_SECONDS = 10


def user_error(message: str) -> gr.Error:
    """Return an error that is shown to the visitor and leaves no traceback in the log."""
    return gr.Error(message[0].upper() + message[1:], duration=8, print_exception=False)


class AudioInput(gr.Audio):
    """Audio input that rejects URLs, which gradio would download on the server without a size limit."""

    is_template = True  # rendered as its parent class

    async def async_move_resource_to_block_cache(self, url_or_file_path):
        if str(url_or_file_path).startswith(("http://", "https://")):
            raise user_error("This demo does not download audio: please upload the file.")
        return await super().async_move_resource_to_block_cache(url_or_file_path)


class Microphone(AudioInput):
    """
    A microphone whose chunks are separate jobs of the queue.

    With gradio's own `stream` event, a recording would occupy a place in the queue until it ends, and a chunk that
    arrives before the previous one is processed would replace it.
    """

    is_template = True
    EVENTS = [
        EventListener(
            "stream", show_progress="hidden", event_specific_args=Events.stream.event_specific_args, connection="sse"
        ),
        Events.start_recording,
        Events.stop_recording,
    ]

    def get_block_name(self):
        return "audio"  # of the frontend's component


def read_chunk(path: str | None) -> tuple[int, np.ndarray]:
    """
    Read a chunk of a recording.

    Returns:
        The sampling rate, and float32 samples [samples, channels].

    Raises:
        gr.Error: the chunk is not an audio file, or longer than `MAX_CHUNK_SECONDS`.
    """
    if path is None:
        raise user_error("No audio: record with the microphone.")
    try:
        # Without the file's name: soundfile would trust its suffix.
        with open(path, "rb") as file, soundfile.SoundFile(file) as sound:
            if sound.frames > MAX_CHUNK_SECONDS * sound.samplerate:
                raise user_error(f"A chunk is at most {MAX_CHUNK_SECONDS} seconds long: send it in parts.")
            return sound.samplerate, sound.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise user_error(f"This chunk cannot be read as audio: {error.error_string}") from error


def read_clip(path: str | None, extractor: SampleCNNFeatureExtractor) -> np.ndarray:
    """Read an audio file as a mono float32 waveform [samples] at the model's sampling rate.

    Raises:
        gr.Error: there is no file, or it is empty, damaged, not an audio file, or longer than `MAX_MINUTES`.
    """
    if path is None:
        raise user_error("No audio: record or upload a clip, or choose an example.")
    try:
        max_samples = 60 * MAX_MINUTES * extractor.sampling_rate + 10  # resampling rounds up
        return extractor.to_waveform(path, max_samples=max_samples, max_file_samples=MAX_DECODED_SAMPLES)
    except ValueError as error:
        # Do not reveal the path on the server.
        raise user_error(str(error).replace(repr(path), "this file")) from error
