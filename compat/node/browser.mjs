// A real browser (Debian's chromium) with a page of another origin: both builds of the JavaScript client, watch, CORS;
// and Swagger UI at /documentation, with nothing but this machine to be reached. Started by compat/run.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Checks, endServer, freePort, password, same, sleep } from './checks.mjs';

const BROWSER = process.env.COMPAT_BROWSER;
const PATIENCE_MS = 60_000;
const checks = new Checks('browser');
const profile = mkdtempSync(join(tmpdir(), 'pantry-browser-'));
const file = (name) => readFileSync(new URL(name, import.meta.url));

const PAGE = `<!DOCTYPE html><meta charset="utf-8"><title>page</title>
<script src="/require.js"></script><script type="module" src="/page.mjs"></script>`;

/** A pantry that lets this origin in, or none. */
async function startPantry(origin, secret) {
  const [port, httpPort] = [await freePort(), await freePort()];
  const flags = [String(port), String(httpPort), secret, ...(origin ? ['--http-cors-origin', origin] : [])];
  const server = spawn(process.env.COMPAT_SERVE, flags, { stdio: 'ignore' });
  for (let tries = 0; !(await accepts(httpPort)); tries += 1) {
    if (tries > 100) throw new Error('pantry does not start');
    await sleep(100);
  }
  return { server, url: `http://127.0.0.1:${httpPort}` };
}

const accepts = (port) => new Promise((resolve) => {
  const probe = connect(port, '127.0.0.1', () => { probe.destroy(); resolve(true); });
  probe.on('error', () => resolve(false));
});

/** Starts the browser on a page; `--host-resolver-rules` keeps it from the internet. */
function browse(url, ...more) {
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-extensions',
    '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1', `--user-data-dir=${profile}`, ...more, url];
  return spawn(BROWSER, flags, { stdio: ['ignore', 'pipe', 'ignore'], detached: true });
}

function close(browser) {
  try {
    process.kill(-browser.pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

async function runPage() {
  let reported;
  const outcomes = new Promise((resolve) => { reported = resolve; });
  let where;
  const site = createServer((request, response) => {
    const send = (type, body) => response.writeHead(200, { 'Content-Type': type }).end(body);
    if (request.url === '/') return send('text/html', PAGE);
    if (request.url === '/page.mjs') return send('text/javascript', file('../browser/page.mjs'));
    if (request.url === '/require.js') return send('text/javascript', file('./node_modules/requirejs/require.js'));
    if (request.url === '/where') return send('application/json', JSON.stringify(where));
    if (request.url !== '/outcomes') return response.writeHead(404).end();
    let body = '';
    request.on('data', (part) => { body += part; });
    return request.on('end', () => { response.end(); reported(JSON.parse(body)); });
  });
  await new Promise((resolve) => { site.listen(0, '127.0.0.1', resolve); });
  const origin = `http://127.0.0.1:${site.address().port}`;
  const [open, closed, refusing] =
    [await startPantry(origin, ''), await startPantry(origin, password), await startPantry('', '')];
  where = { open: open.url, closed: closed.url, refusing: refusing.url, password };
  const browser = browse(`${origin}/`);
  const late = sleep(PATIENCE_MS).then(() => [{ text: 'the page reports', ok: false, why: 'it did not in time' }]);
  const found = await Promise.race([outcomes, late]);
  close(browser);
  site.close();
  const documentation = await dump(`${refusing.url}/documentation`);
  await Promise.all([open, closed, refusing].map((one) => endServer(one.server)));
  return { found, documentation };
}

/** The page as the browser shows it. */
async function dump(url) {
  const browser = browse(url, '--virtual-time-budget=20000', '--dump-dom');
  const timer = setTimeout(() => close(browser), PATIENCE_MS);
  let dom = '';
  for await (const part of browser.stdout) dom += part;
  clearTimeout(timer);
  close(browser);
  return dom;
}

const { found, documentation } = await runPage();
for (const { text, ok, why } of found) {
  checks.check(text, async () => { if (!ok) throw new Error(why); });
}
checks.check('/documentation shows both APIs without the internet', async () => {
  for (const path of ['/v1/get', '/v1/watch', '/v4/butlerping', '/v4/keyvaluesnamespaces']) {
    same([path, documentation.includes(`data-path="${path}"`)], [path, true]);
  }
});
await checks.run('', async () => {});
rmSync(profile, { recursive: true, force: true });
checks.close();
