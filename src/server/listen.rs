//! Starting and stopping: worker threads, accepting and handing out connections.
//!
//! Sockets to accept from are in [`super::doors`]. Each connection goes to the thread with the fewest. Accepting survives every error: a server
//! that runs out of file descriptors serves those it has.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};

use super::clients::{Address, Client, Flag};
use super::doors::{Door, Doors};
use super::stream::Accepted;
use super::worker::{self, Worker};
use super::{Server, http, process, resp, signals, supervisor};

/// Time that connections have to end when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_millis(1500);
/// Time a client has to begin TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after accept failed, so that a lack of file descriptors is no busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Probes without an answer after which the system gives a connection up.
const KEEPALIVE_PROBES: u64 = 3;
/// The longest time between them that Linux takes.
const KEEPALIVE_TIME_MAX_S: u64 = 32_767;

/// The threads that serve, and how many connections each has.
#[derive(Debug)]
pub(super) struct Pool {
    workers: Vec<(Handle, AtomicUsize)>,
    /// Of all connections, those of HTTP.
    http: AtomicUsize,
}

/// Serves until the process is asked to stop.
///
/// # Errors
/// When an address can not be listened on, or a thread not started.
pub fn serve(server: Arc<Server>) -> Result<()> {
    let config = server.config();
    let allowed = signals::allow_clients(config.maxclients);
    if allowed < config.maxclients {
        tracing::warn!(maxclients = allowed, "the limit of open files allows fewer clients");
        server.change_config(|config| {
            config.maxclients = allowed;
            anyhow::Ok(())
        })?;
    }
    let workers = server.metrics.len();
    let runtimes: Vec<Runtime> =
        (0..workers).map(|_| event_loop()).collect::<io::Result<_>>().context("event loop")?;
    let pool = Arc::new(Pool {
        http: AtomicUsize::new(0),
        workers: runtimes.iter().map(|rt| (rt.handle().clone(), AtomicUsize::new(0))).collect(),
    });
    let mut runtimes = runtimes.into_iter();
    let first = runtimes.next().context("no worker thread")?;
    let mut threads = Vec::new();
    for (index, runtime) in (1..).zip(runtimes) {
        let server = server.clone();
        let work = move || run_worker(&runtime, server, index, workers);
        threads.push(std::thread::Builder::new().name(format!("worker-{index}")).spawn(work)?);
    }
    Worker::install(server.clone(), 0);
    first.block_on(run_first(server.clone(), pool, workers))?;
    drop(first);
    for thread in threads {
        if thread.join().is_err() {
            bail!("a worker thread panicked");
        }
    }
    Ok(())
}

/// The first worker also listens, accepts, and minds signals and time.
async fn run_first(server: Arc<Server>, pool: Arc<Pool>, workers: usize) -> Result<()> {
    let config = server.config();
    // Before anybody can see that the server runs, and ask it to stop.
    let stop_requested = signals::stop_requested()?;
    Doors::open(&server, &pool)?;
    process::write_pid(&config.pidfile);
    tokio::spawn(mind_time(server.clone()));
    tokio::spawn(mind_pause(server.clone()));
    tokio::spawn(mind_hangup(server.clone()));
    tracing::info!("Ready to accept connections");
    supervisor::notify(config.supervised, "STATUS=Ready to accept connections\nREADY=1\n");
    tokio::select! {
        signal = stop_requested => tracing::info!(signal, "stopping"),
        () = server.stop.cancelled() => tracing::info!("stopping on request"),
        () = worker::reap(server.clone(), 0, workers) => {}
    }
    server.stop.cancel();
    supervisor::notify(config.supervised, "STATUS=Stopping\nSTOPPING=1\n");
    server.doors.close();
    end_connections(&server).await;
    process::remove_pid(&config.pidfile);
    tracing::info!("bye");
    Ok(())
}

/// What SIGHUP asks for: logs and certificates are opened anew.
async fn mind_hangup(server: Arc<Server>) {
    let renew = || {
        crate::log::reopen();
        server.audit.reopen();
        match server.tls.load(&server.config()) {
            Ok(()) => tracing::info!("certificates were read again"),
            Err(error) => tracing::warn!("certificates stay what they were: {error:#}"),
        }
    };
    if let Err(error) = signals::mind_hangup(renew).await {
        tracing::warn!(%error, "SIGHUP is not heard");
    }
}

fn run_worker(runtime: &Runtime, server: Arc<Server>, index: usize, workers: usize) {
    Worker::install(server.clone(), index);
    runtime.block_on(async {
        worker::reap(server.clone(), index, workers).await;
        // Its connections end with the others; see `end_connections`.
        let _ = tokio::time::timeout(STOP_TIMEOUT, no_clients(&server)).await;
    });
}

