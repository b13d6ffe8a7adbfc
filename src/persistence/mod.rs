//! Persistence: what ties the store, its journal and its snapshots to a data directory.
//!
//! One thread loads the directory at start, and then takes snapshots: when one is asked for, when the
//! journal has grown enough, and when the disk failed so that nothing but a snapshot helps. What a
//! record or an effect is, and how commands ask, is not known here.

pub mod backup;
mod progress;
pub mod recover;
pub mod snapshot;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail};
use parking_lot::{Condvar, Mutex};

use crate::journal::disk::{Directory, Disk};
use crate::journal::files::{Inventory, journal_name, snapshot_name};
use crate::journal::record::Records;
use crate::journal::threads::Threads;
use crate::server::Server;
use crate::store::capture::Slices;
use crate::store::{Hasher, Held};
use progress::Progress;

/// How often it is looked whether a snapshot is needed.
const TICK: Duration = Duration::from_millis(100);
/// After a snapshot failed, time until the next is tried unasked, in ms.
const RETRY_MS: u64 = 1000;

/// The data directory of a running server.
#[derive(Debug, Default)]
pub struct Persistence {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    running: Option<Arc<Running>>,
    /// Why loading failed.
    failure: Option<anyhow::Error>,
    /// What [`Persistence::switch`] waits for, and why it was not done.
    order: Option<bool>,
    order_error: Option<String>,
    /// A backup is asked for; what came of the last one.
    wants_backup: bool,
    backup: Option<Result<PathBuf, String>>,
    is_wanted: bool,
    is_closing: bool,
    /// Snapshots that were begun, and how the last one that ended did.
    begun: u64,
    ended: u64,
    last_error: Option<String>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Running {
    disk: Arc<dyn Disk>,
    threads: Threads,
}

/// A data directory that this process owns, and the hash function its snapshot was taken with.
#[derive(Debug)]
pub struct Opened {
    /// The directory.
    pub disk: Arc<dyn Disk>,
    /// The function; a new one if there is no snapshot.
    pub hasher: Hasher,
}

/// Opens a data directory; makes it if there is none.
///
/// # Errors
/// When it can not be opened, or belongs to another process.
pub fn open(path: &Path) -> anyhow::Result<Opened> {
    let disk = Directory::open(path)?;
    let hasher = hasher_of(&disk)?;
    Ok(Opened { disk: Arc::new(disk), hasher })
}

/// Refuses to run in memory over a directory that holds data.
///
/// # Errors
/// If it does.
pub fn check_unused(path: &Path) -> anyhow::Result<()> {
    let names = match std::fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        names => names.with_context(|| format!("can not read the directory {}", path.display()))?,
    };
    let is_ours = |name: &str| {
        name.ends_with(".pantry") && (name.starts_with("journal-") || name.starts_with("snapshot-"))
    };
    for entry in names {
        if entry?.file_name().to_str().is_some_and(is_ours) {
            bail!(
                "the directory {} holds data, which a server with 'appendonly no' would neither \
                 show nor keep: start it with 'appendonly yes', or name another directory with dir",
                path.display()
            );
        }
    }
    Ok(())
}

/// The hash function of the last snapshot, if this program still has it: then names and pairs are
/// loaded in the order they lie in memory.
fn hasher_of(disk: &dyn Disk) -> anyhow::Result<Hasher> {
    let inventory = Inventory::of(disk).context("can not list the data directory")?;
    let names = inventory.snapshot().map(snapshot_name);
    let names = names.into_iter().chain(inventory.live_segments().map(journal_name));
    let known = names
        .filter_map(|name| Records::open(disk, &name).ok())
        .find_map(|records| Hasher::again(records.head.seeds));
    Ok(known.unwrap_or_else(Hasher::random))
}

