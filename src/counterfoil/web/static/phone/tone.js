// @ts-check
/** A sound and a short shake: money is there. */

const NOTES = /** @type {[number, number][]} */ ([[0, 659.26], [0.12, 987.77]]);
const LENGTH_S = 0.22;
const LOUDNESS = 0.2;

/** @type {AudioContext|null} */
let context = null;

/** Two short rising notes and a shake. Where the browser wants a touch before any sound, it stays silent. */
export function paid() {
  try {
    navigator.vibrate?.([60, 40, 120]);
    context ??= new AudioContext();
    if (context.state === "suspended") void context.resume().catch(() => {});
    for (const [after, pitch] of NOTES) play(context, context.currentTime + after, pitch);
  } catch {
    // Neither sound nor shake is worth a broken screen.
  }
}

/** @param {AudioContext} audio @param {number} at @param {number} pitch Hz */
function play(audio, at, pitch) {
  const [note, loudness] = [audio.createOscillator(), audio.createGain()];
  note.frequency.value = pitch;
  loudness.gain.setValueAtTime(0, at);
  loudness.gain.linearRampToValueAtTime(LOUDNESS, at + 0.015);
  loudness.gain.exponentialRampToValueAtTime(0.001, at + LENGTH_S);
  note.connect(loudness).connect(audio.destination);
  note.start(at);
  note.stop(at + LENGTH_S);
}
