// node-redis over RESP2 and over RESP3, through what pantry offers to Redis clients.
// Started by compat/run. Not the place for exact replies on the wire: what counts is what the library makes of them.

import { readFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { createClient, createClientPool, RESP_TYPES, WatchError } from 'redis';
import {
  authPort, between, BIG_VALUE_BYTES, Checks, collect, endServer, freePort, password, port, rejects, same, sleep,
  startServer,
} from './checks.mjs';

const version = JSON.parse(readFileSync(new URL('node_modules/@redis/client/package.json', import.meta.url))).version;
const checks = new Checks('node-redis');

/** Runs `use` with connected clients, as many as it takes arguments, and closes them whatever happens. */
async function connected(options, use) {
  const clients = [];
  try {
    for (let i = 0; i < use.length; i += 1) {
      const client = createClient({ ...options, socket: { port, host: '127.0.0.1', ...options.socket } });
      client.on('error', () => {}); // a lost connection is reported here too; the checks look at the commands
      clients.push(client);
      await client.connect();
    }
    await use(...clients);
  } finally {
    for (const client of clients) client.isOpen && client.destroy();
  }
}

const withClients = (use) => (options) => connected(options, use);
const withBuffers = (client) => client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
const numbered = (count, prefix) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`${prefix}${i}`, `${i}`]));

checks.check('hashes', withClients(async (r) => {
  same(await r.hSet('Sales ETL', { 'last run': '2026-11-22', rows: 17, größe: 'ü' }), 3);
  same(await r.hGetAll('Sales ETL'), { 'last run': '2026-11-22', rows: '17', größe: 'ü' });
  same(await r.hmGet('Sales ETL', ['rows', 'nope']), ['17', null]);
  same(await r.hGet('Sales ETL', 'nope'), null);
  same([await r.hExists('Sales ETL', 'rows'), await r.hLen('Sales ETL')], [1, 3]);
  same([await r.hIncrBy('Sales ETL', 'rows', 3), await r.hIncrByFloat('Sales ETL', 'rows', 0.5)], [20, '20.5']);
  same((await r.hKeys('Sales ETL')).sort(), ['größe', 'last run', 'rows']);
  same(await r.hRandFieldCountWithValues('Sales ETL', 3).then((all) => all.length), 3);
  same([await r.hDel('Sales ETL', ['last run', 'rows', 'größe']), await r.exists('Sales ETL')], [3, 0]);
  same(await r.hGetAll('Sales ETL'), {});
}));

checks.checkOfRedis8('HEXPIRE, HPEXPIRE, HTTL, HPTTL, HPERSIST, HEXPIREAT, HPEXPIRETIME', withClients(async (r) => {
  await r.hSet('ns', { a: '1', b: '2', c: '3' });
  same(await r.hExpire('ns', ['a', 'nope'], 100), [1, -2]);
  between((await r.hTTL('ns', ['a']))[0], 98, 100);
  same(await r.hExpire('ns', ['a'], 50, 'GT'), [0]);
  same(await r.hpExpire('ns', 'b', 60_000), [1]);
  between((await r.hpTTL('ns', ['b']))[0], 55_000, 60_000);
  same(await r.hPersist('ns', ['a', 'c', 'nope']), [1, -1, -2]);
  same(await r.hTTL('ns', ['a', 'nope']), [-1, -2]);
  const deadline = Date.now() + 500_000;
  same([await r.hpExpireAt('ns', ['a'], deadline), await r.hpExpireTime('ns', ['a'])], [[1], [deadline]]);
  same([await r.hExpireAt('ns', ['c'], 1000), await r.hGet('ns', 'c')], [[2], null]);
}));

checks.checkOfRedis8('HSETEX, HGETEX, HGETDEL', withClients(async (r) => {
  same(await r.hSetEx('ns', { a: '1', b: '2' }, { expiration: { type: 'PX', value: 60_000 } }), 1);
  between((await r.hpTTL('ns', ['a']))[0], 55_000, 60_000);
  same(await r.hSetEx('ns', { a: '9' }, { mode: 'FNX' }), 0);
  same(await r.hSetEx('ns', { a: '3' }, { mode: 'FXX', expiration: 'KEEPTTL' }), 1);
  between((await r.hpTTL('ns', ['a']))[0], 55_000, 60_000);
  same(await r.hGetEx('ns', ['a', 'nope'], { expiration: { type: 'EX', value: 100 } }), ['3', null]);
  between((await r.hTTL('ns', ['a']))[0], 98, 100);
  same([await r.hGetEx('ns', ['a'], { expiration: 'PERSIST' }), await r.hTTL('ns', ['a'])], [['3'], [-1]]);
  same([await r.hGetDel('ns', ['a', 'b', 'nope']), await r.exists('ns')], [['3', '2', null], 0]);
}));

