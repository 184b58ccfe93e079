// From a file or the microphone to mono samples at the network's rate.

export const MAX_SECONDS = 600;

/** What went wrong, and what to do about it, in words for the person in front of the page. */
export class AudioError extends Error {}

const TOO_LONG = `This is longer than ${MAX_SECONDS / 60} minutes: please choose a shorter piece.`;

/** A file of any format that the browser plays -> Float32Array at `samplingRate` (Hz). */
export async function decode(file, samplingRate) {
  if ((await announcedSeconds(file)) > MAX_SECONDS) throw new AudioError(TOO_LONG);
  const context = new OfflineAudioContext(1, 1, samplingRate); // it resamples to its own rate
  let buffer;
  try {
    buffer = await context.decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new AudioError(`“${file.name}” could not be read as sound: please choose a wav, flac, ogg or mp3 file.`);
  }
  if (buffer.length === 0) throw new AudioError(`There is no sound in “${file.name}”.`);
  if (buffer.duration > MAX_SECONDS) throw new AudioError(TOO_LONG);
  return mixDown(buffer);
}

/** What the file says about its length, without decoding it; NaN where it says nothing. */
function announcedSeconds(file) {
  return new Promise((resolve) => {
    const player = new Audio();
    const url = URL.createObjectURL(file);
    const settle = () => {
      URL.revokeObjectURL(url);
      resolve(Number.isFinite(player.duration) ? player.duration : NaN);
    };
    player.onloadedmetadata = player.onerror = settle;
    setTimeout(settle, 3000); // some phones load nothing for a player that nobody touched
    player.preload = "metadata";
    player.src = url;
  });
}

function mixDown(buffer) {
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, i) => buffer.getChannelData(i));
  if (channels.length === 1) return channels[0];
  return channels[0].map((_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length);
}

/** Start listening. Returns a function that stops, and resolves to what was heard as a wav file. */
export async function record() {
  if (!navigator.mediaDevices) throw new AudioError("Browsers give the microphone to pages on https or localhost.");
  const context = new AudioContext();
  await context.audioWorklet.addModule("recorder.js");
  const recorder = new AudioWorkletNode(context, "recorder", { channelCount: 1, channelCountMode: "explicit" });
  const blocks = [];
  recorder.port.onmessage = ({ data }) => blocks.push(data);
  const stream = await openMicrophone().catch(async (error) => {
    await context.close();
    throw error;
  });
  context.createMediaStreamSource(stream).connect(recorder).connect(context.destination); // it plays silence

  return async () => {
    for (const track of stream.getTracks()) track.stop();
    await context.close();
    if (blocks.length === 0) throw new AudioError("Nothing was recorded: please speak before you stop.");
    return new File([encodeWav(blocks, context.sampleRate)], "Recording");
  };
}

async function openMicrophone() {
  // What improves telephone calls would take music and noises away.
  const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    const refused = "The browser did not allow the microphone: please allow it beside the address, or choose a file.";
    const absent = "No microphone was found: please connect one, or choose a file.";
    throw new AudioError(error.name === "NotAllowedError" ? refused : absent);
  }
}

/** Blocks of samples -> mono 16-bit wav. */
function encodeWav(blocks, samplingRate) {
  const numSamples = blocks.reduce((sum, block) => sum + block.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * numSamples));
  const text = (offset, value) => [...value].forEach((c, i) => view.setUint8(offset + i, c.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * numSamples, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of the format
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, samplingRate, true);
  view.setUint32(28, 2 * samplingRate, true); // bytes a second
  view.setUint16(32, 2, true); // bytes a sample of all channels
  view.setUint16(34, 16, true); // bits a sample
  text(36, "data");
  view.setUint32(40, 2 * numSamples, true);
  let offset = 44;
  for (const block of blocks) {
    for (const x of block) {
      view.setInt16(offset, Math.round(32767 * Math.max(-1, Math.min(1, x))), true);
      offset += 2;
    }
  }
  return view.buffer;
}
