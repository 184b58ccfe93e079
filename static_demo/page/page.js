// The page: files, the microphone and the status of the work.

import { AudioError, MAX_SECONDS, decode, record } from "./audio.js";
import { $ } from "./dom.js";
import { listen } from "./listen.js";
import { LiveResults, showClip } from "./results.js";
import { formatSeconds } from "./timeline.js";

const loading = load();
let work = new AbortController(); // aborts the classification when there is new audio
let openingMicrophone = false;
let stopMicrophone = null; // while recording or listening; resolves to the recording, if there is one

async function load() {
  $("about").textContent = "Loading the model…";
  if (typeof WebAssembly !== "object") throw new AudioError("This browser does not support WebAssembly, which runs the model: please use another browser.");
  const classifier = await loadModel();
  const { sampling_rate, segment_length } = classifier.settings;
  const seconds = formatSeconds(segment_length / sampling_rate);
  $("about").textContent = `SampleCNN: ${classifier.labels.length} labels, raw waveform, segments of ${seconds}`;
  return classifier;
}

async function loadModel() {
  try {
    const { loadClassifier } = await import("./classifier.js");
    return await loadClassifier();
  } catch (error) {
    console.error(error);
    throw new AudioError("The model could not be loaded: please check the connection and reload the page.");
  }
}

/** Abort the previous work. Returns the signal that aborts the new one. */
function startWork() {
  work.abort();
  work = new AbortController();
  $("error").textContent = "";
  $("skipped").textContent = "";
  setStatus("");
  return work.signal;
}

/** Classify a file or a recording; errors are shown on the page. */
async function classify(file) {
  const signal = startWork();
  $("results").hidden = true;
  try {
    await stopMicrophone?.();
    signal.throwIfAborted();
    setStatus("Loading the model…");
    const classifier = await loading;
    signal.throwIfAborted();
    setStatus("Decoding the audio…");
    const waveform = await decode(file, classifier.settings.sampling_rate);
    signal.throwIfAborted();
    const onProgress = (progress) => setStatus("Classifying…", { progress });
    const prediction = await classifier.classify(waveform, { signal, onProgress });
    const summary = showClip(file.name, prediction, classifier);
    setStatus(summary, { visuallyHidden: true }); // for screen readers
  } catch (error) {
    if (!signal.aborted) showError(error);
  }
}

function setStatus(status, { progress = null, visuallyHidden = false } = {}) {
  if ($("status").textContent !== status) $("status").textContent = status; // announced once by screen readers
  $("status").classList.toggle("visually-hidden", visuallyHidden);
  $("progress").hidden = progress === null;
  $("progress").value = progress ?? 0;
}

function showError(error) {
  setStatus("");
  if (!(error instanceof AudioError)) console.error(error);
  $("error").textContent =
    error instanceof AudioError ? error.message : `Unexpected error: ${error.message}. Please reload the page.`;
}

/**
 * Use the microphone, or stop. `open(signal)` opens it and returns { begin, stop }: begin() shows what is done, stop()
 * releases the microphone and resolves to the recording, if there is one.
 */
async function toggleMicrophone(button, open) {
  if (openingMicrophone) return;
  if (stopMicrophone) return finishMicrophone();
  openingMicrophone = true;
  const signal = startWork();
  setStatus("Opening the microphone…");
  try {
    const { begin, stop } = await open(signal);
    if (signal.aborted) return await stop(); // a file was chosen in the meantime
    begin();
    const release = showUse(button, stop);
    stopMicrophone = () => {
      stopMicrophone = null;
      return release().catch(showError);
    };
  } catch (error) {
    if (!signal.aborted) showError(error);
  } finally {
    openingMicrophone = false;
  }
}

async function finishMicrophone() {
  const recording = await stopMicrophone?.();
  if (recording) await classify(recording);
}

async function microphoneDisconnected() {
  await finishMicrophone();
  showError(new AudioError("The microphone was disconnected: please connect it and try again."));
}

/** Show that the microphone is used, and for how long. Returns a function that ends this and calls `stop`. */
function showUse(button, stop) {
  const name = button.textContent;
  const other = button === $("record") ? $("listen") : $("record");
  const start = performance.now();
  const clock = setInterval(() => ($("clock").textContent = formatSeconds((performance.now() - start) / 1000)), 100);
  button.textContent = "Stop";
  other.disabled = true;
  $("file").disabled = button === $("record"); // a file would end the recording, which is not classified yet
  return () => {
    clearInterval(clock);
    $("clock").textContent = "";
    button.textContent = name;
    other.disabled = $("file").disabled = false;
    return stop();
  };
}

async function openRecorder() {
  const stop = await record({ onDisconnect: microphoneDisconnected });
  const timeout = setTimeout(finishMicrophone, 1000 * (MAX_SECONDS - 1));
  return {
    begin: () => setStatus("Recording…"),
    stop() {
      clearTimeout(timeout);
      return stop();
    },
  };
}

async function openListener(signal) {
  setStatus("Loading the model…");
  const classifier = await loading;
  signal.throwIfAborted();
  setStatus("Opening the microphone…");
  let results; // before the first window, there is begin()
  let skipped = 0;
  const stop = await listen(classifier, {
    onWindow: (window, events) => signal.aborted || results.show(window, events),
    onSkip(count, speed) {
      if (signal.aborted) return;
      skipped += count;
      $("skipped").textContent = `This device classifies ${speed.toFixed(1)} windows per second; ${skipped} skipped.`;
    },
    onError(error) {
      if (signal.aborted) return;
      stopMicrophone?.();
      showError(error);
    },
    onDisconnect: microphoneDisconnected,
  });
  return {
    begin() {
      results = new LiveResults(classifier);
      setStatus("Listening…");
    },
    async stop() {
      const events = await stop();
      if (!signal.aborted) setStatus(results.finish(events), { visuallyHidden: true });
    },
  };
}

$("record").addEventListener("click", ({ target }) => toggleMicrophone(target, openRecorder));
$("listen").addEventListener("click", ({ target }) => toggleMicrophone(target, openListener));
$("file").addEventListener("change", ({ target }) => {
  if (target.files.length) classify(target.files[0]);
  target.value = ""; // choosing the same file again fires another event
});

for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault(); // the browser would open the file instead
    const leaves = type === "drop" || (type === "dragleave" && !event.relatedTarget);
    $("audio").classList.toggle("dragging", !leaves);
    if (type === "drop" && event.dataTransfer.files.length && !$("file").disabled) classify(event.dataTransfer.files[0]);
  });
}

loading.catch((error) => {
  $("about").textContent = "";
  showError(error);
});
