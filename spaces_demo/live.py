"""The tab that listens to the microphone: the current labels, and the events or spoken words so far."""

import time
from collections import deque
from threading import Lock

import gradio as gr
import numpy as np

from audio import Microphone, read_chunk, user_error
from models import EVENTS_TABLE, Classifier, Models, by_label, events_table
from samplecnn_hf import SampleCNNStream
from samplecnn_hf.keywords import HOP_SECONDS
from samplecnn_hf.streaming import create_detector

CHUNK_SECONDS = 0.5
MAX_VISITORS = 4
IDLE_SECONDS = 15  # without a chunk, after which a visitor's place is free
GUARANTEED_SECONDS = 120  # afterwards, a recording gives way to a new visitor if all places are taken
REMEMBERED = 64  # visitors whose recording gave way, and whose page may go on sending
SHOWN_EVENTS = 8
SHOWN_LABELS = 3  # of the latest window; leaves room for the events on a phone
# A chunk takes milliseconds, so it does not wait for the clips of the other tabs, which may take a minute.
ONE_CHUNK_AT_A_TIME = {"concurrency_id": "live", "concurrency_limit": 1, "show_progress": "hidden"}

NO_ROOM = f"All {MAX_VISITORS} places are in use: press Stop and try again in two minutes."
GAVE_WAY = "Your recording was stopped for another visitor: press Stop, then record again."

INTRODUCTION = (
    "Press **Record** and speak or play sounds. A model with tuned thresholds for spoken words lists each word once; "
    "other models list the times at which the probability of a label reaches its threshold."
)


class Recording:
    """A visitor's recording in progress, in constant memory."""

    def __init__(self, model: str, classifier: Classifier, sampling_rate: int):
        self.model, self.sampling_rate = model, sampling_rate
        self.started = self.last_chunk = time.monotonic()
        hop_length_s = min(HOP_SECONDS, classifier.hop_length_s)
        try:
            self.stream = SampleCNNStream(classifier.model, classifier.extractor, hop_length_s, sampling_rate)
        except ValueError as error:
            raise user_error(str(error)) from error
        self.detect = create_detector(classifier.model.config, self.stream.hop_length_s)
        self.scores, self.events, self.seconds, self.computing = {}, deque(maxlen=SHOWN_EVENTS), 0.0, 0.0

    def push(self, samples: np.ndarray):
        """Classify the windows that become complete with more samples [samples, channels]."""
        self.last_chunk, before = time.monotonic(), time.perf_counter()
        try:
            self._add(self.stream.push(samples))
        except ValueError as error:
            raise user_error(str(error)) from error
        self.seconds += len(samples) / self.sampling_rate
        self.computing = time.perf_counter() - before

    def end(self):
        """Classify the last windows, which are incomplete."""
        self._add(self.stream.flush())
        self.detect.finish()

    def _add(self, rows: list[dict]):
        for row in rows:
            self.events.extend(self.detect(row))
            self.scores = by_label(row["scores"])

    def status(self) -> str:
        hop, computing = self.stream.hop_length_s, self.computing
        return (
            f"Received {self.seconds:.1f} s. Delay: about **{CHUNK_SECONDS + hop + computing:.2f} s** "
            f"({CHUNK_SECONDS} + {hop:.2f} s until a window is complete, {1000 * computing:.0f} ms to classify), "
            "plus transmission and waiting."
        )


class NoPlaceError(Exception):
    """A visitor's chunk is not classified; the message says what to do."""


