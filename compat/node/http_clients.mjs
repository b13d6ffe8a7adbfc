// @upstash/redis, pantry's own JavaScript client (both forms of it), and fetch, against the HTTP door.
// Started by compat/run.

import { writeFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import vm from 'node:vm';
import { Redis } from '@upstash/redis';
import { Checks, rejects, same, sleep } from './checks.mjs';

const url = `http://127.0.0.1:${process.env.COMPAT_HTTP_PORT}`;
const checks = new Checks('http-clients');
const upstash = new Redis({ url, token: 'none', enableTelemetry: false });

checks.check('@upstash/redis: strings and hashes', async () => {
  same(await upstash.set('up', { a: [1, 'å'] }, { px: 60_000 }), 'OK');
  same(await upstash.get('up'), { a: [1, 'å'] });
  same(await upstash.hset('up h', { f: 'v', n: 2 }), 2);
  same(await upstash.hgetall('up h'), { f: 'v', n: 2 });
  same(await upstash.hget('up h', 'none'), null);
  same(await upstash.incr('up n'), 1);
  same(await upstash.incrbyfloat('up n', 0.5), 1.5);
});

checks.check('@upstash/redis: expiry of fields', async () => {
  same(await upstash.hset('up ttl', { f: 'v' }), 1);
  same(await upstash.hpexpire('up ttl', 'f', 60_000), [1]);
  const [ttl] = await upstash.hpttl('up ttl', 'f');
  if (!(ttl > 0 && ttl <= 60_000)) throw new Error(`a TTL of ${ttl}`);
});

checks.check('@upstash/redis: scans', async () => {
  await upstash.hset('up scan', Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`f${i}`, i])));
  let cursor = '0';
  let fields = 0;
  do {
    const [next, found] = await upstash.hscan('up scan', cursor, { count: 50 });
    fields += found.length / 2;
    cursor = next;
  } while (cursor !== '0');
  same(fields, 300);
});

checks.check('@upstash/redis: pipelines and transactions', async () => {
  const pipeline = upstash.pipeline().set('up p', 1).incr('up p').hgetall('up none');
  same(await pipeline.exec(), ['OK', 2, null]);
  const multi = upstash.multi().set('up m', 5).incrby('up m', 2);
  same(await multi.exec(), ['OK', 7]);
});

checks.check('@upstash/redis: errors', async () => {
  await upstash.set('up e', 'text');
  await rejects(upstash.hget('up e', 'f'), /WRONGTYPE/);
});

async function ownClient() {
  const source = await (await fetch(`${url}/v1/client/pantry.mjs`)).text();
  const file = join(mkdtempSync(join(tmpdir(), 'pantry-')), 'pantry.mjs');
  writeFileSync(file, source);
  return import(pathToFileURL(file));
}

checks.check('pantry.mjs: pairs, locks, commands', async () => {
  const { Pantry, PantryError } = await ownClient();
  const pantry = new Pantry(url);
  const shop = pantry.namespace('js shop');
  await shop.set('apples', '3 "red"', { ttl: 'PT1H' });
  same(await shop.get('apples'), '3 "red"');
  same(await shop.get('none'), null);
  same([await shop.exists('apples'), await shop.delete('apples'), await shop.delete('apples')], [true, true, false]);
  same(await shop.increment('n', 2), '2');
  same(await shop.setMany([{ key: 'a', value: '1' }, { key: 'b', value: '2' }]), { set: 2 });
  same((await shop.getMany(['a', 'x'])).map((row) => row.value), ['1', null]);
  same((await shop.list()).length, 3);
  const held = await pantry.lock('js', 60_000);
  same(await pantry.lock('js', 60_000), null);
  same((await pantry.unlock('js', held.token)).held, false);
  same(await pantry.command('HGET', 'js shop', 'b'), '2');
  const failed = await shop.set('a', 'x', { if_match: 'no' }).catch((error) => error);
  same([failed instanceof PantryError, failed.code, failed.status], [true, 'condition_failed', 412]);
});

checks.check('pantry.mjs: watch', async () => {
  const { Pantry } = await ownClient();
  const watched = new Pantry(url).namespace('js watched');
  const seen = [];
  const watch = watched.watch((event) => seen.push(`${event.event} ${event.key} ${event.value}`));
  await sleep(300);
  await watched.set('k', 'v', { ttl: 200 });
  for (let i = 0; i < 50 && seen.length < 3; i += 1) await sleep(50);
  watch.close();
  same(seen, ['create null null', 'put k v', 'expire k null']);
});

checks.check('pantry.js is an AMD module', async () => {
  const source = await (await fetch(`${url}/v1/client/pantry.js`)).text();
  let made;
  vm.runInNewContext(source, { define: (needs, make) => { made = make(); } });
  same(Object.keys(made), ['Pantry', 'PantryError']);
});

checks.check('fetch streams a whole namespace', async () => {
  const rows = Array.from({ length: 5000 }, (_, i) => ({ key: `k${i}`, value: `${i}` }));
  const headers = { 'Content-Type': 'application/json' };
  await fetch(`${url}/v1/namespaces/big/pairs`, { method: 'POST', headers, body: JSON.stringify(rows) });
  const csv = await (await fetch(`${url}/v1/namespaces/big.csv`)).text();
  same(csv.trim().split('\r\n').length, 5001);
});

await checks.run('', async () => {});
checks.close();
