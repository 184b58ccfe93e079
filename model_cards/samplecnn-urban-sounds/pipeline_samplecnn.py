"""`pipeline("audio-classification")` for SampleCNN: any audio file at any rate, without ffmpeg or torchaudio."""

import math
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from numbers import Real

import numpy as np
import torch
from transformers import AudioClassificationPipeline
from transformers.pipelines.base import ChunkPipeline

try:  # the one that huggingface_hub needs: httpx before its version 2
    import httpx2 as httpx
except ImportError:
    import httpx

from .audio_samplecnn import is_number
from .events_samplecnn import (
    check_top_k,
    event_thresholds,
    find_events,
    minimum_scores,
    select_labels,
    timeline_extractor,
    timeline_windows,
    window_timestamps,
)
from .feature_extraction_samplecnn import SampleCNNFeatureExtractor
from .windows_samplecnn import timeline_logits

EVENT_OPTIONS = ("median_filter_s", "minimum_event_length_s", "minimum_event_gap_s")
OUTPUT_OPTIONS = ("on_error", "return_timestamps", "events", "hop_length_s", *EVENT_OPTIONS)
PREPROCESS = ("sampling_rate", *OUTPUT_OPTIONS)
PARAMETERS = ("top_k", "threshold", "function_to_apply", *PREPROCESS)
ON_ERROR = ("raise", "return")
GROUP_SAMPLES = 2**20  # of the segments per forward pass: 4 MiB

MAX_DOWNLOAD_BYTES = 2**28
DOWNLOAD_SECONDS = 120  # in total, including redirects
SILENT_SECONDS = 20  # maximum time without data from the server
MAX_REDIRECTS = 5