fn event_loop() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Tells every connection to end, and waits until they have, but not for ever.
async fn end_connections(server: &Server) {
    for client in server.clients.list() {
        client.kill();
    }
    if tokio::time::timeout(STOP_TIMEOUT, no_clients(server)).await.is_err() {
        tracing::warn!(clients = server.clients.len(), "connections cut");
    }
}

async fn no_clients(server: &Server) {
    while !server.clients.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Once a second: follows the wall clock, and looks after clients.
async fn mind_time(server: Arc<Server>) {
    let mut token_trouble = String::new();
    loop {
        refresh_tokens(&server, &mut token_trouble);
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.store.clock.slew();
        crate::log::reopen_if_moved();
        server.audit.reopen_if_moved();
        let commands = server.sum(|metrics| &metrics.total_commands_processed);
        let now_ms = server.store.clock.now_ms();
        server.rate.sample(commands, now_ms);
        let received = server.sum(|metrics| &metrics.total_net_input_bytes);
        let sent = server.sum(|metrics| &metrics.total_net_output_bytes);
        server.net_rates[0].sample(received, now_ms);
        server.net_rates[1].sample(sent, now_ms);
        mind_clients(&server);
    }
}

/// Closes Redis clients that idle beyond `timeout`, unless they wait for messages or for the end of a
/// pause, and those for which too much waits for too long.
fn mind_clients(server: &Server) {
    let timeout_ms = server.config().timeout_s.saturating_mul(1000);
    let now_ms = server.store.clock.now_ms();
    for client in server.clients.list() {
        let idle_ms = now_ms.saturating_sub(client.active_ms.load(Relaxed));
        let may_idle = client.resp.load(Relaxed) == 0
            || client.is_subscriber()
            || client.has(Flag::Paused)
            || client.has(Flag::Monitor);
        if timeout_ms > 0 && idle_ms > timeout_ms && !may_idle {
            client.kill();
        } else if client.has_output() && server.post.is_over_limit(&client, now_ms) {
            server.post.cut(&client);
        }
    }
}

/// Ends a pause of clients when its time is over.
async fn mind_pause(server: Arc<Server>) {
    let (turn, clock) = (&server.store.turn, &server.store.clock);
    loop {
        match turn.pause_left_ms(clock.now_ms()) {
            None => turn.pause_began().await,
            Some(left_ms) => tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(left_ms.max(1))) => {}
                () = turn.pause_began() => {}
                () = turn.pause_ended() => {}
            },
        }
    }
}

/// Reads changed tokens. What goes wrong is logged once, not again until it has changed.
fn refresh_tokens(server: &Server, trouble: &mut String) {
    let found = server.tokens.refresh(server.store.clock.now_ms());
    let found = found.err().map(|error| format!("{error:#}")).unwrap_or_default();
    if !found.is_empty() && found != *trouble {
        tracing::warn!("tokens stay what they were: {found}");
    }
    *trouble = found;
}