class Recordings:
    """The recordings in progress, one per visitor and at most `MAX_VISITORS`."""

    def __init__(self, models: Models):
        self.models = models
        self.running: dict[str, Recording] = {}  # by session, the oldest first
        self.gave_way: deque[str] = deque(maxlen=REMEMBERED)  # their next chunks must not displace others
        self.lock = Lock()  # visitors leave while chunks are classified

    def push(self, visitor: str, model: str, sampling_rate: int, samples: np.ndarray) -> Recording:
        """
        Add a chunk to a visitor's recording; with another model or sampling rate, it starts a new one.

        Raises:
            NoPlaceError: all places are taken, or the recording gave way to that of another visitor.
        """
        with self.lock:
            if visitor in self.gave_way:
                raise NoPlaceError(GAVE_WAY)
            recording = self.running.get(visitor)
            if recording is None or (recording.model, recording.sampling_rate) != (model, sampling_rate):
                recording = Recording(model, self.models[model], sampling_rate)
                self.running.pop(visitor, None)
                self._make_room()
                self.running[visitor] = recording
        recording.push(samples)
        return recording

    def remove(self, visitor: str) -> Recording | None:
        """Remove a visitor's recording, if there is one; the next chunk may start a new one."""
        with self.lock:
            if visitor in self.gave_way:
                self.gave_way.remove(visitor)
            return self.running.pop(visitor, None)

    def _make_room(self):
        """Free the place of an idle visitor or of the oldest recording. Raises `NoPlaceError` if none may be freed."""
        if len(self.running) < MAX_VISITORS:
            return
        now = time.monotonic()
        idle = (visitor for visitor, each in self.running.items() if now - each.last_chunk > IDLE_SECONDS)
        leaving = next(idle, next(iter(self.running)))
        recording = self.running[leaving]
        if now - recording.last_chunk <= IDLE_SECONDS and now - recording.started < GUARANTEED_SECONDS:
            raise NoPlaceError(NO_ROOM)
        del self.running[leaving]
        self.gave_way.append(leaving)


class Endpoints:
    """What the page calls. The outputs are the label probabilities of the latest window, events, and status."""

    def __init__(self, models: Models):
        self.recordings = Recordings(models)

    def start(self, request: gr.Request):
        self.recordings.remove(request.session_hash)
        return None, events_table([]), "Listening."

    def listen(self, path: str, model: str, request: gr.Request):
        """Add a chunk of audio to the visitor's recording: latest label probabilities, events, and delay."""
        try:
            recording = self.recordings.push(request.session_hash, model, *read_chunk(path))
        except NoPlaceError as error:
            return gr.skip(), gr.skip(), str(error)
        return recording.scores, events_table(reversed(recording.events)), recording.status()

    def end(self, request: gr.Request):
        """End the visitor's recording: no label, its events, and its length."""
        recording = self.recordings.remove(request.session_hash)
        if recording is None:
            return gr.skip(), gr.skip(), gr.skip()
        recording.end()
        return None, events_table(reversed(recording.events)), f"Stopped after {recording.seconds:.1f} s."

    def leave(self, request: gr.Request):
        self.recordings.remove(request.session_hash)


def live_tab(demo: gr.Blocks, models: Models):
    gr.Markdown(INTRODUCTION)
    with gr.Row():
        with gr.Column():
            microphone = Microphone(sources=["microphone"], type="filepath", streaming=True, label="Microphone")
            model = models.dropdown()
            status = gr.Markdown(elem_id="live-status")
        with gr.Column():
            events = gr.Dataframe(**EVENTS_TABLE, label="Events so far, newest first", elem_id="live-events")
            label = gr.Label(num_top_classes=SHOWN_LABELS, label="Now", show_heading=False, elem_id="live-label")
    endpoints, outputs = Endpoints(models), [label, events, status]
    queued = {**ONE_CHUNK_AT_A_TIME, "api_visibility": "undocumented"}
    # gradio 6.31 ignores `stream_every` in tabs that are not open when the page loads.
    set_length = f"() => ({{__type__: 'update', stream_every: {CHUNK_SECONDS}}})"
    microphone.start_recording(None, None, microphone, js=set_length, api_visibility="private")
    microphone.start_recording(endpoints.start, None, outputs, api_name="live_start", **queued)
    microphone.stream(
        endpoints.listen,
        [microphone, model],
        outputs,
        stream_every=CHUNK_SECONDS,
        trigger_mode="multiple",
        api_name="live",
        **queued,
    )
    microphone.stop_recording(endpoints.end, None, outputs, api_name="live_end", **queued)
    demo.unload(endpoints.leave)
