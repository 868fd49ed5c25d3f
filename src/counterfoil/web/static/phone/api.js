// @ts-check
/** The server, as scripts call it: requests that are signed, answers that are JSON, errors that say what to do next. */

import { base64, joined, sha256, utf8 } from "./bytes.js";

/** The server said no, or that it does not know yet (`retry` "same_id"). */
export class Refusal extends Error {
  /** @param {{code: string, title: string, detail: string, status: number, retry: string, facts: Record<string, any>}} problem */
  constructor({ code, title, detail, status, retry, facts }) {
    super(`${code}: ${detail}`);
    this.name = "Refusal";
    this.code = code;
    this.title = title;
    this.detail = detail;
    this.status = status;
    /** @type {"never"|"change"|"later"|"same_id"} */
    this.retry = /** @type {any} */ (retry);
    this.facts = facts ?? {};
  }
}

/** Nobody answered, or somebody who is not our server: whether it was done is not known. */
export class Unreachable extends Error {
  /** @param {unknown} cause */
  constructor(cause) {
    super("the server was not reached", { cause });
    this.name = "Unreachable";
  }
}

/**
 * Who signs: a device's id, its algorithm and its key's signature over bytes (64 bytes).
 *
 * @typedef {{device: string, algorithm: "es256"|"ed25519", sign: (message: Uint8Array) => Promise<Uint8Array>}} Signer
 * @typedef {{body?: unknown, query?: Record<string, string|number|null|undefined>, accept?: string, timeoutMs?: number,
 *            signal?: AbortSignal, sign?: boolean}} Options
 */

const ALGORITHMS = { es256: "ecdsa-p256-sha256", ed25519: "ed25519" };

/** Calls one server. `sign`, `token`, `clerk` and `language` may be set at any time. */
export class Api {
  /** @param {{sign?: Signer|null, token?: string|null, clerk?: string|null, language?: string, skewMs?: number}} [who] */
  constructor({ sign = null, token = null, clerk = null, language = "", skewMs = 0 } = {}) {
    this.sign = sign;
    this.token = token;
    this.clerk = clerk;
    this.language = language;
    /** What the server's clock shows beyond ours, as far as we were told. */
    this.skewMs = skewMs;
    /** Whether the last call reached the server. */
    this.reached = true;
    /** @type {(() => void)|null} called when `reached` or `skewMs` changed */
    this.onChange = null;
  }

  /** Milliseconds since 1970 by the server's clock. */
  now() {
    return Date.now() + this.skewMs;
  }

  /**
   * One request. Never repeated here, but once after the server has told us that our clock is wrong.
   *
   * @param {string} method
   * @param {string} path
   * @param {Options} [options] `body` becomes JSON; `sign: false` for what carries its own signature or needs none
   * @returns {Promise<any>} JSON; text or a Blob where `accept` asks for it; null for 204. Throws Refusal, Unreachable.
   */
  async call(method, path, options = {}) {
    const { timeoutMs = 20_000, signal } = options;
    const ended = new AbortController();
    const stop = () => ended.abort();
    const timer = setTimeout(stop, timeoutMs);
    signal?.addEventListener("abort", stop);
    try {
      const answer = await this.open(method, path, { ...options, signal: ended.signal });
      if (answer.status === 204) return null;
      const kind = answer.headers.get("content-type") ?? "";
      if (kind.startsWith("application/json")) return await answer.json();
      // A captive portal answers 200, too.
      if (!options.accept || !kind.startsWith(options.accept)) throw new Unreachable(`it answered with ${kind}`);
      return kind.startsWith("text/plain") ? await answer.text() : await answer.blob();
    } catch (error) {
      if (error instanceof Refusal) throw error;
      this.#reach(false);
      throw error instanceof Unreachable ? error : new Unreachable(error);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    }
  }

  /**
   * As `call`, with the answer as it comes: for streams.
   *
   * @param {string} method
   * @param {string} path
   * @param {Options} options
   * @param {boolean} [corrected] our clock was set right for this
   * @returns {Promise<Response>}
   */
  async open(method, path, options, corrected = false) {
    const { body, query = {}, accept = "application/json", signal, sign = true } = options;
    const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
    const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
    const data = body === undefined ? null : utf8(JSON.stringify(body));
    /** @type {Record<string, string>} */
    const headers = { Accept: accept };
    if (data) headers["Content-Type"] = "application/json";
    if (this.language) headers["Accept-Language"] = this.language;
    if (this.token && sign) headers["Authorization"] = `Bearer ${this.token}`;
    if (this.clerk && sign) headers["Counterfoil-Clerk"] = this.clerk;
    if (this.sign && sign && !this.token) Object.assign(headers, await this.#signature(method, path, search, data, this.sign));
    let answer;
    try {
      const init = { method, headers, body: data, signal, cache: /** @type {const} */ ("no-store"), credentials: /** @type {const} */ ("omit") };
      answer = await fetch(search ? `${path}?${search}` : path, init);
    } catch (error) {
      this.#reach(false);
      throw new Unreachable(error);
    }
    if (answer.ok) {
      this.#reach(true);
      return answer;
    }
    const refusal = await problem(answer);
    this.#reach(true);
    if (refusal.code === "request_too_old" && !corrected && refusal.facts.server_time_s) {
      this.setClock(refusal.facts.server_time_s * 1000);
      return this.open(method, path, options, true);
    }
    throw refusal;
  }

  /** @param {number} serverMs what the server's clock shows now */
  setClock(serverMs) {
    if (!Number.isFinite(serverMs)) return;
    const skewMs = serverMs - Date.now();
    // Seconds are the delay of the answer, not the clock.
    if (Math.abs(skewMs - this.skewMs) < 5_000) return;
    this.skewMs = Math.abs(skewMs) < 5_000 ? 0 : skewMs;
    this.onChange?.();
  }

  /** @param {boolean} reached */
  #reach(reached) {
    if (this.reached === reached) return;
    this.reached = reached;
    this.onChange?.();
  }

  /**
   * @param {string} method @param {string} path @param {string} search @param {Uint8Array|null} data @param {Signer} signer
   * @returns {Promise<Record<string, string>>} Source: RFC 9421 in the profile of docs/reference/api.md
   */
  async #signature(method, path, search, data, { device, algorithm, sign }) {
    const digest = data ? `sha-256=:${base64(await sha256(data))}:` : "";
    const created = Math.floor(this.now() / 1000);
    const parts = `("@method" "@path" "@query"${data ? ' "content-digest"' : ""})`;
    const parameters = `${parts};created=${created};keyid="${device}";alg="${ALGORITHMS[algorithm]}"`;
    const lines = [`"@method": ${method}`, `"@path": ${path}`, `"@query": ?${search}`];
    if (data) lines.push(`"content-digest": ${digest}`);
    lines.push(`"@signature-params": ${parameters}`);
    const signature = await sign(joined(utf8(lines.join("\n"))));
    /** @type {Record<string, string>} */
    const headers = { "Signature-Input": `sig1=${parameters}`, Signature: `sig1=:${base64(signature)}:` };
    if (data) headers["Content-Digest"] = digest;
    return headers;
  }
}

/** @param {Response} answer @returns {Promise<Refusal>} throws Unreachable for what is no problem document of ours */
async function problem(answer) {
  try {
    const found = await answer.json();
    if (typeof found.code === "string" && typeof found.retry === "string") return new Refusal(found);
  } catch {
    // Not our server's word: a proxy's page, a sign-in of the network.
  }
  throw new Unreachable(`status ${answer.status}`);
}
