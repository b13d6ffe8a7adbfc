// Programs of the Node.js world that keep their state in Redis, each started for real: a web application's sessions
// (Express, express-session, connect-redis), locks (Redlock), and rate limits by Lua (rate-limiter-flexible).
// Started by compat/run. Not here: what the client libraries do themselves.

import { readFileSync } from 'node:fs';
import express from 'express';
import session from 'express-session';
import { RedisStore } from 'connect-redis';
import { createClient } from 'redis';
import Redis from 'ioredis';
import Redlock from 'redlock';
import { RateLimiterRedis, BurstyRateLimiter } from 'rate-limiter-flexible';
import { between, Checks, port, same, sleep } from './checks.mjs';

const checks = new Checks('node-programs');
const url = `redis://127.0.0.1:${port}`;

for (const name of ['connect-redis', 'express', 'express-session', 'redlock', 'rate-limiter-flexible']) {
  const file = new URL(`node_modules/${name}/package.json`, import.meta.url);
  console.log(`${name} ${JSON.parse(readFileSync(file)).version}`);
}

/** Runs `use` with an ioredis client, and closes it whatever happens. */
const withIoredis = (use) => async () => {
  const client = new Redis({ port, host: '127.0.0.1' });
  try {
    await use(client);
  } finally {
    client.disconnect();
  }
};

/** Serves an application that counts a visitor's visits; `ask` plays a browser with the cookie it was given. */
async function withApplication(options, use) {
  const client = await createClient({ url }).connect();
  const store = new RedisStore({ client, prefix: 'shop:', ...options });
  const application = express();
  application.use(session({ store, secret: 'a secret', resave: false, saveUninitialized: false }));
  application.get('/visit', (request, response) => {
    request.session.visits = (request.session.visits ?? 0) + 1;
    response.json({ visits: request.session.visits, id: request.session.id });
  });
  application.get('/leave', (request, response) => request.session.destroy(() => response.json({})));
  const server = await new Promise((resolve) => {
    const started = application.listen(0, '127.0.0.1', () => resolve(started));
  });
  const browser = () => {
    let cookie;
    return async (path) => {
      const headers = cookie ? { cookie } : {};
      const response = await fetch(`http://127.0.0.1:${server.address().port}${path}`, { headers });
      cookie = response.headers.get('set-cookie')?.split(';')[0] ?? cookie;
      return response.json();
    };
  };
  try {
    await use({ client, store, browser });
  } finally {
    server.closeAllConnections();
    server.close();
    await client.close();
  }
}

checks.check('express-session with connect-redis: a session is found again, and is another browser\'s not', () =>
  withApplication({ ttl: 600 }, async ({ client, browser }) => {
    const [ada, bob] = [browser(), browser()];
    const { id } = await ada('/visit');
    same([(await ada('/visit')).visits, (await ada('/visit')).visits, (await bob('/visit')).visits], [2, 3, 1]);
    between(await client.ttl(`shop:${id}`), 590, 600);
    same(JSON.parse(await client.get(`shop:${id}`)).visits, 3);
  }));

checks.check('express-session with connect-redis: a session ends when it is left, and by itself', () =>
  withApplication({ ttl: 1 }, async ({ client, store, browser }) => {
    const [ada, bob] = [browser(), browser()];
    const left = (await ada('/visit')).id;
    await ada('/leave');
    same(await client.exists(`shop:${left}`), 0);
    await bob('/visit');
    same((await store.all()).length, 1);
    await sleep(1_100);
    same([(await store.ids()).length, (await bob('/visit')).visits], [0, 1]);
    await bob('/visit');
    await store.clear();
    same(await store.length(), 0);
  }));

checks.check('redlock: one holds the lock, others wait or give up, it can be extended and runs out', withIoredis(async (client) => {
  const patient = new Redlock([client], { retryCount: 40, retryDelay: 25, retryJitter: 5 });
  const hasty = new Redlock([client], { retryCount: 0 });
  const order = [];
  const work = async (name) => {
    const lock = await patient.lock('lock:stock', 2_000);
    order.push(`${name} in`);
    await sleep(60);
    order.push(`${name} out`);
    await lock.unlock();
  };
  await Promise.all(['a', 'b', 'c'].map(work));
  same(order.length, 6);
  for (let at = 0; at < 6; at += 2) same(order[at].replace('in', 'out'), order[at + 1]);

  const lock = await hasty.lock('lock:stock', 500);
  same((await hasty.lock('lock:stock', 500).catch((error) => error.name)), 'LockError');
  const longer = await lock.extend(1_000);
  between(await client.pttl('lock:stock'), 700, 1_000);
  await longer.unlock();
  await hasty.lock('lock:stock', 80);
  await sleep(150);
  await (await hasty.lock('lock:stock', 500)).unlock();
}));

checks.check('rate-limiter-flexible: so many in a window, by Lua, with a block beyond it', withIoredis(async (client) => {
  const limiter = new RateLimiterRedis({ storeClient: client, points: 3, duration: 2, blockDuration: 1, keyPrefix: 'rate' });
  const left = [];
  for (let i = 0; i < 3; i += 1) left.push((await limiter.consume('ada')).remainingPoints);
  same(left, [2, 1, 0]);
  const refused = await limiter.consume('ada').catch((refusal) => refusal);
  between(refused.msBeforeNext, 1, 1_000);
  same((await limiter.get('ada')).consumedPoints, 4);
  same((await limiter.consume('bob')).remainingPoints, 2);
  await limiter.reward('bob', 1);
  same((await limiter.get('bob')).remainingPoints, 3);
  await sleep(1_100);
  same((await limiter.consume('ada')).remainingPoints, 2);
  same([await limiter.delete('ada'), await limiter.get('ada')], [true, null]);
}));

checks.check('rate-limiter-flexible: a thousand at once are counted exactly, and bursts are let through', withIoredis(async (client) => {
  const limiter = new RateLimiterRedis({ storeClient: client, points: 100, duration: 30, keyPrefix: 'many' });
  const all = await Promise.allSettled(Array.from({ length: 1_000 }, () => limiter.consume('all')));
  same(all.filter(({ status }) => status === 'fulfilled').length, 100);
  const slow = new RateLimiterRedis({ storeClient: client, points: 1, duration: 30, keyPrefix: 'slow' });
  const burst = new RateLimiterRedis({ storeClient: client, points: 2, duration: 30, keyPrefix: 'burst' });
  const bursty = new BurstyRateLimiter(slow, burst);
  const let_through = await Promise.allSettled([1, 2, 3, 4].map(() => bursty.consume('ada')));
  same(let_through.filter(({ status }) => status === 'fulfilled').length, 3);
}));

const cleaner = new Redis({ port, host: '127.0.0.1' });
await checks.run('', () => cleaner.flushall());
cleaner.disconnect();
checks.close();
