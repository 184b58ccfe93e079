// Probabilities over time: one row per label.

import { element } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 28;

/** Format seconds: "2.7 s", "1:05". */
export function formatSeconds(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/**
 * Draw one row per track and a time axis. `tracks`: { label, probabilities }, one probability per window; `edges`: limits
 * in seconds of the time that each window stands for (windowEdges).
 */
export function drawTimeline(container, tracks, edges) {
  const rows = tracks.flatMap(({ label, probabilities }) => [
    element("span", "track-label", label),
    plotTrack(label, probabilities, edges),
  ]);
  const axis = element("div", "axis");
  const end = edges.at(-1);
  axis.append(...[0, end / 2, end].map((seconds) => element("span", "", formatSeconds(seconds))));
  container.replaceChildren(...rows, axis);
}

function plotTrack(label, probabilities, edges) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  const steps = probabilities.map((p, i) => `V${HEIGHT * (1 - p)}H${edges[i + 1]}`);
  path.setAttribute("d", `M0 ${HEIGHT}${steps.join("")}V${HEIGHT}Z`);
  svg.setAttribute("viewBox", `0 0 ${edges.at(-1)} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  const highest = probabilities.indexOf(Math.max(...probabilities));
  const percent = Math.round(100 * probabilities[highest]);
  svg.setAttribute("aria-label", `${label}: maximum probability ${percent} % at ${formatSeconds(edges[highest])}`);
  svg.append(path);
  return svg;
}
