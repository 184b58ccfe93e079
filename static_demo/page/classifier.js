// Runs model.onnx with onnxruntime-web.

import * as ort from "./onnxruntime/ort.wasm.bundle.min.mjs";
import { cutSegment, fill, segmentStarts, timelineSettings } from "./segments.js";

const BATCH_SIZE = 2; // segments; limits the memory for long clips
const DEFAULT_LABELS = { 0: "LABEL_0", 1: "LABEL_1" }; // transformers omits these from config.json

ort.env.wasm.numThreads = 1; // more threads require cross-origin isolation (COOP and COEP headers)
ort.env.wasm.proxy = true; // run in a worker, so that the page stays responsive

export async function loadClassifier() {
  const [config, settings, session] = await Promise.all([
    fetchJson("config.json"),
    fetchJson("preprocessor_config.json"),
    ort.InferenceSession.create("model.onnx", { executionProviders: ["wasm"] }),
  ]);
  return new Classifier(config, settings, session);
}

async function fetchJson(name) {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}`);
  return response.json();
}

class Classifier {
  #session;
  #probabilities;

  constructor(config, settings, session) {
    this.labels = Object.values(config.id2label ?? DEFAULT_LABELS); // integer keys are in ascending order
    this.thresholds = config.thresholds ?? null; // per label
    this.settings = settings;
    this.#session = session;
    this.#probabilities = config.problem_type === "multi_label_classification" ? sigmoid : softmax;
  }

  /**
   * Classify a waveform (Float32Array, mono, at settings.sampling_rate). Returns the probability of each label in the
   * clip, the mean of its segments (`clip`), and in the windows { start, end, probabilities } of its timeline
   * (`windows`; times in seconds). `onProgress` is called with the fraction done.
   */
  async classify(waveform, { signal, onProgress }) {
    const { sampling_rate, segment_length } = this.settings;
    const clip = new Segments(waveform, this.settings);
    const timeline = new Segments(waveform, timelineSettings(this.settings));
    const isShared = clip.length === timeline.length; // otherwise a short clip was stretched to `max_segments`
    const total = timeline.starts.length + (isShared ? 0 : clip.starts.length);
    const classifyAll = async (segments, done) => {
      const probabilities = [];
      while (probabilities.length < segments.starts.length) {
        onProgress((done + probabilities.length) / total);
        probabilities.push(...(await this.classifySegments(segments.cut(probabilities.length, BATCH_SIZE))));
        signal.throwIfAborted();
      }
      return probabilities;
    };
    const inTimeline = await classifyAll(timeline, 0);
    const inClip = isShared ? inTimeline.slice(0, clip.starts.length) : await classifyAll(clip, inTimeline.length);
    return {
      clip: this.labels.map((_, label) => inClip.reduce((sum, p) => sum + p[label], 0) / inClip.length),
      windows: inTimeline.map((probabilities, i) => ({
        start: timeline.starts[i] / sampling_rate,
        end: Math.min(timeline.starts[i] + segment_length, waveform.length) / sampling_rate,
        probabilities,
      })),
    };
  }

  /** Probabilities of the labels for each of some segments, as `cutSegment` returns them. */
  async classifySegments(segments) {
    const { segment_length } = this.settings;
    const input = new Float32Array(segments.length * segment_length);
    segments.forEach((segment, i) => input.set(segment, i * segment_length));
    const { segment_logits } = await this.#session.run({
      input_values: new ort.Tensor("float32", input, [1, segments.length, segment_length]),
      attention_mask: new ort.Tensor("int64", new BigInt64Array(segments.length).fill(1n), [1, segments.length]),
    });
    const count = this.labels.length;
    return segments.map((_, i) => this.#probabilities([...segment_logits.data.subarray(i * count, (i + 1) * count)]));
  }
}

/** The segments of a waveform; `length` is that of the waveform after `fill`. */
class Segments {
  #samples;
  #settings;

  constructor(waveform, settings) {
    this.#samples = fill(waveform, settings);
    this.#settings = settings;
    this.length = this.#samples.length;
    this.starts = segmentStarts(this.length, settings);
  }

  cut(first, count) {
    return this.starts.slice(first, first + count).map((start) => cutSegment(this.#samples, start, this.#settings));
  }
}

function sigmoid(logits) {
  return logits.map((x) => 1 / (1 + Math.exp(-x)));
}

function softmax(logits) {
  const largest = Math.max(...logits);
  const exponentials = logits.map((x) => Math.exp(x - largest));
  const sum = exponentials.reduce((a, b) => a + b);
  return exponentials.map((x) => x / sum);
}
