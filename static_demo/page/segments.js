// How a waveform becomes segments: samplecnn_hf/feature_extraction_samplecnn.py, with the same settings
// (preprocessor_config.json).

/** First sample of each segment of a clip; never empty. */
export function segmentStarts(numSamples, { segment_length, hop_length, drop_last, max_segments }) {
  const hop = hop_length ?? segment_length;
  const hops = Math.max(0, numSamples - segment_length) / hop;
  const count = 1 + (drop_last ? Math.floor(hops) : Math.ceil(hops));
  return Array.from({ length: Math.min(count, max_segments ?? Infinity) }, (_, i) => i * hop);
}

/** One segment as the network hears it: Float32Array of segment_length samples, padded and normalised. */
export function cutSegment(waveform, start, settings) {
  const { segment_length, short_clips, padding_value } = settings;
  const segment = new Float32Array(segment_length).fill(padding_value);
  segment.set(waveform.subarray(start, start + segment_length));
  if (waveform.length < segment_length && short_clips === "tile") {
    for (let i = waveform.length; i < segment_length; i++) segment[i] = waveform[i % waveform.length];
  }
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
