// ioredis over RESP2 and over RESP3 (its default), through what pantry offers to Redis clients.
// Started by compat/run. Commands that ioredis sends as they are written, such as HEXPIRE, go through the same methods.

import { readFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import Redis from 'ioredis';
import {
  authPort, between, BIG_VALUE_BYTES, Checks, collect, endServer, freePort, password, port, rejects, same, sleep,
  startServer,
} from './checks.mjs';

const version = JSON.parse(readFileSync(new URL('node_modules/ioredis/package.json', import.meta.url))).version;
const checks = new Checks('ioredis');

/** Runs `use` with connections, as many as it takes arguments, and closes them whatever happens. */
async function connected(options, use) {
  const clients = Array.from({ length: use.length }, () => {
    const client = new Redis({ port, host: '127.0.0.1', ...options });
    client.on('error', () => {}); // a lost connection is reported here too; the checks look at the commands
    return client;
  });
  try {
    await use(...clients);
  } finally {
    for (const client of clients) client.disconnect();
  }
}

const withClients = (use) => (options) => connected(options, use);
const numbered = (count, prefix) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`${prefix}${i}`, `${i}`]));

checks.check('hashes', withClients(async (r) => {
  same(await r.hset('Sales ETL', { 'last run': '2026-11-22', rows: 17, größe: 'ü' }), 3);
  same(await r.hgetall('Sales ETL'), { 'last run': '2026-11-22', rows: '17', größe: 'ü' });
  same([await r.hmget('Sales ETL', 'rows', 'nope'), await r.hget('Sales ETL', 'nope')], [['17', null], null]);
  same([await r.hincrby('Sales ETL', 'rows', 3), await r.hincrbyfloat('Sales ETL', 'rows', 0.5)], [20, '20.5']);
  same([await r.hsetnx('Sales ETL', 'rows', 1), await r.hexists('Sales ETL', 'rows')], [0, 1]);
  same((await r.hrandfield('Sales ETL', 3)).sort(), ['größe', 'last run', 'rows']);
  same([await r.hdel('Sales ETL', 'last run', 'rows', 'größe'), await r.exists('Sales ETL')], [3, 0]);
  same(await r.hgetall('Sales ETL'), {});
}));

checks.checkOfRedis8('HEXPIRE, HPEXPIRE, HTTL, HPTTL, HPERSIST', withClients(async (r) => {
  await r.hset('ns', { a: '1', b: '2' });
  same(await r.hexpire('ns', 100, 'FIELDS', 2, 'a', 'nope'), [1, -2]);
  between((await r.httl('ns', 'FIELDS', 1, 'a'))[0], 98, 100);
  same(await r.hexpire('ns', 50, 'GT', 'FIELDS', 1, 'a'), [0]);
  same(await r.hpexpire('ns', 60_000, 'NX', 'FIELDS', 1, 'b'), [1]);
  between((await r.hpttl('ns', 'FIELDS', 1, 'b'))[0], 55_000, 60_000);
  same([await r.hpersist('ns', 'FIELDS', 1, 'a'), await r.httl('ns', 'FIELDS', 2, 'a', 'nope')], [[1], [-1, -2]]);
  same(await r.hpexpire('ns', 60, 'FIELDS', 1, 'b'), [1]);
  await sleep(250);
  same(await r.hgetall('ns'), { a: '1' });
}));

checks.checkOfRedis8('HSETEX, HGETEX, HGETDEL', withClients(async (r) => {
  same(await r.call('HSETEX', 'ns', 'PX', '60000', 'FIELDS', '2', 'a', '1', 'b', '2'), 1);
  between((await r.hpttl('ns', 'FIELDS', 1, 'a'))[0], 55_000, 60_000);
  same(await r.call('HSETEX', 'ns', 'FNX', 'FIELDS', '1', 'a', '9'), 0);
  same(await r.call('HGETEX', 'ns', 'PERSIST', 'FIELDS', '2', 'a', 'nope'), ['1', null]);
  same(await r.httl('ns', 'FIELDS', 1, 'a'), [-1]);
  same([await r.call('HGETDEL', 'ns', 'FIELDS', '2', 'a', 'b'), await r.exists('ns')], [['1', '2'], 0]);
}));

