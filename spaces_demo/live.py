"""The tab that listens to the microphone: the current labels, and the events or spoken words so far."""

import time
from collections import deque

import gradio as gr
import numpy as np

from audio import Microphone, read_chunk, user_error
from models import EVENTS_TABLE, TOP_LABELS, Classifier, Models, events_table, to_event
from samplecnn_hf import KeywordDetector, SampleCNNStream
from samplecnn_hf.events_samplecnn import reaches
from samplecnn_hf.keywords import HOP_SECONDS, NO_KEYWORD
from samplecnn_hf.text import printable

CHUNK_SECONDS = 0.5
MAX_VISITORS = 4
GUARANTEED_SECONDS = 120  # afterwards, a recording gives way to a new visitor if all places are taken
SHOWN_EVENTS = 8
# A chunk takes milliseconds, so it does not wait for the clips of the other tabs, which may take a minute.
ONE_CHUNK_AT_A_TIME = {"concurrency_id": "live", "concurrency_limit": 1, "show_progress": "hidden"}

NO_ROOM = f"{MAX_VISITORS} visitors are recording: please stop, and try again in two minutes."

INTRODUCTION = (
    "Press **Record** and speak or play sounds. A model with tuned thresholds for spoken words lists each word once; "
    "other models list when the probability of a label reaches its threshold."
)


class EventTracker:
    """
    Finds events in the rows of a stream, one after another: those of `find_events` for all rows so far.

    Args:
        classifier: The model, with the thresholds of its labels.
        stream: The stream of the rows.
    """

    def __init__(self, classifier: Classifier, stream: SampleCNNStream):
        self.thresholds = dict(zip(classifier.model.config.labels, classifier.thresholds, strict=True))
        # From the start of a window to the time that is as close to its center as to that of the window before.
        self.offset = (classifier.segment_seconds - stream.hop_length_s) / 2
        self.running = {}

    def __call__(self, row: dict) -> list[dict]:
        """Returns the events that start with a row; they are updated in place until they end."""
        start, end = row["timestamp"]
        edge, new = start + self.offset if start > 0 else 0.0, []
        for label, score in ((item["label"], item["score"]) for item in row["scores"]):
            event = self.running.get(label)
            if not reaches(score, self.thresholds[label]):
                if event is not None:
                    self.running.pop(label)["end"] = edge
            elif event is None:
                self.running[label] = to_event({"label": label, "timestamp": (edge, end), "score": score})
                new.append(self.running[label])
            else:
                event.update(end=end, score=max(score, event["score"]))
        return new


class WordTracker:
    """Finds spoken words in the rows of a stream, as `KeywordDetector` does."""

    def __init__(self, classifier: Classifier, stream: SampleCNNStream):
        self.detect = KeywordDetector(classifier.model.config, stream.hop_length_s)

    def __call__(self, row: dict) -> list[dict]:
        detection = self.detect(row)
        return [] if detection is None else [to_event(detection)]


class Recording:
    """A visitor's recording in progress, in constant memory."""

    def __init__(self, model: str, classifier: Classifier, sampling_rate: int):
        self.model, self.sampling_rate, self.started = model, sampling_rate, time.monotonic()
        hop_length_s = min(HOP_SECONDS, classifier.hop_length_s)
        try:
            self.stream = SampleCNNStream(classifier.model, classifier.extractor, hop_length_s, sampling_rate)
        except ValueError as error:
            raise user_error(str(error)) from error
        config = classifier.model.config
        is_spotter = bool(config.thresholds) and not set(NO_KEYWORD).isdisjoint(config.labels)
        self.track = (WordTracker if is_spotter else EventTracker)(classifier, self.stream)
        self.scores, self.events, self.seconds, self.computing = {}, deque(maxlen=SHOWN_EVENTS), 0.0, 0.0

    def push(self, samples: np.ndarray):
        """Classify the windows that become complete with more samples [samples, channels]."""
        before = time.perf_counter()
        try:
            self._add(self.stream.push(samples))
        except ValueError as error:
            raise user_error(str(error)) from error
        self.seconds += len(samples) / self.sampling_rate
        self.computing = time.perf_counter() - before

    def end(self):
        """Classify the last windows, which are incomplete."""
        self._add(self.stream.flush())

    def _add(self, rows: list[dict]):
        for row in rows:
            self.events.extend(self.track(row))
            self.scores = {printable(item["label"]): item["score"] for item in row["scores"]}

    def status(self) -> str:
        hop, computing = self.stream.hop_length_s, self.computing
        return (
            f"Heard {self.seconds:.1f} s. Delay: up to **{CHUNK_SECONDS + hop + computing:.2f} s** ({CHUNK_SECONDS} s "
            f"until a sound is sent, {hop:.2f} s until the next window, {1000 * computing:.0f} ms to classify), plus "
            "the time of transmission."
        )