/// Accepts from a TCP socket until the server stops or the task is aborted.
pub(super) async fn accept(
    server: Arc<Server>,
    pool: Arc<Pool>,
    door: Door,
    listener: TcpListener,
) {
    loop {
        let accepted = tokio::select! {
            () = server.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let taken = accepted.and_then(|(stream, addr)| Ok((stream.into_std()?, addr)));
        match taken {
            Ok((stream, addr)) => {
                pool.hand_out(&server, door, Accepted::Tcp(stream), addr.into());
            }
            Err(error) => {
                tracing::debug!(%error, "accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Accepts from the unix socket at `path` until the server stops.
#[cfg(unix)]
pub(super) async fn accept_unix(
    server: Arc<Server>,
    pool: Arc<Pool>,
    path: Arc<str>,
    listener: tokio::net::UnixListener,
) {
    loop {
        let accepted = tokio::select! {
            () = server.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted.and_then(|(stream, _)| stream.into_std()) {
            Ok(stream) => {
                let addr = Address::Unix(path.clone());
                pool.hand_out(&server, Door::Redis, Accepted::Unix(stream), addr);
            }
            Err(error) => {
                tracing::debug!(%error, "accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Pool {
    /// Gives a connection to the thread that has the fewest.
    fn hand_out(
        self: &Arc<Self>,
        server: &Arc<Server>,
        door: Door,
        stream: Accepted,
        addr: Address,
    ) {
        let config = server.config();
        let now_ms = server.store.clock.now_ms();
        // Only the first worker accepts, so these counters are its own.
        let metrics = &server.metrics[0];
        let Ok(laddr) = stream.local_addr() else { return };
        let laddr = laddr.map_or_else(|| addr.clone(), Address::from);
        if config.protected_mode && server.acl.default_user().needs_no_password && !addr.is_local()
        {
            metrics.rejected_connections.add(1);
            refuse(door, stream, PROTECTED);
            return;
        }
        let resp = if door.is_redis() { 2 } else { 0 };
        let has_room = door.is_redis() || self.http.load(Relaxed) < config.http_maxclients();
        let max = if has_room { config.maxclients } else { 0 };
        let registered = server.clients.connect((addr, laddr), resp, now_ms, max);
        let Some(client) = registered else {
            metrics.rejected_connections.add(1);
            refuse(door, stream, FULL);
            return;
        };
        metrics.total_connections_received.add(1);
        let fewest =
            self.workers.iter().enumerate().min_by_key(|(_, worker)| worker.1.load(Relaxed));
        let Some((index, (handle, count))) = fewest else { return };
        count.fetch_add(1, Relaxed);
        self.http.fetch_add(usize::from(!door.is_redis()), Relaxed);
        client.set_worker(index);
        let seat = Seat { pool: self.clone(), server: server.clone(), client, index, door };
        handle.spawn(async move {
            let served = serve_one(stream, seat.client.clone(), seat.server.clone(), door).await;
            if let Err(error) = served {
                tracing::debug!(%error, "connection");
            }
        });
    }
}

/// A connection's place on its thread and in the registry; given back however it ends.
struct Seat {
    pool: Arc<Pool>,
    server: Arc<Server>,
    client: Arc<Client>,
    index: usize,
    door: Door,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.server.clients.disconnect(&self.client);
        self.pool.workers[self.index].1.fetch_sub(1, Relaxed);
        self.pool.http.fetch_sub(usize::from(!self.door.is_redis()), Relaxed);
    }
}

/// Serves one connection. What it awaits is in boxes, but for what a client of the Redis door is always in: a task
/// takes as much as the most that it ever awaits.
async fn serve_one(
    accepted: Accepted,
    client: Arc<Client>,
    server: Arc<Server>,
    door: Door,
) -> io::Result<()> {
    if let Accepted::Tcp(stream) = &accepted {
        stream.set_nodelay(true)?;
        let keepalive_s = server.config().tcp_keepalive_s;
        if keepalive_s > 0 {
            // A peer that is gone is noticed after twice the time, as in Redis.
            let time_s = keepalive_s.min(KEEPALIVE_TIME_MAX_S);
            let between = Duration::from_secs((time_s / KEEPALIVE_PROBES).max(1));
            let keepalive = socket2::TcpKeepalive::new()
                .with_time(Duration::from_secs(time_s))
                .with_interval(between)
                .with_retries(KEEPALIVE_PROBES as u32);
            socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
        }
    }
    let mut stream = accepted.into_stream()?;
    if let Door::RedisTls | Door::HttpTls = door {
        let acceptor = if door.is_redis() { server.tls.redis() } else { server.tls.http() };
        let acceptor = acceptor.ok_or_else(|| io::Error::other("TLS was turned off"))?;
        let shaking =
            Box::pin(tokio::time::timeout(HANDSHAKE_TIMEOUT, stream.under_tls(&acceptor)));
        let shaken = shaking.await;
        stream = shaken.map_err(|_| io::ErrorKind::TimedOut)??;
    }
    match door.is_redis() {
        true => resp::serve(stream, client, server).await,
        false => Box::pin(http::serve(stream, client, server)).await,
    }
    Ok(())
}

/// Why a connection is refused: for RESP, and status and text for HTTP.
type Refusal = (&'static str, &'static str, &'static str);

const FULL: Refusal = (
    "-ERR max number of clients reached\r\n",
    "503 Service Unavailable",
    r#"{"statusCode":503,"error":"Service Unavailable","message":"max number of clients reached"}"#,
);

const PROTECTED: Refusal = (
    "-DENIED Redis is running in protected mode because protected mode is enabled and no password is \
     set for the default user. In this mode connections are only accepted from the loopback \
     interface. To connect from other computers, set a password (requirepass, or ACL SETUSER \
     default), or say protected-mode no if nobody else can reach this port.\r\n",
    "403 Forbidden",
    r#"{"statusCode":403,"error":"Forbidden","message":"protected mode: no password is set, so only this machine is served. Set requirepass, or say protected-mode no"}"#,
);

/// Says why before it closes; whether the client hears it is the client's matter.
fn refuse(door: Door, mut stream: Accepted, (resp, status, json): Refusal) {
    if door.is_redis() {
        stream.say(resp.as_bytes());
        return;
    }
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json; charset=utf-8\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        json.len()
    );
    stream.say((head + json).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of what a function of four arguments returns.
    fn returned_bytes<A, B, C, D, R>(_: fn(A, B, C, D) -> R) -> usize {
        size_of::<R>()
    }

    #[test]
    fn a_task_has_no_room_for_what_other_doors_await() {
        assert!(returned_bytes(serve_one) <= 256, "{} bytes", returned_bytes(serve_one));
    }
}