impl Persistence {
    /// Loads a directory on a thread of its own, then keeps it; the server is ready when it is loaded.
    /// If that fails the server is stopped, and [`Persistence::close`] says why. Without a directory
    /// changes are kept in memory only, until [`Persistence::switch`].
    ///
    /// # Errors
    /// When the thread can not be started.
    pub fn start(server: &Arc<Server>, disk: Option<Arc<dyn Disk>>) -> io::Result<()> {
        server.is_ready.store(disk.is_none(), Relaxed);
        let of_thread = server.clone();
        let work = move || {
            if let Some(disk) = disk {
                match load(&of_thread, disk) {
                    Ok(running) => {
                        of_thread.persistence.inner.lock().running = Some(Arc::new(running));
                        of_thread.is_ready.store(true, Relaxed);
                    }
                    // Who asked for the stop has no interest in what is not loaded.
                    Err(_) if of_thread.stop.is_cancelled() => return,
                    Err(error) => {
                        of_thread.persistence.inner.lock().failure = Some(error);
                        of_thread.stop.cancel();
                        return;
                    }
                }
            }
            mind(&of_thread);
        };
        let thread = std::thread::Builder::new().name("snapshot".into()).spawn(work)?;
        server.persistence.inner.lock().thread = Some(thread);
        Ok(())
    }

    /// Begins to keep changes in the directory, or stops it (CONFIG SET appendonly). What was kept
    /// stays there. Waits until it is done.
    ///
    /// # Errors
    /// Why it could not be.
    pub fn switch(&self, on: bool) -> Result<(), String> {
        let mut inner = self.inner.lock();
        if inner.thread.is_none() {
            return Err("this server has no data directory".to_owned());
        }
        inner.order = Some(on);
        self.changed.notify_all();
        while inner.order.is_some() {
            if inner.is_closing {
                return Err("the server stops".to_owned());
            }
            self.changed.wait_for(&mut inner, TICK);
        }
        inner.order_error.take().map_or(Ok(()), Err)
    }

    /// Whether changes are kept.
    pub fn is_running(&self) -> bool {
        self.inner.lock().running.is_some()
    }

    /// Asks for a snapshot. `false` if one is being taken already.
    pub fn request_snapshot(&self) -> bool {
        let mut inner = self.inner.lock();
        let is_idle = inner.begun == inner.ended && !inner.is_wanted;
        inner.is_wanted = true;
        self.changed.notify_all();
        is_idle
    }

    /// Takes a snapshot and waits for it.
    ///
    /// # Errors
    /// Why there is none.
    pub fn snapshot_now(&self) -> Result<(), String> {
        let mut inner = self.inner.lock();
        let awaited = inner.begun + 1;
        inner.is_wanted = true;
        self.changed.notify_all();
        while inner.ended < awaited {
            if inner.is_closing || inner.running.is_none() {
                return Err("the server stops".to_owned());
            }
            self.changed.wait_for(&mut inner, TICK);
        }
        inner.last_error.clone().map_or(Ok(()), Err)
    }

    /// Makes a backup of everything that has been acknowledged, and waits for it; returns the path of the
    /// directory, whose files stay until somebody removes them.
    ///
    /// # Errors
    /// Why there is none.
    pub fn backup(&self) -> Result<PathBuf, String> {
        let mut inner = self.inner.lock();
        while inner.wants_backup && !inner.is_closing {
            self.changed.wait_for(&mut inner, TICK);
        }
        inner.wants_backup = true;
        self.changed.notify_all();
        loop {
            if let Some(result) = inner.backup.take() {
                inner.wants_backup = false;
                return result;
            }
            if inner.is_closing || inner.running.is_none() {
                inner.wants_backup = false;
                return Err("the server stops".to_owned());
            }
            self.changed.wait_for(&mut inner, TICK);
        }
    }

    /// Writes what is left, and ends. Says why loading failed, if it did.
    ///
    /// # Errors
    /// When what was left could not be written, or what was there could not be loaded.
    pub fn close(&self) -> anyhow::Result<()> {
        let thread = {
            let mut inner = self.inner.lock();
            inner.is_closing = true;
            self.changed.notify_all();
            inner.thread.take()
        };
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            bail!("the thread that takes snapshots panicked");
        }
        let mut inner = self.inner.lock();
        if let Some(failure) = inner.failure.take() {
            return Err(failure);
        }
        match inner.running.take() {
            Some(running) => running.threads.close().context("can not close the journal"),
            None => Ok(()),
        }
    }
}