checks.checkOfRedis8('a pair is gone when its TTL has run out', withClients(async (r) => {
  await r.hSet('ns', { short: '1', rewritten: '2', kept: '3' });
  await r.hpExpire('ns', ['short', 'rewritten'], 80);
  await r.hSet('ns', 'rewritten', '4');
  await sleep(300);
  same(await r.hGetAll('ns'), { rewritten: '4', kept: '3' });
}));

checks.check('SET with its options', withClients(async (r) => {
  same(await r.set('s', '1', { expiration: { type: 'EX', value: 100 } }), 'OK');
  same(await r.set('s', '2', { expiration: 'KEEPTTL', condition: 'XX', GET: true }), '1');
  between(await r.ttl('s'), 98, 100);
  same([await r.set('s', '3', { condition: 'NX' }), await r.set('none', '3', { condition: 'XX' })], [null, null]);
  const deadline = Date.now() + 500_000;
  same(await r.set('s', '4', { expiration: { type: 'PXAT', value: deadline } }), 'OK');
  same([await r.pExpireTime('s'), await r.set('s', '5'), await r.ttl('s')], [deadline, 'OK', -1]);
  same([await r.getEx('s', { type: 'PX', value: 90_000 }), await r.getDel('s'), await r.get('s')], ['5', '5', null]);
  same([await r.incr('n'), await r.incrBy('n', 41), await r.incrByFloat('n', 0.5)], [1, 42, '42.5']);
  same([await r.mSet({ a: '1', b: '2' }), await r.mGet(['a', 'nope', 'b'])], ['OK', ['1', null, '2']]);
}));

checks.check('errors are rejections, and the connection stays', withClients(async (r) => {
  await r.set('s', 'text');
  await rejects(r.hGet('s', 'f'), /^WRONGTYPE Operation against a key/);
  await rejects(r.incr('s'), /value is not an integer or out of range/);
  await rejects(r.sendCommand(['NOSUCH', 'x']), /unknown command 'NOSUCH'/);
  await rejects(r.sendCommand(['HSET', 'h']), /wrong number of arguments for 'hset' command/);
  same(await r.get('s'), 'text');
}));

checks.check('SCAN and HSCAN iterators', withClients(async (r) => {
  const strings = numbered(2000, 's:');
  await r.mSet(strings);
  await r.hSet('h', numbered(2000, 'f'));
  same(new Set(await collect(r.scanIterator({ MATCH: 's:*', COUNT: 100 }))), new Set(Object.keys(strings)));
  same(await collect(r.scanIterator({ TYPE: 'hash', COUNT: 1000 })), ['h']);
  const entries = await collect(r.hScanIterator('h', { COUNT: 100 }));
  same(Object.fromEntries(entries.map(({ field, value }) => [field, value])), numbered(2000, 'f'));
}));

checks.check('EXPIRE family, RENAME, COPY, MOVE, OBJECT, TYPE', withClients(async (r) => {
  await r.hSet('h', 'f', 'v');
  same([await r.expire('h', 100, 'XX'), await r.expire('h', 100)], [0, 1]);
  between(await r.ttl('h'), 95, 100);
  same([await r.persist('h'), await r.ttl('h'), await r.ttl('nope')], [1, -1, -2]);
  same([await r.rename('h', 'h2'), await r.copy('h2', 'h3'), await r.copy('h2', 'h3')], ['OK', 1, 0]);
  same([await r.copy('h2', 'h3', { REPLACE: true }), await r.move('h3', 5), await r.exists('h3')], [1, 1, 0]);
  same([await r.type('h2'), await r.renameNX('h2', 'h4'), await r.unlink('h4')], ['hash', 1, 1]);
  await rejects(r.rename('nope', 'x'), /no such key/);
  await r.set('n', '7');
  same([await r.objectEncoding('n'), await r.touch('n')], ['int', 1]);
  await r.select(5);
  same([await r.hGet('h3', 'f'), await r.dbSize()], ['v', 1]);
}));

checks.check('MULTI, EXEC, and a failing command in it', withClients(async (r) => {
  const results = await r.multi().hSet('h', 'n', 1).hIncrBy('h', 'n', 41).hGetAll('h').get('nope').exec();
  same(results, [1, 42, { n: '42' }, null]);
  await r.set('s', 'text');
  const error = await r.multi().set('a', '1').hGet('s', 'f').set('b', '2').exec().catch((e) => e);
  same([error.errorIndexes, await r.mGet(['a', 'b'])], [[1], ['1', '2']]);
}));

checks.check('WATCH: another client aborts EXEC', withClients(async (r, other) => {
  await r.set('k', '1');
  await r.watch('k');
  await other.set('k', '2');
  const error = await r.multi().set('k', '3').exec().catch((e) => e);
  same([error instanceof WatchError, await r.get('k')], [true, '2']);
  await r.watch('k');
  same(await r.multi().set('k', '4').exec(), ['OK']);
}));

