// @ts-check
/**
 * What this device keeps of the till, and whether it still can.
 *
 * Writes are counted: whoever was reading meanwhile has read something old, and reads again.
 */

import { StorageError, open } from "/static/phone/database.js";

/** Who we are; the goods; sales; what was asked of the server and not answered. */
const STORES = ["self", "goods", "sales", "actions"];

/** The till's stores. Reads and writes throw StorageError. */
export class Device {
  /** @param {import("/static/phone/database.js").Database} database */
  constructor(database) {
    this.database = database;
    this.writes = 0;
    /** What is wrong with the device's storage. @type {""|"full"|"unavailable"} */
    this.trouble = "";
    /** Called when `trouble` has changed. */
    this.onTrouble = () => {};
  }

  static async open() {
    return new Device(await open("counterfoil-till", STORES));
  }

  /** @param {string} store @param {string} key @returns {Promise<any>} undefined when there is none */
  get(store, key) {
    return this.database.get(store, key);
  }

  /** @param {string} store @returns {Promise<any[]>} */
  all(store) {
    return this.database.all(store);
  }

  /** @param {string} store @param {string} key @param {unknown} value */
  put(store, key, value) {
    return this.#write(this.database.put(store, key, value));
  }

  /** @param {string} store @param {string} key */
  delete(store, key) {
    return this.#write(this.database.delete(store, key));
  }

  /** All that is in these stores goes, and instead comes what `work` writes. @param {string[]} stores @param {import("/static/phone/database.js").Work} [work] */
  replace(stores, work = () => {}) {
    return this.#write(this.database.transact(stores, (use) => {
      for (const store of stores) use(store).clear();
      work(use);
    }));
  }

  /** @param {Promise<void>} work that has begun already: reads from now on see it */
  async #write(work) {
    this.writes += 1;
    try {
      await work;
      this.#told("");
    } catch (error) {
      if (error instanceof StorageError) this.#told(error.code);
      throw error;
    }
  }

  /** @param {""|"full"|"unavailable"} trouble */
  #told(trouble) {
    if (this.trouble === trouble) return;
    this.trouble = trouble;
    this.onTrouble();
  }
}

/**
 * Work that nobody waits for. What the device could not keep, `Device.trouble` tells on every screen; the rest is thrown.
 * @param {Promise<unknown>} work
 */
export function aside(work) {
  work.catch((error) => {
    if (!(error instanceof StorageError)) throw error;
  });
}
