// Overlapping windows of a stream, as in samplecnn_hf/streaming.py, with the settings of preprocessor_config.json.

import { cutSegment, fill, timelineSettings } from "./segments.js";

const HOP_SECONDS = 0.25;
const MAX_HOP_CHANGE = 0.02; // relative, by rounding

/** Settings of windows every `hopSeconds`, at most a segment, rounded as by `timeline_extractor`. */
export function windowSettings(settings, hopSeconds = HOP_SECONDS) {
  const { sampling_rate, segment_length, do_normalize } = settings;
  const samples = Math.min(hopSeconds * sampling_rate, segment_length);
  const hop_length = round(samples) < segment_length && !do_normalize ? roundHop(samples) : round(samples);
  return { ...timelineSettings(settings), hop_length: Math.min(hop_length, segment_length) };
}

/** The multiple of the largest power of 3 that is at most MAX_HOP_CHANGE away. */
function roundHop(samples) {
  let rounded = round(samples);
  for (let grid = 3; grid <= samples; grid *= 3) {
    const nearest = round(samples / grid) * grid;
    if (Math.abs(nearest - samples) <= MAX_HOP_CHANGE * samples) rounded = nearest;
  }
  return rounded;
}

/** Round half to even, as Python does. */
const round = (x) => (x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

/**
 * Cuts blocks of samples of any size into windows { start, end, samples }: seconds since the start of the stream, and
 * the samples as cutSegment returns them. `settings` are those of windowSettings.
 */
export class WindowStream {
  #settings;
  #buffer; // starts with the next window
  #filled = 0; // samples in the buffer
  #start = 0; // first sample of the next window

  constructor(settings) {
    this.#settings = settings;
    this.#buffer = new Float32Array(settings.segment_length);
  }

  /** Add a block (Float32Array). Returns the windows that became complete. */
  push(block) {
    const windows = [];
    while (block.length > 0) {
      const part = block.subarray(0, this.#buffer.length - this.#filled);
      block = block.subarray(part.length);
      this.#buffer.set(part, this.#filled);
      this.#filled += part.length;
      if (this.#filled === this.#buffer.length) {
        windows.push(this.#cut(this.#buffer));
        this.#buffer.copyWithin(0, this.#settings.hop_length);
        this.#filled -= this.#settings.hop_length;
        this.#start += this.#settings.hop_length;
      }
    }
    return windows;
  }

  /** End the stream. Returns its last window, filled or padded as in a file, if there is one. */
  flush() {
    const { segment_length, hop_length } = this.#settings;
    const rest = this.#buffer.subarray(0, this.#filled);
    if (this.#start === 0 && rest.length > 0) return [this.#cut(fill(rest, this.#settings))];
    return rest.length > segment_length - hop_length ? [this.#cut(rest)] : [];
  }

  #cut(samples) {
    const { sampling_rate } = this.#settings;
    return {
      start: this.#start / sampling_rate,
      end: (this.#start + this.#filled) / sampling_rate,
      samples: cutSegment(samples, 0, this.#settings),
    };
  }
}