checks.check('3000 commands at once are one pipeline, in order', withClients(async (r) => {
  const replies = await Promise.all(Array.from({ length: 3000 }, (_, i) => (i % 2 ? r.hIncrBy('h', 'n', 1) : r.echo(`${i}`))));
  same(replies, Array.from({ length: 3000 }, (_, i) => (i % 2 ? (i + 1) / 2 : `${i}`)));
  same(await r.multi().incr('x').get('x').execAsPipeline(), [1, '1']);
}));

checks.check('a pool of 5 connections takes 1000 commands', async (options) => {
  const pool = createClientPool({ ...options, socket: { port, host: '127.0.0.1' } }, { maximum: 5 });
  pool.on('error', () => {});
  await pool.connect();
  try {
    await Promise.all(Array.from({ length: 1000 }, () => pool.hIncrBy('h', 'n', 1)));
    same(await pool.hGet('h', 'n'), '1000');
  } finally {
    pool.destroy();
  }
});

checks.check('names, fields and values of any bytes', withClients(async (client) => {
  const r = withBuffers(client);
  const everyByte = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  same(await r.hSet(everyByte, everyByte, everyByte), 1);
  same(await r.hGet(everyByte, everyByte), everyByte);
  same(await r.hKeys(everyByte), [everyByte]);
  same([await r.set('', '\r\n$3\r\n'), await client.get('')], ['OK', '\r\n$3\r\n']);
}));

checks.check('values of 8 MiB', withClients(async (client) => {
  const r = withBuffers(client);
  const big = randomBytes(BIG_VALUE_BYTES);
  same([String(await r.set('big', big)), await r.strLen('big'), big.equals(await r.get('big'))], ['OK', big.length, true]);
  await r.hSet('h', { a: big, b: big });
  same((await r.hmGet('h', ['a', 'b', 'c'])).map((one) => one?.equals(big)), [true, true, undefined]);
}));

checks.checkOfRedis8('CLIENT SETINFO and SETNAME, as sent when connecting', (options) =>
  connected({ ...options, name: 'mashup', database: 3 }, async (r) => {
    const me = await r.clientInfo();
    same([me.name, me.libName, me.libVer, me.db, me.resp], ['mashup', 'node-redis', version, 3, options.RESP]);
    same((await r.clientList()).map(({ id }) => id).includes(await r.clientId()), true);
    same([await r.clientSetName('renamed'), await r.clientGetName()], ['OK', 'renamed']);
  }));

checks.check('CLIENT KILL: the library connects again', withClients(async (r, admin) => {
  const first = await r.clientId();
  same(await admin.clientKill({ filter: 'ID', id: first }), 1);
  await sleep(50);
  between(await r.clientId(), first + 1, Infinity);
  same(await r.set('k', 'v'), 'OK');
}));

checks.check('the server is started again, and the library goes on', async (options) => {
  const ownPort = await freePort();
  let server = startServer(ownPort);
  try {
    await connected({ ...options, socket: { port: ownPort, reconnectStrategy: () => 50 } }, async (r) => {
      same(await r.set('k', 'before'), 'OK');
      await endServer(server);
      server = startServer(ownPort);
      same([await r.set('k', 'after'), await r.get('k')], ['OK', 'after']);
    });
  } finally {
    await endServer(server);
  }
});

checks.check('requirepass: without, with a wrong and with the right password', async (options) => {
  const guarded = { ...options, socket: { port: authPort, reconnectStrategy: false } };
  await rejects(connected(guarded, async (r) => { await r.get('k'); }), /NOAUTH/);
  await rejects(connected({ ...guarded, password: 'wrong' }, async (r) => { await r.get('k'); }), /WRONGPASS/);
  await connected({ ...guarded, password }, async (r) => same(await r.set('k', 'v'), 'OK'));
  await connected({ ...guarded, username: 'default', password, name: 'n' }, async (r) => same(await r.clientGetName(), 'n'));
});

checks.check('INFO, COMMAND, COMMAND DOCS, CONFIG GET, PING', withClients(async (r) => {
  same(/^redis_version:\d+\./m.test(await r.info('server')), true);
  const commands = await r.command();
  same([commands.find(({ name }) => name === 'hset').arity, await r.commandCount()], [-4, commands.length]);
  same(Object.keys(await r.configGet('maxmemory')), ['maxmemory']);
  same([await r.ping(), await r.ping('größe'), await r.dbSize()], ['PONG', 'größe', 0]);
}));

console.log(`node-redis ${version} on Node.js ${process.versions.node}`);
const flush = () => connected({}, async (r) => { await r.flushAll(); });
for (const RESP of [2, 3]) await checks.run(`RESP${RESP}: `, flush, { RESP });
checks.close();