class Recordings:
    """The recordings in progress, one per visitor and at most `MAX_VISITORS`."""

    def __init__(self, models: Models):
        self.models = models
        self.running: dict[str, Recording] = {}  # by session, the oldest first

    def push(self, visitor: str, model: str, sampling_rate: int, samples: np.ndarray) -> Recording | None:
        """
        Add a chunk to a visitor's recording; with another model or sampling rate, it starts a new one.

        Returns `None` if all places are taken.
        """
        recording = self.running.get(visitor)
        if recording is None or (recording.model, recording.sampling_rate) != (model, sampling_rate):
            recording = Recording(model, self.models[model], sampling_rate)
            self.remove(visitor)
            if not self._make_room():
                return None
            self.running[visitor] = recording
        recording.push(samples)
        return recording

    def remove(self, visitor: str) -> Recording | None:
        return self.running.pop(visitor, None)

    def _make_room(self) -> bool:
        if len(self.running) == MAX_VISITORS:
            oldest = next(iter(self.running))
            if time.monotonic() - self.running[oldest].started < GUARANTEED_SECONDS:
                return False
            self.remove(oldest)
        return True


def live_tab(demo: gr.Blocks, models: Models):
    recordings = Recordings(models)
    gr.Markdown(INTRODUCTION)
    with gr.Row():
        with gr.Column():
            microphone = Microphone(sources=["microphone"], type="filepath", streaming=True, label="Microphone")
            model = models.dropdown()
            status = gr.Markdown(elem_id="live-status")
        with gr.Column():
            label = gr.Label(num_top_classes=TOP_LABELS, label="Now", show_heading=False, elem_id="live-label")
            events = gr.Dataframe(**EVENTS_TABLE, label="So far, the latest first", elem_id="live-events")
    outputs = [label, events, status]

    def show(recording: Recording):
        return recording.scores, events_table(reversed(recording.events)), recording.status()

    def start(request: gr.Request):
        recordings.remove(request.session_hash)
        return None, events_table([]), "Listening."

    def listen(path: str, model: str, request: gr.Request):
        """Add a chunk of audio to the visitor's recording: latest label probabilities, events, and delay."""
        recording = recordings.push(request.session_hash, model, *read_chunk(path))
        return (gr.skip(), gr.skip(), NO_ROOM) if recording is None else show(recording)

    def end(request: gr.Request):
        """End the visitor's recording: outputs as those of a chunk."""
        recording = recordings.remove(request.session_hash)
        if recording is None:
            return gr.skip(), gr.skip(), gr.skip()
        recording.end()
        return show(recording)

    def leave(request: gr.Request):
        recordings.remove(request.session_hash)

    queued = {**ONE_CHUNK_AT_A_TIME, "api_visibility": "undocumented"}
    # gradio 6.31 ignores `stream_every` in tabs that are not open when the page loads.
    set_length = f"() => ({{__type__: 'update', stream_every: {CHUNK_SECONDS}}})"
    microphone.start_recording(None, None, microphone, js=set_length, api_visibility="private")
    microphone.start_recording(start, None, outputs, api_name="live_start", **queued)
    microphone.stream(
        listen,
        [microphone, model],
        outputs,
        stream_every=CHUNK_SECONDS,
        trigger_mode="multiple",
        api_name="live",
        **queued,
    )
    microphone.stop_recording(end, None, outputs, api_name="live_end", **queued)
    demo.unload(leave)
