// Segments of a waveform, as in samplecnn_hf/audio_samplecnn.py, with the settings of
// preprocessor_config.json.

/** Pad, tile or repeat a waveform that is shorter than a segment (`short_clips`). */
export function fill(waveform, { segment_length, hop_length, max_segments, short_clips, padding_value }) {
  const count = short_clips === "repeat" ? (max_segments ?? 1) : 1;
  const length = segment_length + (count - 1) * (hop_length ?? segment_length);
  if (waveform.length >= length) return waveform;
  const times = Math.ceil(length / waveform.length);
  const sample = {
    zero: (i) => waveform[i] ?? padding_value,
    tile: (i) => waveform[i % waveform.length],
    repeat: (i) => waveform[Math.floor(i / times)],
  }[short_clips];
  return Float32Array.from({ length }, (_, i) => sample(i));
}

/** First sample of each segment of a waveform returned by `fill`. */
export function segmentStarts(numSamples, { segment_length, hop_length, drop_last, max_segments }) {
  const hop = hop_length ?? segment_length;
  const hops = (numSamples - segment_length) / hop;
  const count = 1 + (drop_last ? Math.floor(hops) : Math.ceil(hops));
  return Array.from({ length: Math.min(count, max_segments ?? Infinity) }, (_, i) => i * hop);
}

/** Settings of a timeline, whose windows cover the whole audio, as those of `timeline_extractor`. */
export function timelineSettings(settings) {
  return { ...settings, max_segments: null, drop_last: false };
}

/** One segment, padded and normalized: Float32Array of segment_length samples. */
export function cutSegment(waveform, start, settings) {
  const { segment_length, padding_value } = settings;
  const segment = new Float32Array(segment_length).fill(padding_value);
  segment.set(waveform.subarray(start, start + segment_length));
  return normalize(segment, settings);
}

function normalize(segment, { do_normalize, mean, std }) {
  if (mean !== 0 || std !== 1) segment = segment.map((x) => (x - mean) / std);
  if (!do_normalize) return segment;
  const center = average(segment, (x) => x);
  const scale = Math.sqrt(average(segment, (x) => (x - center) ** 2) + 1e-7);
  return segment.map((x) => (x - center) / scale);
}

function average(segment, value) {
  let sum = 0;
  for (const x of segment) sum += value(x);
  return sum / segment.length;
}