class SampleCNNAudioClassificationPipeline(ChunkPipeline, AudioClassificationPipeline):
    """
    Audio classification of clips of any length, in constant memory: files are read and classified in blocks.

    An input is any clip that `SampleCNNFeatureExtractor` accepts (an audio file as path, bytes or binary file object,
    or a waveform), an http(s) URL of a file, a dict with a waveform (`"array"` or `"raw"`) and its `"sampling_rate"`,
    or an audio feature of `datasets`, decoded or not. A list of inputs (or a tuple or column of `datasets`) gives a
    list of outputs, a generator or torch dataset an iterator; `batch_size` sets how many are classified at a time.

    Scores are probabilities: softmax, or sigmoid for a multi-label model. Those of a clip are the mean over its
    segments. The following arguments can be passed to the constructor or to the call:

    - `top_k`: Maximum number of labels (5 by default, `None` for all).
    - `threshold`: Minimum score of a label: a number, or `"tuned"` for `config.thresholds`. The output can be empty.
    - `sampling_rate`: Rate of the waveforms in Hz; by default the model's rate, with a warning once. Files have their
      own rate: in a list of both, pass the waveforms as dicts.
    - `function_to_apply`: `"softmax"`, `"sigmoid"` or `"none"`, in place of the model's own function, to the logits of
      each segment.
    - `on_error`: `"raise"` (default), or `"return"` to output `{"error": message}` for an invalid input.

    The output is a list of `{"label": str, "score": float}`. With `return_timestamps` or `events` the output is a dict
    with this list as `"scores"`, the hop of the timeline in seconds as `"hop_length_s"`, and

    - `return_timestamps`: `"chunks"`, a list of `{"timestamp": (start, end), "scores": [...]}`, one for each window
      (of one segment), in seconds and with the labels that `top_k` and `threshold` select.
    - `events`: `"events"`, a list of `{"label": str, "timestamp": (onset, offset), "score": float}`: where the score
      of a label reaches `threshold` (by default `config.thresholds`, or 0.5 where the model has none). The options
      `median_filter_s`, `minimum_event_length_s` and `minimum_event_gap_s` are those of `find_events`.
    - `hop_length_s`: Seconds between two windows, rounded as in `timeline_extractor`; by default, the windows are the
      segments.
    """

    def __init__(self, *args, **kwargs):
        kwargs.pop("local_files_only", None)  # passed on by `pipeline()`
        super().__init__(*args, **kwargs)
        self.feature_extractor.check_network(self.model.config)

    @classmethod
    def from_pretrained(
        cls,
        model_id: str | os.PathLike,
        *,
        revision: str = "main",
        subfolder: str = "",
        token: str | bool | None = None,
        cache_dir: str | os.PathLike | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        dtype="auto",
        **kwargs,
    ):
        """
        Load the model and the feature extractor of a folder or Hub id with the code of this package.

        Args:
            model_id: Folder or Hub id of a model.
            revision: As in `PreTrainedModel.from_pretrained`.
            subfolder: As in `PreTrainedModel.from_pretrained`.
            token: As in `PreTrainedModel.from_pretrained`.
            cache_dir: As in `PreTrainedModel.from_pretrained`.
            force_download: As in `PreTrainedModel.from_pretrained`.
            local_files_only: As in `PreTrainedModel.from_pretrained`.
            dtype: As in `PreTrainedModel.from_pretrained`; `torch.bfloat16` is faster on processors that compute it.
            **kwargs: Arguments of the pipeline (`device`, `top_k`, ...).

        Returns:
            The pipeline. Its model is optimized for inference (`optimize_for_inference`).

        Raises:
            ValueError: The model has no trained classifier.
            OSError: As `PreTrainedModel.from_pretrained`.
        """
        from .modeling_samplecnn import SampleCNNForAudioClassification

        hub = {
            "revision": revision,
            "subfolder": subfolder,
            "token": token,
            "cache_dir": cache_dir,
            "force_download": force_download,
            "local_files_only": local_files_only,
        }
        dtype = kwargs.pop("torch_dtype", dtype)  # the name in older code, which Pipeline would ignore
        model, info = SampleCNNForAudioClassification.from_pretrained(
            model_id, dtype=dtype, output_loading_info=True, **hub
        )
        if info["missing_keys"]:
            raise ValueError("it has no trained classifier: fine-tune it first")
        extractor = SampleCNNFeatureExtractor.from_pretrained(model_id, **hub)
        return cls(model=model.optimize_for_inference(), feature_extractor=extractor, **kwargs)

    def __call__(self, inputs, **kwargs):
        if isinstance(inputs, Sequence) and not isinstance(inputs, (str, bytes, bytearray, memoryview)):
            if len(inputs) == 0:
                raise ValueError("there is no audio: the list of inputs is empty")
            if isinstance(inputs[0], Real):
                raise TypeError("a list is a batch of clips: pass the samples of one clip as an array")
            if not isinstance(inputs, list):  # transformers treats a tuple, or a column of `datasets`, as one input
                return list(super().__call__((audio for audio in inputs), **kwargs))
        return super().__call__(inputs, **kwargs)

    def _sanitize_parameters(self, **kwargs):
        if unknown := sorted(kwargs.keys() - set(PARAMETERS)):
            raise TypeError(
                f"unknown argument {', '.join(unknown)}: the pipeline takes {', '.join(PARAMETERS)}, batch_size and "
                "num_workers"
            )
        check_top_k(kwargs.get("top_k"))
        on_error = kwargs.get("on_error", "raise")
        if on_error not in ON_ERROR:
            raise ValueError(f"on_error must be one of {', '.join(ON_ERROR)}; got {on_error!r}")
        for name in EVENT_OPTIONS:
            if not is_number(value := kwargs.get(name, 0.0)) or not 0 <= value < math.inf:
                raise ValueError(f"{name} must be a number of seconds; got {value!r}")
        if kwargs.get("hop_length_s") is not None:
            timeline_extractor(self.feature_extractor, kwargs["hop_length_s"])  # check it
        parent = {name: kwargs[name] for name in ("top_k", "function_to_apply") if name in kwargs}
        _, forward, postprocess = super()._sanitize_parameters(**parent)
        # Defaults of the parent, which depend on its version, would override arguments of the constructor.
        if "top_k" not in kwargs:
            postprocess.pop("top_k", None)
        if kwargs.get("function_to_apply") is None:
            postprocess.pop("function_to_apply", None)
        if "threshold" in kwargs:
            config = self.model.config
            lowest = minimum_scores(kwargs["threshold"], config.thresholds, len(config.labels))
            postprocess["lowest_scores"] = lowest
        for name in OUTPUT_OPTIONS:
            if name in kwargs:
                postprocess[name] = kwargs[name]
        if "hop_length_s" in kwargs:
            forward["hop_length_s"] = kwargs["hop_length_s"]
        preprocess = {name: kwargs[name] for name in PREPROCESS if name in kwargs}
        return preprocess, forward, postprocess

    def preprocess(
        self,
        inputs,
        sampling_rate=None,
        on_error="raise",
        return_timestamps=False,
        events=False,
        hop_length_s=None,
        **event_options,
    ):
        """Yield an input's windows in groups; the last one contains the length in samples and the error, if any."""
        timeline = timeline_extractor(self.feature_extractor, hop_length_s) if return_timestamps or events else None
        if hop_length_s is not None and timeline is None:
            raise ValueError("hop_length_s needs return_timestamps=True or events=True: scores are those of segments")
        if not events and (given := [name for name, value in event_options.items() if value]):
            raise ValueError(f"{', '.join(given)} needs events=True")
        chunk, lengths, error = None, [], None
        try:
            for next_chunk in self._chunks(inputs, sampling_rate, timeline, lengths):
                if chunk is not None:
                    yield {**chunk, "is_last": False, "num_samples": None, "error": None}
                chunk = next_chunk
        except (OSError, TypeError, ValueError) as caught:
            if on_error == "raise":
                raise
            error = _one_line(caught)
            if chunk is None:  # keeps the batch with the other inputs valid
                chunk = _chunk(np.zeros((1, self.feature_extractor.segment_length), np.float32), [False], [True])
        yield {**chunk, "is_last": True, "num_samples": sum(lengths), "error": error}

    def _chunks(self, inputs, sampling_rate, timeline, lengths: list[int]) -> Iterator[dict]:
        """Yield the windows of an input's timeline, if any, and its segments in groups.

        The lengths of the blocks that were read are appended to `lengths`.
        """
        extractor = self.feature_extractor
        audio, sampling_rate = _audio_and_rate(inputs, sampling_rate)
        with download(audio) if _is_url(audio) else nullcontext(audio) as audio:
            blocks = _record_lengths(extractor.to_blocks(audio, sampling_rate), lengths)
            windows = timeline_windows(extractor, timeline, blocks)
            size = max(1, GROUP_SAMPLES // extractor.segment_length)
            while group := list(islice(windows, size)):
                samples, in_timeline, is_segment = zip(*group, strict=True)
                yield _chunk(extractor.normalize(np.stack(samples)), in_timeline, is_segment)

    def _forward(self, model_inputs, hop_length_s=None):
        """Keep only the logits of the windows; otherwise memory would grow with the length of the clip."""
        input_values, in_timeline = model_inputs.pop("input_values"), model_inputs["in_timeline"]
        mask = in_timeline | model_inputs["is_segment"]
        if in_timeline.any():
            timeline = timeline_extractor(self.feature_extractor, hop_length_s)
            segment_logits = timeline_logits(self.model, timeline, input_values, mask, in_timeline)
        else:
            segment_logits = self.model(input_values, attention_mask=mask, return_dict=True).segment_logits
        return {"segment_logits": segment_logits, **model_inputs}

    def postprocess(
        self,
        chunks,
        top_k=5,
        function_to_apply=None,
        lowest_scores=None,
        on_error="raise",
        return_timestamps=False,
        events=False,
        hop_length_s=None,
        **event_options,
    ):
        segment_logits, timeline_logits = (
            torch.cat([chunk["segment_logits"][chunk[kind]] for chunk in chunks])
            for kind in ("is_segment", "in_timeline")
        )
        error = chunks[-1]["error"]
        if error is None and not (segment_logits.isfinite().all() and timeline_logits.isfinite().all()):
            error = f"the network's output is not finite: damaged weights, or audio too loud for {self.dtype}"
            if on_error == "raise":
                raise ValueError(error)
        if error is not None:
            return {"error": error}
        config = self.model.config
        name = function_to_apply or ("sigmoid" if config.multi_label else "softmax")
        function = {"sigmoid": torch.sigmoid, "softmax": lambda x: x.softmax(-1), "none": lambda x: x}[name]
        scores, timeline_scores = (function(x).cpu().numpy() for x in (segment_logits, timeline_logits))
        predictions = select_labels(scores.mean(0, keepdims=True), config.labels, top_k, lowest_scores)[0]
        if not (return_timestamps or events):
            return predictions
        timeline = timeline_extractor(self.feature_extractor, hop_length_s)
        output = {"scores": predictions, "hop_length_s": timeline.hop_length / timeline.sampling_rate}
        timestamps = window_timestamps(len(timeline_scores), timeline, chunks[-1]["num_samples"])
        if return_timestamps:
            rows = select_labels(timeline_scores, config.labels, top_k, lowest_scores)
            output["chunks"] = [
                {"timestamp": tuple(timestamp), "scores": row}
                for timestamp, row in zip(timestamps.tolist(), rows, strict=True)
            ]
        if events:
            thresholds = lowest_scores or event_thresholds(config)
            output["events"] = find_events(timeline_scores, timestamps, config.labels, thresholds, **event_options)
        return output


def _chunk(windows: np.ndarray, in_timeline: Sequence[bool], is_segment: Sequence[bool]) -> dict:
    """Windows [windows, samples] of the timeline, or segments of the clip, or both, as a batch of one clip."""
    masks = {"in_timeline": torch.tensor([in_timeline]), "is_segment": torch.tensor([is_segment])}
    return {"input_values": torch.from_numpy(windows).unsqueeze(0), **masks}


def _record_lengths(blocks: Iterable[np.ndarray], lengths: list[int]) -> Iterator[np.ndarray]:
    for block in blocks:
        lengths.append(len(block))
        yield block


def _audio_and_rate(inputs, sampling_rate: float | None):
    """Convert a dict or an audio decoder of `datasets` to an input of the feature extractor and its rate in Hz."""
    if hasattr(inputs, "get_all_samples"):  # AudioDecoder of `datasets`
        try:
            samples = inputs.get_all_samples()
        except RuntimeError as error:  # raised by torchcodec for all errors
            raise ValueError(f"torchcodec cannot decode the audio: {_one_line(error)}") from error
        inputs = {"array": samples.data.float().mean(0), "sampling_rate": samples.sample_rate}  # (channels, samples)
    if not isinstance(inputs, dict):
        return inputs, sampling_rate
    audio, file = (
        next((inputs[key] for key in keys if inputs.get(key) is not None), None)
        for keys in (("array", "raw"), ("bytes", "path"))
    )
    rate = sampling_rate if inputs.get("sampling_rate") is None else inputs["sampling_rate"]
    if sampling_rate is not None and rate != sampling_rate:
        raise ValueError(f"sampling_rate={sampling_rate} contradicts the dict's {rate}")
    if audio is None and file is not None:
        return file, rate
    if audio is None or rate is None:
        raise ValueError('a dict of audio needs "array" (or "raw") and "sampling_rate"; of a row, pass row["audio"]')
    return audio, rate


def _one_line(error: Exception) -> str:
    """The message of an error on one line; it may contain text from a server."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())


def _is_url(audio) -> bool:
    return isinstance(audio, str) and re.match(r"[a-z][a-z0-9+.-]*://", audio, re.IGNORECASE) is not None


def download(url: str):
    """
    Download the file at an http(s) URL to a temporary file, removed when the returned file object is closed.

    Raises:
        OSError: The URL cannot be read, the file is larger than `MAX_DOWNLOAD_BYTES`, or the download takes longer
            than `DOWNLOAD_SECONDS`. The message is one line.
    """
    outcome = []

    def work():
        try:
            outcome.append(_fetch(url, deadline=time.monotonic() + DOWNLOAD_SECONDS))
        except Exception as error:  # of any kind: httpx raises ImportError for some proxies
            outcome.append(error)

    # In a thread: the timeout of a socket restarts with each byte, and a DNS lookup has none.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(DOWNLOAD_SECONDS)
    result = outcome[0] if outcome else _too_slow()
    if isinstance(result, Exception):
        raise OSError(f"cannot read {url[:200]!r}: {_one_line(result)[:200].strip()}") from result
    return result


def _too_slow() -> TimeoutError:
    return TimeoutError(f"the download takes longer than {DOWNLOAD_SECONDS} seconds")


def _fetch(url: str, deadline: float):
    with httpx.Client(headers={"Accept-Encoding": "identity"}, timeout=SILENT_SECONDS) as client:
        request = client.build_request("GET", url)
        for _ in range(1 + MAX_REDIRECTS):
            response = client.send(request, stream=True)
            try:
                if response.next_request is None:
                    return _store(response, deadline)
                request = response.next_request
            finally:
                response.close()  # without reading the body, which httpx does when it follows redirects itself
    raise ValueError(f"more than {MAX_REDIRECTS} redirects")


def _store(response: httpx.Response, deadline: float):
    if response.status_code != 200:
        raise ValueError(f"the server answered {response.status_code} {response.reason_phrase}")
    file = tempfile.TemporaryFile()
    for block in response.iter_raw():
        file.write(block)
        if file.tell() > MAX_DOWNLOAD_BYTES:
            raise ValueError(f"the file is larger than {MAX_DOWNLOAD_BYTES // 2**20} MiB: download it yourself")
        if time.monotonic() > deadline:
            raise _too_slow()
    return file
