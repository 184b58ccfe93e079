// Runs model.onnx with onnxruntime-web.

import * as ort from "./onnxruntime/ort.wasm.bundle.min.mjs";
import { cutSegment, fill, segmentStarts } from "./segments.js";

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
   * Classify a waveform (Float32Array, mono, at settings.sampling_rate). Returns the probability of each label for
   * each segment (`segments`), their mean (`clip`), and the first sample of each segment (`starts`). `onProgress` is
   * called with the fraction of segments done.
   */
  async classify(waveform, { signal, onProgress }) {
    const filled = fill(waveform, this.settings);
    const starts = segmentStarts(filled.length, this.settings);
    const segments = [];
    while (segments.length < starts.length) {
      onProgress(segments.length / starts.length);
      const batch = starts.slice(segments.length, segments.length + BATCH_SIZE);
      segments.push(...(await this.classifySegments(batch.map((start) => cutSegment(filled, start, this.settings)))));
      signal.throwIfAborted();
    }
    const clip = this.labels.map((_, label) => segments.reduce((sum, p) => sum + p[label], 0) / segments.length);
    return { clip, segments, starts };
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

function sigmoid(logits) {
  return logits.map((x) => 1 / (1 + Math.exp(-x)));
}

function softmax(logits) {
  const largest = Math.max(...logits);
  const exponentials = logits.map((x) => Math.exp(x - largest));
  const sum = exponentials.reduce((a, b) => a + b);
  return exponentials.map((x) => x / sum);
}