checks.check('SET with its options, and other string commands', withClients(async (r) => {
  same([await r.set('s', '1', 'EX', 100, 'NX'), await r.set('s', '2', 'NX')], ['OK', null]);
  same(await r.set('s', '2', 'KEEPTTL', 'GET'), '1');
  between(await r.ttl('s'), 95, 100);
  const deadline = Date.now() + 500_000;
  same([await r.set('s', '3', 'PXAT', deadline), await r.pexpiretime('s')], ['OK', deadline]);
  same([await r.set('s', '4', 'XX'), await r.ttl('s'), await r.getex('s', 'PX', 90_000)], ['OK', -1, '4']);
  same([await r.getdel('s'), await r.get('s'), await r.append('s', 'ab'), await r.strlen('s')], ['4', null, 2, 2]);
  same([await r.incr('n'), await r.decrby('n', 5), await r.incrbyfloat('n', '0.5')], [1, -4, '-3.5']);
  same([await r.mset({ a: '1', b: '2' }), await r.mget('a', 'nope', 'b')], ['OK', ['1', null, '2']]);
}));

checks.check('errors are rejections, and the connection stays', withClients(async (r) => {
  await r.set('s', 'text');
  await rejects(r.hget('s', 'f'), /^WRONGTYPE Operation against a key/);
  await rejects(r.incr('s'), /value is not an integer or out of range/);
  await rejects(r.call('NOSUCH', 'x'), /unknown command 'NOSUCH'/);
  await rejects(r.call('HSET', 'h'), /wrong number of arguments for 'hset' command/);
  same(await r.get('s'), 'text');
}));

checks.check('scanStream and hscanStream', withClients(async (r) => {
  const strings = numbered(2000, 's:');
  await r.mset(strings);
  await r.hset('h', numbered(2000, 'f'));
  same(new Set(await collect(r.scanStream({ match: 's:*', count: 100 }))), new Set(Object.keys(strings)));
  same(await collect(r.scanStream({ type: 'hash', count: 1000 })), ['h']);
  const flat = await collect(r.hscanStream('h', { count: 100 }));
  const pairs = flat.flatMap((one, i) => (i % 2 ? [] : [[one, flat[i + 1]]]));
  same(new Map(pairs.sort()), new Map(Object.entries(numbered(2000, 'f')).sort()));
}));

checks.check('EXPIRE family, RENAME, COPY, MOVE, OBJECT, TYPE', withClients(async (r) => {
  await r.hset('h', 'f', 'v');
  same([await r.expire('h', 100, 'XX'), await r.expire('h', 100)], [0, 1]);
  between(await r.ttl('h'), 95, 100);
  same([await r.persist('h'), await r.ttl('h'), await r.ttl('nope')], [1, -1, -2]);
  same([await r.rename('h', 'h2'), await r.copy('h2', 'h3'), await r.copy('h2', 'h3')], ['OK', 1, 0]);
  same([await r.copy('h2', 'h3', 'REPLACE'), await r.move('h3', 5), await r.exists('h3')], [1, 1, 0]);
  same([await r.type('h2'), await r.object('ENCODING', 'nope'), await r.unlink('h2')], ['hash', null, 1]);
  await rejects(r.rename('nope', 'x'), /no such key/);
  same([await r.select(5), await r.hget('h3', 'f'), await r.dbsize()], ['OK', 'v', 1]);
}));

checks.check('MULTI, EXEC, and a failing command in it', withClients(async (r) => {
  const results = await r.multi().hset('h', 'n', 1).hincrby('h', 'n', 41).hgetall('h').get('nope').exec();
  same(results, [[null, 1], [null, 42], [null, { n: '42' }], [null, null]]);
  await r.set('s', 'text');
  const [first, second, third] = await r.multi().set('a', '1').hget('s', 'f').set('b', '2').exec();
  same([first, /WRONGTYPE/.test(second[0].message), third], [[null, 'OK'], true, [null, 'OK']]);
  await rejects(r.multi().set('c', '1').call('HSET', 'h').exec(), /EXECABORT/);
  same(await r.exists('c'), 0);
}));

checks.check('WATCH: another client aborts EXEC; DISCARD', withClients(async (r, other) => {
  await r.set('k', '1');
  await r.watch('k');
  await other.set('k', '2');
  same([await r.multi().set('k', '3').exec(), await r.get('k')], [null, '2']);
  await r.watch('k');
  same(await r.multi().set('k', '4').exec(), [[null, 'OK']]);
  await r.multi({ pipeline: false });
  same([await r.set('k', '5'), await r.discard(), await r.get('k')], ['QUEUED', 'OK', '4']);
}));

