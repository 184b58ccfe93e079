// The page: takes sound, shows what the network hears in it.

import { AudioError, MAX_SECONDS, decode, record } from "./audio.js";
import { drawTimeline, formatSeconds } from "./timeline.js";

const SHOWN = 5; // labels

const $ = (id) => document.getElementById(id);
const loading = load();
let work = new AbortController(); // what is being classified; new sound takes its place
let asking = false; // for the microphone
let stopRecording = null;

async function load() {
  if (typeof WebAssembly !== "object") throw new AudioError("This browser has no WebAssembly to run the network.");
  const { loadClassifier } = await import("./classifier.js");
  const classifier = await loadClassifier();
  const { sampling_rate, segment_length } = classifier.settings;
  const seconds = formatSeconds(segment_length / sampling_rate);
  $("about").textContent = `SampleCNN: ${classifier.labels.length} labels, from the raw waveform, ${seconds} at a time`;
  return classifier;
}

/** Classify a file, or what a recording leaves; whatever goes wrong is told on the page. */
async function listenTo(file) {
  work.abort();
  work = new AbortController();
  const { signal } = work;
  $("error").textContent = "";
  $("results").hidden = true;
  try {
    say("Loading the network…");
    const classifier = await loading;
    signal.throwIfAborted();
    say("Reading the sound…");
    const waveform = await decode(file, classifier.settings.sampling_rate);
    signal.throwIfAborted();
    const onProgress = (progress) => say("Listening…", { progress });
    const answer = await classifier.classify(waveform, { signal, onProgress });
    show(file.name, waveform.length, answer, classifier);
  } catch (error) {
    if (!signal.aborted) tell(error);
  }
}

function say(status, { progress = null, unseen = false } = {}) {
  if ($("status").textContent !== status) $("status").textContent = status; // said once
  $("status").classList.toggle("unseen", unseen);
  $("progress").hidden = progress === null;
  $("progress").value = progress ?? 0;
}

function tell(error) {
  say("");
  if (!(error instanceof AudioError)) console.error(error);
  $("error").textContent =
    error instanceof AudioError ? error.message : `Something went wrong in this browser (${error.message}).`;
}

function show(name, numSamples, { clip, segments, starts }, { labels, settings }) {
  const { sampling_rate, segment_length } = settings;
  const order = clip.map((_, i) => i).sort((a, b) => clip[b] - clip[a]);
  const top = order.slice(0, SHOWN);

  const seconds = numSamples / sampling_rate;
  const heard = Math.min(seconds, (starts.at(-1) + segment_length) / sampling_rate);
  $("clip").textContent = name;
  const cut = heard < seconds - 0.05 ? `, of which the network hears the first ${formatSeconds(heard)}` : "";
  $("length").textContent = formatSeconds(seconds) + cut;
  $("labels").replaceChildren(...top.map((i) => bar(labels[i], clip[i])));

  $("over-time").hidden = segments.length === 1;
  const tracks = top.map((i) => ({ label: labels[i], probabilities: segments.map((p) => p[i]) }));
  drawTimeline($("timeline"), tracks, starts.map((start) => start / sampling_rate), heard);
  $("results").hidden = false;
  say(`${name}: ${labels[top[0]]}, ${percent(clip[top[0]])}`, { unseen: true }); // it is on the page anyway
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
  if (asking) return;
  if (stopRecording) return finishRecording();
  asking = true;
  work.abort();
  say("");
  $("error").textContent = "";
  try {
    stopRecording = clockAround(await record());
    $("record").textContent = "Stop";
  } catch (error) {
    tell(error);
  } finally {
    asking = false;
  }
}

function finishRecording() {
  const stop = stopRecording;
  stopRecording = null;
  $("record").textContent = "Record";
  return stop().then(listenTo, tell);
}

/** Shows how long a recording has been going on, and ends it at the limit. */
function clockAround(stop) {
  const start = performance.now();
  say("Recording…");
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
  if (target.files.length) listenTo(target.files[0]);
  target.value = ""; // so that the same file can be chosen again
});

for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault(); // or the browser would open the file in place of the page
    const leaves = type === "drop" || (type === "dragleave" && !event.relatedTarget);
    $("sound").classList.toggle("dragging", !leaves);
    if (type === "drop" && event.dataTransfer.files.length) listenTo(event.dataTransfer.files[0]);
  });
}

loading.catch(tell);
