// Results of a file and of the microphone: probabilities, timeline and events.

import { $, element } from "./dom.js";
import { EventDetector, keywords, spotsKeywords, windowEdges } from "./events.js";
import { drawTimeline, formatSeconds } from "./timeline.js";

const TOP_LABELS = 5;
const TOP_LIVE_LABELS = 3; // leaves room for the events on a phone
const MAX_LIVE_EVENTS = 100;

/** Show the results of a file. Returns a summary in one line. */
export function showClip(name, { clip, windows }, classifier) {
  const { labels } = classifier;
  $("clip").textContent = name;
  $("length").textContent = formatSeconds(windows.at(-1).end);
  const top = showLabels(labels, clip, TOP_LABELS);

  $("over-time").hidden = windows.length === 1;
  const tracks = labels.map((label, i) => ({ label, probabilities: windows.map(({ probabilities }) => probabilities[i]) }));
  const peak = ({ probabilities }) => Math.max(...probabilities);
  tracks.sort((a, b) => peak(b) - peak(a));
  drawTimeline($("timeline"), tracks.slice(0, TOP_LABELS), windowEdges(windows));

  $("results").hidden = false; // the list below measures its size
  const detector = new EventDetector(classifier);
  const list = new EventList("Events", "No label reaches its threshold.");
  $("detections").hidden = windows.length === 1;
  for (const window of windows) list.show(detector.push(window));
  list.show(detector.flush());
  return `${name}: ${labels[top[0]]}, ${percent(clip[top[0]])}`;
}

/** Results of the microphone, which change with every window. */
export class LiveResults {
  #labels;
  #list;

  constructor(classifier) {
    this.#labels = classifier.labels;
    this.#list = spotsKeywords(classifier)
      ? new EventList("Detected words", `Say one of: ${keywords(classifier.labels).join(", ")}.`, { live: true })
      : new EventList("Events", "Labels are listed when their probability reaches the threshold.", { live: true });
    $("clip").textContent = "Microphone";
    $("length").textContent = "";
    $("labels").replaceChildren();
    $("over-time").hidden = true;
    $("detections").hidden = false;
    $("results").hidden = false;
  }

  /** Show a window { start, end, probabilities } and the events that it changed. */
  show({ start, end, probabilities }, events) {
    $("length").textContent = `Last ${formatSeconds(end - start)}`;
    showLabels(this.#labels, probabilities, TOP_LIVE_LABELS);
    this.#list.show(events);
  }

  /** Show the last events. Returns a summary in one line. */
  finish(events) {
    this.#list.show(events);
    this.#list.hint("Nothing was detected.");
    $("length").textContent = "Stopped";
    $("labels").replaceChildren(); // of the last window
    return `Stopped; detections: ${this.#list.count}`;
  }
}

/** Show the most probable labels, and return their indices. */
function showLabels(labels, probabilities, count) {
  const top = probabilities.map((_, i) => i).sort((a, b) => probabilities[b] - probabilities[a]).slice(0, count);
  const list = $("labels");
  while (list.children.length < top.length) list.append($("bar").content.firstElementChild.cloneNode(true));
  while (list.children.length > top.length) list.lastElementChild.remove();
  top.forEach((label, i) => {
    const item = list.children[i];
    item.querySelector(".label").textContent = labels[label];
    item.querySelector(".percent").textContent = percent(probabilities[label]);
    item.querySelector(".fill").style.width = `${100 * probabilities[label]}%`;
    item.dataset.probability = probabilities[label];
  });
  return top;
}

/** The list of events; a live one has the newest event first and is read out by screen readers. */
class EventList {
  count = 0; // of all events, also those that are no longer listed
  #live;
  #items = new WeakMap(); // from events

  constructor(title, hint, { live = false } = {}) {
    this.#live = live;
    $("events-title").textContent = title;
    $("events").setAttribute("aria-live", live ? "polite" : "off");
    $("events").replaceChildren();
    this.hint(hint);
  }

  /** Text in place of an empty list. */
  hint(text) {
    $("no-events").textContent = text;
    $("no-events").hidden = $("events").children.length > 0;
  }

  /** Add new events and update those that are in the list. */
  show(events) {
    for (const event of events) {
      const item = this.#items.get(event) ?? this.#add(event);
      const { start, end, score } = event;
      item.querySelector(".time").textContent =
        end === null ? `since ${formatSeconds(start)}` : `${formatSeconds(start)} – ${formatSeconds(end)}`;
      item.querySelector(".percent").textContent = percent(score);
      Object.assign(item.dataset, { start, end: end ?? "", probability: score });
    }
    const list = $("events");
    list.tabIndex = list.scrollHeight > list.clientHeight ? 0 : -1; // scrolls with the keyboard
  }

  #add(event) {
    this.count += 1;
    const item = element("li", "");
    item.append(element("span", "label", event.label), element("span", "time"), element("span", "percent"));
    if (this.#live) $("events").prepend(item);
    else $("events").append(item);
    if (this.#live && $("events").children.length > MAX_LIVE_EVENTS) $("events").lastElementChild.remove();
    this.#items.set(event, item);
    $("no-events").hidden = true;
    return item;
  }
}

const percent = (probability) => `${(100 * probability).toFixed(1)} %`;