checks.check('a pipeline of 3000 commands, in order, and automatic pipelines', async (options) => {
  await connected(options, async (r) => {
    const pipeline = r.pipeline();
    for (let i = 0; i < 1500; i += 1) pipeline.hincrby('h', 'n', 1).echo(`${i}`);
    same(await pipeline.exec(), Array.from({ length: 3000 }, (_, i) => [null, i % 2 ? `${(i - 1) / 2}` : i / 2 + 1]));
  });
  await connected({ ...options, enableAutoPipelining: true }, async (r) => {
    same(await Promise.all(Array.from({ length: 500 }, () => r.incr('x'))), Array.from({ length: 500 }, (_, i) => i + 1));
  });
});

checks.check('names, fields and values of any bytes', withClients(async (r) => {
  const everyByte = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  same(await r.hset(everyByte, everyByte, everyByte), 1);
  same([await r.hgetBuffer(everyByte, everyByte), await r.keysBuffer('*')], [everyByte, [everyByte]]);
  same([await r.set('', '\r\n$3\r\n'), await r.get('')], ['OK', '\r\n$3\r\n']);
}));

checks.check('values of 8 MiB', withClients(async (r) => {
  const big = randomBytes(BIG_VALUE_BYTES);
  same([await r.set('big', big), await r.strlen('big'), big.equals(await r.getBuffer('big'))], ['OK', big.length, true]);
  await r.hset('h', { a: big, b: big });
  same((await r.hmgetBuffer('h', 'a', 'b', 'c')).map((one) => one?.equals(big)), [true, true, undefined]);
}));

checks.checkOfRedis8('CLIENT SETINFO and SETNAME, as sent when connecting', (options) =>
  connected({ ...options, connectionName: 'mashup', db: 3 }, async (r) => {
    const me = Object.fromEntries((await r.client('INFO')).trim().split(' ').map((pair) => pair.split('=')));
    same([me.name, me['lib-name'], me['lib-ver'], me.db], ['mashup', 'ioredis', version, '3']);
    same([me.resp, me.id], [`${options.protocol}`, `${await r.client('ID')}`]);
    same((await r.client('LIST')).includes(' name=mashup '), true);
    same([await r.client('SETNAME', 'renamed'), await r.client('GETNAME')], ['OK', 'renamed']);
  }));

checks.check('CLIENT KILL: the library connects again, and sends again what was not answered', withClients(async (r, admin) => {
  const first = await r.client('ID');
  same(await admin.client('KILL', 'ID', first), 1);
  same([await r.set('k', 'v'), await r.get('k')], ['OK', 'v']);
  between(await r.client('ID'), first + 1, Infinity);
}));

checks.check('the server is started again, and the library goes on', async (options) => {
  const ownPort = await freePort();
  let server = startServer(ownPort);
  try {
    const patient = { ...options, port: ownPort, retryStrategy: () => 50, maxRetriesPerRequest: null, db: 2 };
    await connected(patient, async (r) => {
      same(await r.set('k', 'before'), 'OK');
      await endServer(server);
      server = startServer(ownPort);
      same([await r.set('k', 'after'), await r.get('k')], ['OK', 'after']);
      same((await r.client('INFO')).includes(' db=2 '), true);
    });
  } finally {
    await endServer(server);
  }
});

checks.check('requirepass: without, with a wrong and with the right password', async (options) => {
  const guarded = { ...options, port: authPort, retryStrategy: null, enableReadyCheck: false };
  await connected(guarded, async (r) => rejects(r.get('k'), /NOAUTH/));
  await connected({ ...guarded, password: 'wrong' }, async (r) => rejects(r.get('k'), /NOAUTH|WRONGPASS|closed/i));
  await connected({ ...guarded, password }, async (r) => same(await r.set('k', 'v'), 'OK'));
  await connected({ ...guarded, username: 'default', password, db: 4 }, async (r) => same(await r.set('k', '4'), 'OK'));
  const url = `redis://default:${encodeURIComponent(password)}@127.0.0.1:${authPort}/4`;
  const byUrl = new Redis(url, options);
  try {
    same(await byUrl.get('k'), '4');
  } finally {
    byUrl.disconnect();
  }
});

checks.check('INFO, COMMAND, CONFIG GET, PING', withClients(async (r) => {
  same(/^redis_version:\d+\./m.test(await r.info()), true);
  const commands = await r.command();
  same([commands.find(([name]) => name === 'hset')[1], await r.command('COUNT')], [-4, commands.length]);
  same([await r.ping(), await r.ping('größe'), await r.dbsize()], ['PONG', 'größe', 0]);
}));

console.log(`ioredis ${version} on Node.js ${process.versions.node}`);
const flush = () => connected({}, async (r) => { await r.flushall(); });
for (const protocol of [2, 3]) await checks.run(`RESP${protocol}: `, flush, { protocol });
checks.close();
