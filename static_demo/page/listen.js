// Live classification of the microphone.

import { capture } from "./audio.js";
import { EventDetector, KeywordDetector, spotsKeywords } from "./events.js";
import { WindowStream, windowSettings } from "./stream.js";

const RECENT = 3; // windows whose median time is the speed of the device

/**
 * Classify the microphone in overlapping windows, and find events in them: detections of a keyword spotter, times at
 * which the probability of a label reaches its threshold of another model.
 *
 * onWindow(window, events): { start, end, probabilities } of each window, and the events that it changed (events.js).
 * onSkip(count, speed): windows were skipped to stay live, as the device classifies `speed` windows per second.
 * onError(error): a window could not be classified.
 * onDisconnect(): the microphone was disconnected.
 *
 * Returns a function that releases the microphone and resolves to the events that its end changed.
 */
export async function listen(classifier, { onWindow, onSkip, onError, onDisconnect }) {
  const settings = windowSettings(classifier.settings);
  const hopSeconds = settings.hop_length / settings.sampling_rate;
  const stream = new WindowStream(settings);
  const detector = spotsKeywords(classifier) ? new KeywordDetector(classifier, hopSeconds) : new EventDetector(classifier);
  const waiting = []; // windows
  const durations = []; // seconds per window
  let working = Promise.resolve();

  async function classifyWaiting() {
    while (waiting.length > 0) {
      const seconds = durations.length < RECENT ? 0 : durations.toSorted((a, b) => a - b)[1];
      // A device that is fast enough catches up after an interruption.
      if (seconds > hopSeconds && waiting.length > 1) {
        onSkip(waiting.splice(0, waiting.length - 1).length, 1 / seconds);
      }
      const { samples, ...times } = waiting.shift();
      const started = performance.now();
      const [probabilities] = await classifier.classifySegments([samples]);
      durations.push((performance.now() - started) / 1000);
      if (durations.length > RECENT) durations.shift();
      const window = { ...times, probabilities };
      onWindow(window, detector.push(window));
    }
  }

  function enqueue(windows) {
    if (windows.length === 0) return;
    waiting.push(...windows);
    working = working.then(classifyWaiting).catch(onError);
  }

  const { stop } = await capture((block) => enqueue(stream.push(block)), {
    samplingRate: settings.sampling_rate,
    onDisconnect,
  });
  return async () => {
    await stop();
    enqueue(stream.flush());
    await working;
    return detector.flush();
  };
}
