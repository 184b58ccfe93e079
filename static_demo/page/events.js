// Events in the probabilities of successive windows { start, end, probabilities } (times in seconds).
// An event is { label, start, end, score }; the score is the highest of its windows.

const NO_KEYWORD = ["_silence_", "_unknown_"]; // labels that are never detected
const REFRACTORY_SECONDS = 1;
const DEFAULT_THRESHOLD = 0.5; // of models without tuned thresholds
const MIN_GAP_SECONDS = 0.5; // between two events of a label (`minimum_event_gap_s`)

export const keywords = (labels) => labels.filter((label) => !NO_KEYWORD.includes(label));

/** Whether the model is a spotter of keywords. */
export const spotsKeywords = ({ labels, thresholds }) => thresholds !== null && keywords(labels).length < labels.length;

/** A threshold of 1 is never reached. */
const reaches = (score, threshold) => score >= threshold && threshold < 1;

/**
 * Limits in seconds of the time that each of successive windows { start, end } stands for: it is closer to the center of
 * the window than to that of another. The last window may be shorter than the others.
 */
export function windowEdges(windows) {
  const seconds = windows[0].end - windows[0].start;
  const middles = windows.slice(1).map(({ start }, i) => middle(windows[i].start, start, seconds));
  return [windows[0].start, ...middles, windows.at(-1).end];
}

/** The time between the centers of two windows. */
const middle = (start, nextStart, seconds) => (start + nextStart + seconds) / 2;

/** Finds the times at which a label reaches its threshold, as `find_events` in events_samplecnn.py. */
export class EventDetector {
  #labels;
  #thresholds;
  #latest; // event per label
  #previous = null; // window
  #seconds = 0; // length of the first window

  constructor({ labels, thresholds }) {
    this.#labels = labels;
    this.#thresholds = thresholds ?? labels.map(() => DEFAULT_THRESHOLD);
    this.#latest = labels.map(() => null);
  }

  /** Add a window. Returns the events that last, whose `end` is null, and those that ended. */
  push(window) {
    if (this.#previous === null) this.#seconds = window.end - window.start;
    const previous = this.#previous;
    const edge = previous === null ? window.start : middle(previous.start, window.start, this.#seconds);
    this.#previous = window;
    return window.probabilities.flatMap((score, label) => {
      const reached = reaches(score, this.#thresholds[label]);
      const event = this.#latest[label];
      if (!reached) return this.#end(event, edge);
      const lasts = event !== null && (event.end === null || edge - event.end < MIN_GAP_SECONDS);
      if (!lasts) this.#latest[label] = { label: this.#labels[label], start: edge, score };
      return Object.assign(this.#latest[label], { end: null, score: Math.max(this.#latest[label].score, score) });
    });
  }

  /** End the stream. Returns the events that lasted until then. */
  flush() {
    return this.#latest.flatMap((event) => this.#end(event, this.#previous?.end));
  }

  #end(event, end) {
    return event?.end === null ? [Object.assign(event, { end })] : [];
  }
}

/** Detects keywords, as `KeywordDetector` in keywords.py. The event is the window. */
export class KeywordDetector {
  #keywords; // { label, threshold, index }
  #pause; // seconds between the starts of a window with a detection and the next one that may have one
  #nextStart = 0;

  constructor({ labels, thresholds }, hopSeconds) {
    const all = labels.map((label, index) => ({ label, threshold: thresholds[index], index }));
    this.#keywords = all.filter(({ label }) => !NO_KEYWORD.includes(label));
    this.#pause = (Math.round(REFRACTORY_SECONDS / hopSeconds) - 0.5) * hopSeconds; // half a hop against rounding errors
  }

  /** Add a window. Returns the detected keyword, if any. */
  push({ start, end, probabilities }) {
    const best = this.#keywords.reduce((a, b) => (probabilities[b.index] > probabilities[a.index] ? b : a));
    const score = probabilities[best.index];
    if (start < this.#nextStart || !reaches(score, best.threshold)) return [];
    this.#nextStart = start + this.#pause;
    return [{ label: best.label, start, end, score }];
  }

  flush() {
    return [];
  }
}
