// Runs in the browser, in a page of another origin than pantry's: what extensions and mashups do with the client.
// Reports to the server that the page came from, which ../node/browser.mjs is.

const { open, closed, password, refusing } = await (await fetch('/where')).json();
const outcomes = [];

async function check(text, run) {
  try {
    await run();
    outcomes.push({ text, ok: true });
  } catch (error) {
    outcomes.push({ text, ok: false, why: String(error?.stack ?? error) });
  }
}

function same(actual, expected) {
  const [is, wanted] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (is !== wanted) throw new Error(`expected ${wanted}, got ${is}`);
}

async function until(condition) {
  for (let waited = 0; !condition(); waited += 20) {
    if (waited > 8000) throw new Error('did not become true in time');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function pairs({ Pantry, PantryError }, name) {
  const pantry = new Pantry(open);
  const shop = pantry.namespace(name);
  await shop.set('größte "Menge"', '3', { ttl: 'PT1H' });
  same(await shop.get('größte "Menge"'), '3');
  same([await shop.exists('none'), await shop.get('none')], [false, null]);
  same(await shop.increment('n', 2), '2');
  same((await shop.list()).length, 2);
  const held = await pantry.lock(name, 60000);
  same(await pantry.lock(name, 60000), null);
  await pantry.unlock(name, held.token);
  const failed = await shop.set('n', 'x', { only_if: 'missing' }).catch((error) => error);
  same([failed instanceof PantryError, failed.status], [true, 412]);
}

async function watch({ Pantry }, name) {
  const watched = new Pantry(open).namespace(name);
  const seen = [];
  const following = watched.watch((event) => seen.push(`${event.event} ${event.key} ${event.value}`));
  // When it watches is not told; the first event says so.
  for (let n = 0; seen.length === 0; n += 1) {
    await watched.set('first', String(n));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const before = seen.length;
  await watched.set('k', 'v');
  await watched.delete('k');
  await until(() => seen.includes('delete k null'));
  following.close();
  same(seen.slice(before).filter((line) => line.includes(' k ')), ['put k v', 'delete k null']);
}

const asModule = await import(`${open}/v1/client/pantry.mjs`);
await check('the ES module, across origins: pairs, locks, errors', () => pairs(asModule, 'browser esm'));
await check('the ES module, across origins: watch', () => watch(asModule, 'browser esm watched'));

const asAmd = await new Promise((resolve, reject) => {
  window.require([`${open}/v1/client/pantry.js`], resolve, reject);
});
await check('the AMD module by RequireJS: pairs, locks, errors', () => pairs(asAmd, 'browser amd'));
await check('the AMD module by RequireJS: watch', () => watch(asAmd, 'browser amd watched'));

await check('a user and a password, which need a preflight', async () => {
  const { Pantry } = asModule;
  const wrong = await new Pantry(closed).namespaces().catch((error) => error.status);
  same(wrong, 401);
  const pantry = new Pantry(closed, { password });
  await pantry.namespace('browser auth').set('k', 'v');
  same(await pantry.namespace('browser auth').get('k'), 'v');
});

await check('EventSource comes back where it was', async () => {
  const events = new EventSource(`${open}/v1/watch?namespace=browser%20sse&values=1`);
  const ids = [];
  await new Promise((resolve) => events.addEventListener('ready', resolve, { once: true }));
  events.addEventListener('put', (event) => ids.push(event.lastEventId));
  const sse = new asModule.Pantry(open).namespace('browser sse');
  await sse.set('a', '1');
  await until(() => ids.length === 1);
  events.close();
  await sse.set('b', '2');
  const changes = await (await fetch(`${open}/v1/changes?namespace=browser%20sse&since=${ids[0]}`)).json();
  same(changes.data.map((row) => row.key), ['b']);
});

await check('a server that does not name the origin is not read', async () => {
  const answer = await fetch(`${refusing}/v1/ping`).catch((error) => error.name);
  same(answer, 'TypeError');
  const written = await new asModule.Pantry(refusing).namespace('n').set('k', 'v').catch((error) => error.name);
  same(written, 'TypeError');
});

await fetch('/outcomes', { method: 'POST', body: JSON.stringify(outcomes) });
