// Audio from a file or the microphone, as mono samples at the model's sampling rate.

export const MAX_SECONDS = 600;

const MICROPHONE_ERRORS = {
  NotAllowedError: "Access to the microphone was denied: please allow it in the address bar",
  NotFoundError: "No microphone was found: please connect one",
  NotReadableError: "The microphone is in use: please close the other program and try again",
};

/** An error whose message is shown to the user: what is wrong, and what to do. */
export class AudioError extends Error {}

const START_MILLISECONDS = 2000;
const TOO_LONG = `The audio is longer than ${MAX_SECONDS / 60} minutes: please choose a shorter file.`;

/** Decode a file of any format that the browser supports: Float32Array at `samplingRate` (Hz). */
export async function decode(file, samplingRate) {
  if ((await metadataDuration(file)) > MAX_SECONDS) throw new AudioError(TOO_LONG);
  const context = new OfflineAudioContext(1, 1, samplingRate); // decodeAudioData resamples to this rate
  let buffer;
  try {
    buffer = await context.decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new AudioError(`“${file.name}” could not be decoded: please choose a wav, flac, ogg or mp3 file.`);
  }
  if (buffer.length === 0) throw new AudioError(`“${file.name}” is empty: please choose another file.`);
  if (buffer.duration > MAX_SECONDS) throw new AudioError(TOO_LONG);
  return mixDown(buffer);
}

/** Duration in seconds from the file's metadata, without decoding; NaN if unknown. */
function metadataDuration(file) {
  return new Promise((resolve) => {
    const player = new Audio();
    const url = URL.createObjectURL(file);
    const settle = () => {
      URL.revokeObjectURL(url);
      resolve(Number.isFinite(player.duration) ? player.duration : NaN);
    };
    player.onloadedmetadata = player.onerror = settle;
    setTimeout(settle, 3000); // some mobile browsers do not load metadata without a user gesture
    player.preload = "metadata";
    player.src = url;
  });
}

function mixDown(buffer) {
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, i) => buffer.getChannelData(i));
  if (channels.length === 1) return channels[0];
  return channels[0].map((_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length);
}

/** Start recording. Returns a function that stops and resolves to a wav file. */
export async function record({ onDisconnect }) {
  const blocks = [];
  const { samplingRate, stop } = await capture((block) => blocks.push(block), { onDisconnect });
  return async () => {
    await stop();
    if (blocks.length === 0) throw new AudioError("Nothing was recorded: please record for a longer time.");
    return new File([encodeWav(blocks, samplingRate)], "Recording");
  };
}

/**
 * Open the microphone. `onBlock` is called with blocks of mono samples at `samplingRate` (Hz; by default, the device's),
 * `onDisconnect` when the microphone is disconnected. Returns the sampling rate and a function that releases the
 * microphone.
 */
export async function capture(onBlock, { samplingRate, onDisconnect }) {
  if (!navigator.mediaDevices) throw new AudioError("The microphone is available on https and localhost only: please choose a file.");
  const context = new AudioContext({ sampleRate: samplingRate }); // resamples to this rate
  let stream = null;
  const stop = async () => {
    for (const track of stream?.getTracks() ?? []) track.stop();
    await context.close();
  };
  try {
    await context.audioWorklet.addModule("recorder.js");
    const recorder = new AudioWorkletNode(context, "recorder", { channelCount: 1, channelCountMode: "explicit" });
    recorder.port.onmessage = ({ data }) => context.state !== "closed" && onBlock(data);
    stream = await openMicrophone();
    stream.getAudioTracks()[0].onended = onDisconnect;
    await start(context);
    source(context, stream).connect(recorder).connect(context.destination); // plays silence
  } catch (error) {
    await stop();
    throw error;
  }
  return { samplingRate: context.sampleRate, stop };
}

/** Some browsers start sound only after a recent click, and then never resolve `resume()`. */
async function start(context) {
  const tooLate = new Promise((resolve) => setTimeout(resolve, START_MILLISECONDS));
  await Promise.race([context.resume(), tooLate]);
  if (context.state !== "running") throw new AudioError("The browser did not start the microphone: please press the button again.");
}

function source(context, stream) {
  try {
    return context.createMediaStreamSource(stream);
  } catch (error) {
    // Older versions of Firefox
    if (error.name !== "NotSupportedError") throw error;
    throw new AudioError("This browser cannot resample the microphone: please press “Record”, or use another browser.");
  }
}

async function openMicrophone() {
  // Speech enhancement would remove music and noise.
  const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    if (error.name in MICROPHONE_ERRORS) throw new AudioError(`${MICROPHONE_ERRORS[error.name]}, or choose a file.`);
    throw error;
  }
}

/** Encode blocks of samples as a mono 16-bit wav file. */
function encodeWav(blocks, samplingRate) {
  const numSamples = blocks.reduce((sum, block) => sum + block.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * numSamples));
  const text = (offset, value) => [...value].forEach((c, i) => view.setUint8(offset + i, c.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * numSamples, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // size of the format chunk in bytes
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, samplingRate, true);
  view.setUint32(28, 2 * samplingRate, true); // bytes per second
  view.setUint16(32, 2, true); // bytes per frame
  view.setUint16(34, 16, true); // bits per sample
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