/// Loads a directory and begins to keep it.
fn load(server: &Server, disk: Arc<dyn Disk>) -> anyhow::Result<Running> {
    let store = &server.store;
    let mut progress = Progress::begin(store);
    let persistence = &server.persistence;
    let recovered = recover::recover(&*disk, store, true, &mut |_, _, _| {
        if persistence.inner.lock().is_closing || server.stop.is_cancelled() {
            bail!("stopped before all was loaded; nothing was changed");
        }
        progress.show(store);
        Ok(())
    })?;
    progress.end(store, &recovered);
    store.clock.at_least(recovered.time_ms);
    let status = store.journal.status();
    let inventory = Inventory::of(&*disk)?;
    let len = |name: String| disk.read(&name).map_or(0, |(_, len)| len);
    let journal_bytes: u64 = inventory.live_segments().map(journal_name).map(len).sum();
    status.journal_bytes.store(journal_bytes, Relaxed);
    status.base_bytes.store(inventory.snapshot().map_or(0, |n| len(snapshot_name(n))), Relaxed);
    let number = recovered.next_number;
    keep(server, disk, number, Some(recovered.last))
        .context("can not begin a segment of the journal")
}

/// Begins to keep changes, after `last` if the directory holds all up to it.
fn keep(
    server: &Server,
    disk: Arc<dyn Disk>,
    number: u64,
    last: Option<u64>,
) -> io::Result<Running> {
    let store = &server.store;
    // Nothing may be changed unseen between the last batch that is not kept and the first that is.
    let mut held = Held::new(store);
    held.lock_all_in_turn();
    let (after, is_fresh) = (last.unwrap_or_else(|| store.journal.last()), last.is_none());
    let (seeds, now_ms) = (store.seeds(), store.clock.now_ms());
    store.journal.set_policy(server.config().appendfsync);
    let writer = store.journal.keep(disk.clone(), number, after, is_fresh, seeds, now_ms)?;
    let threads = Threads::start(store.journal.clone(), writer, store.clock.clone())?;
    Ok(Running { disk, threads })
}

/// Takes snapshots when they are needed, until the server stops.
fn mind(server: &Arc<Server>) {
    let persistence = &server.persistence;
    // The segment that is written is worth nothing until a snapshot is done.
    let mut is_untrusted = false;
    let mut retry_at_ms = 0;
    loop {
        let (running, is_wanted, order, wants_backup) = {
            let mut inner = persistence.inner.lock();
            let wants_backup = inner.wants_backup && inner.backup.is_none();
            if !inner.is_wanted && !inner.is_closing && inner.order.is_none() && !wants_backup {
                persistence.changed.wait_for(&mut inner, TICK);
            }
            if inner.is_closing {
                return;
            }
            let wants_backup = inner.wants_backup && inner.backup.is_none();
            let is_wanted = std::mem::take(&mut inner.is_wanted);
            (inner.running.clone(), is_wanted, inner.order, wants_backup)
        };
        if let Some(on) = order {
            let result = if on { enable(server) } else { disable(server) };
            is_untrusted |= on && result.is_ok();
            let mut inner = persistence.inner.lock();
            inner.order = None;
            inner.order_error = result.err().map(|error| format!("{error:#}"));
            persistence.changed.notify_all();
            continue;
        }
        let Some(running) = running else { continue };
        let is_distrusted = running.threads.is_distrusted();
        if wants_backup {
            let result = match is_distrusted || is_untrusted {
                true => Err("the disk failed, and no snapshot has been taken since".to_owned()),
                false => make_backup(server, &running).map_err(|error| error.to_string()),
            };
            persistence.inner.lock().backup = Some(result);
            persistence.changed.notify_all();
        }
        let is_due = is_distrusted || is_untrusted || is_due(server);
        let may_retry = server.store.clock.now_ms() >= retry_at_ms;
        if !is_wanted && (!is_due || !may_retry) {
            continue;
        }
        persistence.inner.lock().begun += 1;
        let result = take_snapshot(server, &running, is_distrusted, &mut is_untrusted);
        if let Err(error) = &result {
            tracing::error!(%error, "no snapshot could be taken");
            retry_at_ms = server.store.clock.now_ms() + RETRY_MS;
        }
        let mut inner = persistence.inner.lock();
        inner.ended = inner.begun;
        inner.last_error = result.err().map(|error| error.to_string());
        persistence.changed.notify_all();
    }
}

