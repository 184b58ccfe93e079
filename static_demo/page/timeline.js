// Probabilities over time: a strip for each label.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 28;

/** Seconds as people write them: "2.7 s", "1:05". */
export function formatSeconds(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/**
 * Rows of a label and its strip, and an axis. `tracks` are { label, probabilities }, one probability for each of
 * `times`, the seconds at which the segments start; `end` is where the last one ends.
 */
export function drawTimeline(container, tracks, times, end) {
  const rows = tracks.flatMap(({ label, probabilities }) => [
    element("span", "track-label", label),
    strip(label, probabilities, times, end),
  ]);
  const axis = element("div", "axis");
  axis.append(...[0, end / 2, end].map((seconds) => element("span", "", formatSeconds(seconds))));
  container.replaceChildren(...rows, axis);
}

function strip(label, probabilities, times, end) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  const steps = probabilities.map((p, i) => `V${HEIGHT * (1 - p)}H${times[i + 1] ?? end}`);
  path.setAttribute("d", `M0 ${HEIGHT}${steps.join("")}V${HEIGHT}Z`);
  svg.setAttribute("viewBox", `0 0 ${end} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  const highest = probabilities.indexOf(Math.max(...probabilities));
  const percent = Math.round(100 * probabilities[highest]);
  svg.setAttribute("aria-label", `${label}: highest, ${percent} %, at ${formatSeconds(times[highest])}`);
  svg.append(path);
  return svg;
}

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}
