// @ts-check
/** What a phone keeps: IndexedDB as promises. What was written is on the disk before a promise is kept. */

/** Storage that does not work (private mode, blocked, evicted while open) or has no room. */
export class StorageError extends Error {
  /** @param {"unavailable"|"full"} code @param {unknown} cause */
  constructor(code, cause) {
    super(`storage is ${code}`, { cause });
    this.name = "StorageError";
    this.code = code;
  }
}

/** @param {unknown} cause */
function storageError(cause) {
  if (cause instanceof StorageError) return cause;
  const name = cause instanceof DOMException ? cause.name : "";
  return new StorageError(name === "QuotaExceededError" ? "full" : "unavailable", cause);
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
const result = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(storageError(request.error));
  });

/** What may be done within one transaction, all of it or nothing. @typedef {(use: (store: string) => IDBObjectStore) => void} Work */

/** A database with the stores that it was opened with; keys are texts. */
export class Database {
  /** @param {IDBDatabase} database */
  constructor(database) {
    this.database = database;
  }

  /** @param {string} store @param {string} key @returns {Promise<any>} undefined when there is none */
  get(store, key) {
    return this.#read(store, (from) => from.get(key));
  }

  /** @param {string} store @returns {Promise<any[]>} all values, in the order of their keys */
  all(store) {
    return this.#read(store, (from) => from.getAll());
  }

  /** @param {string} store @param {string} key @param {unknown} value @returns {Promise<void>} */
  put(store, key, value) {
    return this.write([store], (use) => use(store).put(value, key));
  }

  /**
   * Reads and writes in one transaction, so that no other tab comes between.
   *
   * @template T
   * @param {string} store
   * @param {string} key
   * @param {(value: any) => T|undefined} change the value to keep; undefined: leave everything as it is
   * @returns {Promise<T|undefined>} what was kept
   */
  async update(store, key, change) {
    /** @type {T|undefined} */
    let kept;
    await this.transact([store], (use) => {
      const request = use(store).get(key);
      request.onsuccess = () => {
        kept = change(request.result);
        if (kept !== undefined) use(store).put(kept, key);
      };
    });
    return kept;
  }

  /** @param {string} store @param {string} key @returns {Promise<void>} */
  delete(store, key) {
    return this.write([store], (use) => use(store).delete(key));
  }

  /** @param {string} store @returns {Promise<void>} */
  clear(store) {
    return this.write([store], (use) => use(store).clear());
  }

  /**
   * As `transact`, for work that reads nothing. The browser is told at once that nothing more follows: else it asks for that after
   * each answer, in a page that is drawing.
   *
   * @param {string[]} stores
   * @param {Work} work
   * @returns {Promise<void>}
   */
  write(stores, work) {
    return this.transact(stores, (use) => {
      work(use);
      use(stores[0]).transaction.commit?.();
    });
  }

  /**
   * All that `work` writes, or nothing of it; on the disk when the promise is kept. Throws StorageError.
   *
   * @param {string[]} stores
   * @param {Work} work
   * @returns {Promise<void>}
   */
  transact(stores, work) {
    return new Promise((resolve, reject) => {
      try {
        const transaction = this.database.transaction(stores, "readwrite", { durability: "strict" });
        transaction.oncomplete = () => resolve();
        transaction.onabort = () => reject(storageError(transaction.error));
        work((store) => transaction.objectStore(store));
      } catch (error) {
        reject(storageError(error));
      }
    });
  }

  close() {
    this.database.close();
  }

  /** @template T @param {string} store @param {(from: IDBObjectStore) => IDBRequest<T>} ask @returns {Promise<T>} */
  async #read(store, ask) {
    try {
      return await result(ask(this.database.transaction(store).objectStore(store)));
    } catch (error) {
      throw storageError(error);
    }
  }
}

/**
 * Opens a database with at least these stores. A store that is missing is added, what is there stays.
 *
 * @param {string} name
 * @param {string[]} stores
 * @returns {Promise<Database>} throws StorageError("unavailable") where nothing can be kept
 */
export async function open(name, stores) {
  /** @type {number|undefined} */
  let version;
  for (;;) {
    let database;
    try {
      const request = indexedDB.open(name, version);
      request.onupgradeneeded = () => {
        const there = request.result.objectStoreNames;
        for (const store of stores) if (!there.contains(store)) request.result.createObjectStore(store);
      };
      database = await result(request);
    } catch (error) {
      throw storageError(error);
    }
    const opened = database;
    opened.onversionchange = () => opened.close();
    if (stores.every((store) => opened.objectStoreNames.contains(store))) return new Database(opened);
    version = opened.version + 1;
    opened.close();
  }
}

/** Asks the browser not to clear what we keep when it needs room. @returns {Promise<boolean>} whether it agreed */
export async function persist() {
  try {
    return (await navigator.storage?.persist?.()) ?? false;
  } catch {
    return false;
  }
}
