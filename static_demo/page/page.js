// The page: audio input and results.

import { AudioError, MAX_SECONDS, decode, record } from "./audio.js";
import { drawTimeline, formatSeconds } from "./timeline.js";

const TOP_LABELS = 5;

const $ = (id) => document.getElementById(id);
const loading = load();
let work = new AbortController(); // aborts the classification when there is new audio
let openingMicrophone = false;
let stopRecording = null;

async function load() {
  if (typeof WebAssembly !== "object") throw new AudioError("This browser does not support WebAssembly, which runs the model: please use another browser.");
  const { loadClassifier } = await import("./classifier.js");
  const classifier = await loadClassifier();
  const { sampling_rate, segment_length } = classifier.settings;
  const seconds = formatSeconds(segment_length / sampling_rate);
  $("about").textContent = `SampleCNN: ${classifier.labels.length} labels, raw waveform, segments of ${seconds}`;
  return classifier;
}

/** Classify a file or a recording; errors are shown on the page. */
async function classify(file) {
  work.abort();
  work = new AbortController();
  const { signal } = work;
  $("error").textContent = "";
  $("results").hidden = true;
  try {
    setStatus("Loading the model…");
    const classifier = await loading;
    signal.throwIfAborted();
    setStatus("Decoding the audio…");
    const waveform = await decode(file, classifier.settings.sampling_rate);
    signal.throwIfAborted();
    const onProgress = (progress) => setStatus("Classifying…", { progress });
    const prediction = await classifier.classify(waveform, { signal, onProgress });
    show(file.name, waveform.length, prediction, classifier);
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
    error instanceof AudioError ? error.message : `Unexpected error: ${error.message}`;
}

function show(name, numSamples, { clip, segments, starts }, { labels, settings }) {
  const { sampling_rate, segment_length } = settings;
  const order = clip.map((_, i) => i).sort((a, b) => clip[b] - clip[a]);
  const top = order.slice(0, TOP_LABELS);

  const seconds = numSamples / sampling_rate;
  const classifiedSeconds = Math.min(seconds, (starts.at(-1) + segment_length) / sampling_rate);
  $("clip").textContent = name;
  const cut = classifiedSeconds < seconds - 0.05 ? `, first ${formatSeconds(classifiedSeconds)} classified` : "";
  $("length").textContent = formatSeconds(seconds) + cut;
  $("labels").replaceChildren(...top.map((i) => bar(labels[i], clip[i])));

  $("over-time").hidden = segments.length === 1;
  const tracks = top.map((i) => ({ label: labels[i], probabilities: segments.map((p) => p[i]) }));
  drawTimeline($("timeline"), tracks, starts.map((start) => start / sampling_rate), classifiedSeconds);
  $("results").hidden = false;
  setStatus(`${name}: ${labels[top[0]]}, ${percent(clip[top[0]])}`, { visuallyHidden: true }); // for screen readers
}

function bar(label, probability) {
  const item = $("bar").content.firstElementChild.cloneNode(true);
  item.querySelector(".label").textContent = label;
  item.querySelector(".percent").textContent = percent(probability);
  item.querySelector(".fill").style.width = `${100 * probability}%`;
  item.dataset.probability = probability;
  return item;
}

const percent = (probability) => `${(100 * probability).toFixed(1)} %`;

async function toggleRecording() {
  if (openingMicrophone) return;
  if (stopRecording) return finishRecording();
  openingMicrophone = true;
  work.abort();
  setStatus("");
  $("error").textContent = "";
  try {
    stopRecording = withClock(await record());
    $("record").textContent = "Stop";
  } catch (error) {
    showError(error);
  } finally {
    openingMicrophone = false;
  }
}

function finishRecording() {
  const stop = stopRecording;
  stopRecording = null;
  $("record").textContent = "Record";
  return stop().then(classify, showError);
}

/** Show the length of the recording until `stop` is called, at the latest after MAX_SECONDS. */
function withClock(stop) {
  const start = performance.now();
  setStatus("Recording…");
  const clock = setInterval(() => {
    const seconds = (performance.now() - start) / 1000;
    $("clock").textContent = formatSeconds(seconds);
    if (seconds > MAX_SECONDS - 1) finishRecording();
  }, 100);
  return () => {
    clearInterval(clock);
    $("clock").textContent = "";
    return stop();
  };
}

$("record").addEventListener("click", toggleRecording);
$("file").addEventListener("change", ({ target }) => {
  if (target.files.length) classify(target.files[0]);
  target.value = ""; // choosing the same file again fires another event
});

for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault(); // the browser would open the file instead
    const leaves = type === "drop" || (type === "dragleave" && !event.relatedTarget);
    $("audio").classList.toggle("dragging", !leaves);
    if (type === "drop" && event.dataTransfer.files.length) classify(event.dataTransfer.files[0]);
  });
}

loading.catch(showError);
