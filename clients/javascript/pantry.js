// The client of pantry's /v1 API for extensions, mashups and Node.js. No dependencies.
// This one source is served as an ES module (/v1/client/pantry.mjs) and for RequireJS (/v1/client/pantry.js).
//
//   const shop = new Pantry('https://kv.example:8080', { token: '…' }).namespace('shop');
//   await shop.set('apples', '3', { ttl: 'PT1H' });
//   const watch = shop.watch((event) => console.log(event.event, event.key, event.value));
//   watch.close();

/** What the server refused: `code` is stable, `status` is HTTP's. */
class PantryError extends Error {
  constructor(status, code, message) {
    super(message);
    this.name = 'PantryError';
    this.status = status;
    this.code = code;
  }
}

class Pantry {
  /** `url`: where the server is. `options`: `token`, or `user` and `password`; `fetch` to use another one. */
  constructor(url, options = {}) {
    this.url = String(url).replace(/\/+$/, '');
    this.options = options;
  }

  /** The pairs of one namespace. */
  namespace(name) {
    return new PantryNamespace(this, name);
  }

  /** All namespaces: rows of namespace, pairs, bytes, kept. */
  namespaces() {
    return this.call('list-namespaces', {});
  }

  /** Runs a Redis command and returns its result. */
  async command(...words) {
    return (await this.send('POST', '/v1/command', words)).result;
  }

  /** Takes a lock; `null` if somebody holds it. The row has the fencing token. */
  lock(lock, ttl, options = {}) {
    return orNull(409, this.call('lock', { ...options, lock, ttl }));
  }

  /** Holds a lock for longer; throws if the token does not hold it. */
  renew(lock, token, ttl, options = {}) {
    return this.call('renew', { ...options, lock, token, ttl });
  }

  /** Gives a lock back; throws if the token does not hold it. */
  unlock(lock, token, options = {}) {
    return this.call('unlock', { ...options, lock, token });
  }

  /** Any operation of the API by its short path, with its parameters. */
  call(operation, parameters) {
    return this.send('POST', `/v1/${operation}`, parameters);
  }

  async send(method, path, body, signal) {
    const headers = { Accept: 'application/json', ...this.credentials() };
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    const init = { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) };
    const response = await (this.options.fetch || fetch)(this.url + path, init);
    const text = await response.text();
    const answer = text === '' ? null : JSON.parse(text);
    if (!response.ok) {
      const { error = 'internal', message = error } = answer || {};
      throw new PantryError(response.status, error, message);
    }
    return answer;
  }

  credentials() {
    const { token, user = 'default', password } = this.options;
    if (token !== undefined) return { Authorization: `Bearer ${token}` };
    if (password === undefined) return {};
    const bytes = new TextEncoder().encode(`${user}:${password}`);
    return { Authorization: `Basic ${btoa(String.fromCharCode(...bytes))}` };
  }
}

class PantryNamespace {
  constructor(pantry, namespace) {
    this.pantry = pantry;
    this.name = namespace;
  }

  /** The value of a pair; `null` if there is none. */
  async get(key) {
    const pair = await this.pair(key);
    return pair && pair.value;
  }

  /** The pair with value, ttl_ms, expires_ms and etag; `null` if there is none. */
  pair(key) {
    return orNull(404, this.call('get', { key }));
  }

  /** Sets a pair. `options`: ttl, expires_at, only_if ('missing', 'exists'), if_match (an ETag). */
  set(key, value, options = {}) {
    return this.call('set', { ...options, key, value });
  }

  /** Deletes a pair; whether it was there. */
  async delete(key, options = {}) {
    return (await orNull(404, this.call('delete', { ...options, key }))) !== null;
  }

  async exists(key) {
    return (await this.call('exists', { key })).exists;
  }

  /** The value of a pair, which is deleted; `null` if there is none. */
  async take(key) {
    const pair = await orNull(404, this.call('take', { key }));
    return pair && pair.value;
  }

  /** Adds to a number; the sum, as text. */
  async increment(key, by = 1) {
    return (await this.call('increment', { key, by })).value;
  }

  /** Gives a pair another TTL (ms, an ISO 8601 duration, or 'none'). */
  touch(key, ttl) {
    return this.call('touch', { key, ttl });
  }

  /** All pairs, as rows. */
  list(options = {}) {
    return this.call('list', options);
  }

  /** Sets many pairs, all or none: rows of key, value and perhaps ttl. */
  setMany(rows) {
    return this.pantry.send('POST', `/v1/set-many?namespace=${encodeURIComponent(this.name)}`, rows);
  }

  /** The pairs with these keys, as rows; what is not there has `found: false`. */
  getMany(keys) {
    return this.pantry.send('POST', `/v1/get-many?namespace=${encodeURIComponent(this.name)}`, keys);
  }

  /**
   * Calls `listener` with every change: { event, namespace, key, value, … }. After `reset`, what is shown must be
   * read again. Goes on by itself when the connection was lost; `close()` ends it. `options`: key, onError.
   */
  watch(listener, options = {}) {
    const abort = new AbortController();
    this.follow(listener, options, abort.signal);
    return { close: () => abort.abort() };
  }

  async follow(listener, { key, onError = () => {} }, signal) {
    let since = '';
    while (!signal.aborted) {
      try {
        const query = new URLSearchParams({ namespace: this.name, values: '1' });
        if (key !== undefined) query.set('key', key);
        if (since !== '') query.set('since', since);
        const headers = { Accept: 'text/event-stream', ...this.pantry.credentials() };
        const url = `${this.pantry.url}/v1/watch?${query}`;
        const response = await (this.pantry.options.fetch || fetch)(url, { headers, signal });
        if (!response.ok) throw new PantryError(response.status, 'watch', `HTTP ${response.status}`);
        await eachEvent(response.body, (event, id, data) => {
          since = id;
          if (event !== 'ready') listener({ event, ...data });
        });
      } catch (error) {
        if (signal.aborted) return;
        onError(error);
      }
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }

  call(operation, parameters) {
    return this.pantry.call(operation, { ...parameters, namespace: this.name });
  }
}

async function orNull(status, promise) {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof PantryError && error.status === status) return null;
    throw error;
  }
}

/** Reads server-sent events as this server writes them. */
async function eachEvent(body, show) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += decoder.decode(value, { stream: true });
    const blocks = rest.split('\n\n');
    rest = blocks.pop();
    for (const block of blocks) {
      const field = (name) => {
        const line = block.split('\n').find((one) => one.startsWith(`${name}: `));
        return line && line.slice(name.length + 2);
      };
      const event = field('event');
      if (event !== undefined) show(event, field('id'), JSON.parse(field('data')));
    }
  }
}