fn is_due(server: &Server) -> bool {
    let config = server.config();
    let min_bytes = config.auto_aof_rewrite_min_size_bytes as u64;
    let status = server.store.journal.status();
    snapshot::is_due(status, config.auto_aof_rewrite_percentage, min_bytes)
}

fn enable(server: &Server) -> anyhow::Result<()> {
    if server.persistence.is_running() {
        return Ok(());
    }
    let disk: Arc<dyn Disk> = Arc::new(Directory::open(&server.config().dir)?);
    let number = Inventory::of(&*disk)?.next_number();
    let running = keep(server, disk, number, None).context("can not begin a journal")?;
    server.persistence.inner.lock().running = Some(Arc::new(running));
    Ok(())
}

fn disable(server: &Server) -> anyhow::Result<()> {
    let Some(running) = server.persistence.inner.lock().running.take() else { return Ok(()) };
    let mut held = Held::new(&server.store);
    held.lock_all_in_turn();
    server.store.journal.stop_keeping();
    drop(held);
    running.threads.close().context("can not write what was left")
}

/// On the thread that also takes snapshots, so that none removes files meanwhile.
fn make_backup(server: &Server, running: &Running) -> io::Result<PathBuf> {
    let number = running.threads.rotate()?;
    let path = backup::make(&server.config().dir, &*running.disk, number)?;
    tracing::info!(path = %path.display(), "backup made");
    Ok(path)
}

fn take_snapshot(
    server: &Server,
    running: &Running,
    is_distrusted: bool,
    is_untrusted: &mut bool,
) -> io::Result<()> {
    let store = &server.store;
    let status = store.journal.status();
    let started_ms = store.clock.now_ms();
    status.snapshot_started_ms.store(started_ms, Relaxed);
    status.snapshot_names.store(0, Relaxed);
    status.is_snapshotting.store(true, Relaxed);
    let should_stop = || server.persistence.inner.lock().is_closing;
    let mut take = || {
        let number = if is_distrusted {
            let number = running.threads.begin_fresh()?;
            *is_untrusted = true;
            number
        } else {
            running.threads.rotate()?
        };
        let before_bytes = status.journal_bytes.load(Relaxed);
        let mut make_safe = |lsn| running.threads.flush_to(lsn);
        let bytes = snapshot::take(
            store,
            &*running.disk,
            number,
            Slices::default(),
            &should_stop,
            &mut make_safe,
        )?;
        status.journal_bytes.fetch_sub(before_bytes, Relaxed);
        status.base_bytes.store(bytes, Relaxed);
        status.snapshot_lsn.store(store.journal.last(), Relaxed);
        if std::mem::take(is_untrusted) {
            running.threads.trust();
        }
        Ok(bytes)
    };
    let result: io::Result<u64> = take();
    let now_ms = store.clock.now_ms();
    status.is_snapshotting.store(false, Relaxed);
    status.snapshot_took_ms.store((now_ms - started_ms) as i64, Relaxed);
    status.snapshot_failed.store(result.is_err(), Relaxed);
    let bytes = result?;
    status.snapshot_done_ms.store(now_ms, Relaxed);
    status.snapshots.fetch_add(1, Relaxed);
    tracing::info!(bytes, ms = now_ms - started_ms, "snapshot done");
    Ok(())
}
