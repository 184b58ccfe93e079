// The network: model.onnx, run by onnxruntime-web.

import * as ort from "./onnxruntime/ort.wasm.bundle.min.mjs";
import { cutSegment, fill, segmentStarts } from "./segments.js";

const SEGMENTS_AT_A_TIME = 2; // bounds the memory of long sound
const UNNAMED = { 0: "LABEL_0", 1: "LABEL_1" }; // the only labels that transformers leaves out of config.json

ort.env.wasm.numThreads = 1; // more need HTTP headers that few servers send
ort.env.wasm.proxy = true; // in a worker, so that the page stays alive

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
    this.labels = Object.values(config.id2label ?? UNNAMED); // in the order of their numbers
    this.settings = settings;
    this.#session = session;
    this.#probabilities = config.problem_type === "multi_label_classification" ? sigmoid : softmax;
  }

  /**
   * The probabilities of a waveform (Float32Array, mono, at settings.sampling_rate): `clip`, one a label, the mean of
   * `segments`, one such array for each of `starts` (samples). `onProgress` gets the part that is done, 0 to 1.
   */
  async classify(waveform, { signal, onProgress }) {
    const filled = fill(waveform, this.settings);
    const starts = segmentStarts(filled.length, this.settings);
    const segments = [];
    while (segments.length < starts.length) {
      onProgress(segments.length / starts.length);
      const batch = starts.slice(segments.length, segments.length + SEGMENTS_AT_A_TIME);
      segments.push(...(await this.#run(filled, batch)));
      signal.throwIfAborted();
    }
    const clip = this.labels.map((_, label) => segments.reduce((sum, p) => sum + p[label], 0) / segments.length);
    return { clip, segments, starts };
  }

  async #run(waveform, starts) {
    const { segment_length } = this.settings;
    const input = new Float32Array(starts.length * segment_length);
    starts.forEach((start, i) => input.set(cutSegment(waveform, start, this.settings), i * segment_length));
    const { segment_logits } = await this.#session.run({
      input_values: new ort.Tensor("float32", input, [1, starts.length, segment_length]),
    });
    const count = this.labels.length;
    return starts.map((_, i) => this.#probabilities([...segment_logits.data.subarray(i * count, (i + 1) * count)]));
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
