// @ts-check
/** QR codes from the camera or a picture: by the browser where it can, else by the decoder that is loaded then. */

const PAUSE_MS = 200;
const SIDE_MAX = 800;
/** To let a camera go takes time of a slow phone: what was found is drawn first. */
const DRAWN_MS = 200;

/** Ends what the last search has not let go yet: the next one looks anew. @type {() => void} */
let release = () => {};

/** Why there is no picture. */
export class CameraError extends Error {
  /** @param {"refused"|"absent"|"busy"} code @param {unknown} [cause] */
  constructor(code, cause) {
    super(`the camera is ${code}`, { cause });
    this.name = "CameraError";
    this.code = code;
  }
}

/** @typedef {(source: HTMLVideoElement|ImageBitmap, width: number, height: number) => Promise<string|null>} Look */

/**
 * Shows the camera in `video` and looks for codes until `signal` ends it or `onText` says that it has what it wants.
 *
 * @param {HTMLVideoElement} video
 * @param {{signal: AbortSignal, onText: (text: string) => Promise<boolean>|boolean|void}} options onText: true ends the search
 * @returns {Promise<void>} throws CameraError
 */
export async function scan(video, { signal, onText }) {
  if (!navigator.mediaDevices?.getUserMedia) throw new CameraError("absent");
  release();
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } }, audio: false });
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    throw new CameraError(name === "NotAllowedError" || name === "SecurityError" ? "refused" : name === "NotFoundError" ? "absent" : "busy", error);
  }
  const stop = () => {
    stream.getTracks().forEach((track) => track.stop());
    if (video.srcObject === stream) video.srcObject = null;
  };
  if (signal.aborted) return stop();
  let taken = false;
  const left = () => taken || stop();
  signal.addEventListener("abort", left);
  try {
    video.srcObject = stream;
    video.setAttribute("playsinline", "");
    video.muted = true;
    await video.play().catch(() => {});
    const look = await looker();
    while (!signal.aborted) {
      const text = video.videoWidth ? await look(video, video.videoWidth, video.videoHeight) : null;
      if (signal.aborted) return;
      if (text !== null) {
        taken = true;
        if ((await onText(text)) === true) return;
        taken = false;
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  } finally {
    signal.removeEventListener("abort", left);
    release = stop;
    if (taken) setTimeout(stop, DRAWN_MS);
    else stop();
  }
}

/** @param {Blob} file a picture @returns {Promise<string|null>} the text of the code in it; null when there is none, or it is no picture */
export async function readPicture(file) {
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    return null;
  }
  try {
    return await (await looker())(picture, picture.width, picture.height);
  } finally {
    picture.close();
  }
}

/** @returns {Promise<Look>} */
async function looker() {
  const Detector = /** @type {any} */ (globalThis).BarcodeDetector;
  try {
    if (Detector && (await Detector.getSupportedFormats()).includes("qr_code")) {
      const detector = new Detector({ formats: ["qr_code"] });
      return async (source) => {
        try {
          return (await detector.detect(source))[0]?.rawValue ?? null;
        } catch {
          return null; // no frame yet
        }
      };
    }
  } catch {
    // A detector by name only, as some desktops have it.
  }
  const { default: decodeQR } = await import("/static/vendor/qr/decode.js");
  const canvas = document.createElement("canvas");
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  return async (source, width, height) => {
    const scale = Math.min(1, SIDE_MAX / Math.max(width, height));
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    context.drawImage(source, 0, 0, canvas.width, canvas.height);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    try {
      return decodeQR({ width: canvas.width, height: canvas.height, data });
    } catch {
      return null; // no code in this frame
    }
  };
}
