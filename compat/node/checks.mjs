// A small check runner for the Node.js clients: one printed line per check, counted, and a closing line.
// Not a test framework: each client's file lists its checks in the order in which they run.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';

const CHECK_TIMEOUT_MS = 20_000;

export const BIG_VALUE_BYTES = 8 * 1024 * 1024;
export const port = Number(process.env.COMPAT_PORT);
export const authPort = Number(process.env.COMPAT_AUTH_PORT);
export const password = process.env.COMPAT_PASSWORD;
const lacks = (process.env.COMPAT_LACKS ?? '').split(' ');

/** The checks of one client, in the order in which they were declared. */
export class Checks {
  #declared = [];
  #counts = { passed: 0, failed: 0, skipped: 0 };

  constructor(name) {
    this.name = name;
  }

  /** Declares a check that pantry must pass. */
  check(text, run) {
    this.#declared.push({ text, run });
  }

  /** Declares one that a peer older than Redis 8 may skip; pantry may not. */
  checkOfRedis8(text, run) {
    this.#declared.push({ text, run, needs: 'redis-8' });
  }

  /** Runs every check with these arguments, after `before`; one that throws or hangs has failed. */
  async run(prefix, before, ...args) {
    for (const { text, run, needs } of this.#declared) {
      if (lacks.includes(needs)) {
        this.#count('skipped', `skip  ${prefix}${text}`);
        continue;
      }
      try {
        await inTime(before().then(() => run(...args)), CHECK_TIMEOUT_MS);
        this.#count('passed', `ok    ${prefix}${text}`);
      } catch (error) {
        this.#count('failed', `FAIL  ${prefix}${text}\n      ${String(error?.stack ?? error).slice(0, 1500)}`);
      }
    }
  }

  /** Prints the closing line and ends the process: status 0 only when nothing failed. */
  close() {
    const { passed, failed, skipped } = this.#counts;
    console.log(`${this.name}: ${passed} passed, ${failed} failed, ${skipped} skipped`);
    process.exit(failed === 0 ? 0 : 1);
  }

  #count(outcome, line) {
    this.#counts[outcome] += 1;
    console.log(line);
  }
}

/** Fails unless both are equal in type and value; objects without a prototype count as plain ones. */
export function same(actual, expected) {
  assert.deepStrictEqual(plain(actual), plain(expected));
}

/** Fails unless the number lies within both bounds. */
export function between(actual, lowest, highest) {
  assert.ok(actual >= lowest && actual <= highest, `expected ${lowest}..${highest}, got ${actual}`);
}

/** Fails unless the promise is rejected with an error whose message fits. */
export async function rejects(promise, message) {
  await assert.rejects(promise, (error) => {
    assert.match(String(error?.message), message);
    return true;
  });
}

/** Waits for so many milliseconds. */
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Collects what an asynchronous iterator yields. */
export async function collect(iterator) {
  const all = [];
  for await (const part of iterator) all.push(...part);
  return all;
}

/** A loopback port that was free a moment ago. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer().on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port: found } = probe.address();
      probe.close(() => resolve(found));
    });
  });
}

/** Starts a further server; the caller ends it. */
export function startServer(serverPort) {
  return spawn(process.env.COMPAT_SERVE, [String(serverPort), '0'], { stdio: 'ignore' });
}

/** Ends a server that `startServer` started, and waits for it. */
export async function endServer(server) {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const gone = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGTERM');
  const hard = setTimeout(() => server.kill('SIGKILL'), 5_000);
  await gone;
  clearTimeout(hard);
}

async function inTime(promise, ms) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took longer than ${ms} ms`)), ms);
  });
  try {
    await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function plain(value) {
  if (Array.isArray(value)) return value.map(plain);
  const isDictionary = value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === null;
  return isDictionary ? Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one)])) : value;
}
