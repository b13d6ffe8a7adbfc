//! The process: what all connections share, and the doors.
//!
//! [`Server`] holds store, configuration, clients and counters. Doors are in [`resp`] and `http`;
//! nothing here knows what a command means.

pub mod clients;
pub mod doors;
pub mod exposition;
pub mod histogram;
pub mod http;
pub mod latency;
pub mod listen;
pub mod metrics;
pub mod process;
pub mod resp;
mod signals;
pub mod slowlog;
pub mod stream;
mod supervisor;
#[cfg(unix)]
mod unix_socket;
pub mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::dispatch::Thresholds;
use crate::events::feed::Feed;
use crate::persistence::Persistence;
use crate::push::keyspace::Notifications;
use crate::push::monitor::Monitors;
use crate::push::post::Post;
use crate::push::pubsub::PubSub;
use crate::push::tracking::Tracking;
use crate::script::Scripts;
use crate::store::Store;
use crate::tls::Tls;
use crate::token::{self, Tokens};
use clients::Clients;
use doors::Doors;
use latency::LatencyMonitor;
use metrics::{Counter, Metrics, Rate};
use slowlog::Slowlog;

/// What all connections of both doors share.
#[derive(Debug)]
pub struct Server {
    /// All data.
    pub store: Store,
    /// All connected clients.
    pub clients: Clients,
    /// Brings them what they did not ask for.
    pub post: Arc<Post>,
    /// Channels and their subscribers.
    pub pubsub: Arc<PubSub>,
    /// Who keeps copies of what.
    pub tracking: Tracking,
    /// Who is shown all commands.
    pub monitors: Monitors,
    /// Keyspace notifications.
    pub notifications: Notifications,
    /// Changes as they happen, for doors that show them.
    pub feed: Feed,
    /// One per worker thread, in their order.
    pub metrics: Vec<Arc<Metrics>>,
    /// Commands per second.
    pub rate: Rate,
    /// From when on a command is slow.
    pub thresholds: Thresholds,
    /// The last commands that were.
    pub slowlog: Slowlog,
    /// What else was.
    pub latency: LatencyMonitor,
    /// Forty hexadecimal digits, new at every start.
    pub run_id: String,
    /// When the process started, in unix ms.
    pub started_ms: u64,
    /// Cancelled when the server is to stop.
    pub stop: CancellationToken,
    /// False while the store is being loaded.
    pub is_ready: AtomicBool,
    /// What all threads know of scripts.
    pub scripts: Scripts,
    /// Whether expired pairs and names are freed in the background.
    pub active_expire: AtomicBool,
    /// The configuration file's path, if there was one.
    pub config_file: Option<std::path::PathBuf>,
    /// Certificates of both doors.
    pub tls: Tls,
    /// Tokens of the HTTP door.
    pub tokens: Tokens,
    /// The data directory.
    pub persistence: Persistence,
    /// Listening sockets.
    pub doors: Doors,
    config: RwLock<Arc<Config>>,
    config_version: AtomicU64,
    config_change: Mutex<()>,
}

impl Server {
    /// A server that no door leads to yet.
    pub fn new(config: Config, store: Store, workers: usize) -> Server {
        let started_ms = store.clock.now_ms();
        store.limit_memory(config.maxmemory_bytes);
        let thresholds = Thresholds::default();
        thresholds.follow(&config);
        let post = Arc::new(Post::new(workers));
        post.set_limits(config.client_output_buffer_limit);
        let pubsub = Arc::new(PubSub::new(&post));
        let notifications = Notifications::new(&store, &pubsub);
        notifications.set(config.notify_keyspace_events);
        let tracking = Tracking::new(&store, &post);
        tracking.set_names_max(config.tracking_table_max_keys);
        Server {
            tracking,
            monitors: Monitors::new(&post),
            notifications,
            pubsub,
            feed: Feed::new(&store, &post),
            store,
            clients: Clients::default(),
            post,
            metrics: (0..workers).map(|_| Arc::default()).collect(),
            rate: Rate::default(),
            thresholds,
            slowlog: Slowlog::default(),
            latency: LatencyMonitor::default(),
            run_id: run_id(),
            started_ms,
            stop: CancellationToken::new(),
            is_ready: AtomicBool::new(true),
            scripts: Scripts::new(config.enable_scripting),
            active_expire: AtomicBool::new(true),
            config_file: None,
            tls: Tls::default(),
            tokens: Tokens::new(config.dir.join(token::FILE_NAME)),
            persistence: Persistence::default(),
            doors: Doors::default(),
            config: RwLock::new(Arc::new(config)),
            config_version: AtomicU64::new(1),
            config_change: Mutex::new(()),
        }
    }

    /// One counter, over all worker threads.
    pub fn sum(&self, counter: impl Fn(&Metrics) -> &Counter) -> u64 {
        self.metrics.iter().map(|metrics| counter(metrics).get()).sum()
    }

    /// The configuration as it is now.
    pub fn config(&self) -> Arc<Config> {
        self.config.read().clone()
    }

    /// Grows with every change of the configuration, so that who keeps a copy knows when it is old.
    #[inline]
    pub fn config_version(&self) -> u64 {
        self.config_version.load(Ordering::Acquire)
    }

    /// Changes the configuration, all or nothing.
    ///
    /// # Errors
    /// Those of `change`; nothing is changed then.
    pub fn change_config<E>(
        &self,
        change: impl FnOnce(&mut Config) -> Result<(), E>,
    ) -> Result<(), E> {
        let _one_at_a_time = self.config_change.lock();
        let mut config = Config::clone(&self.config());
        change(&mut config)?;
        crate::log::set_level(config.loglevel);
        self.store.limit_memory(config.maxmemory_bytes);
        self.thresholds.follow(&config);
        self.slowlog.shorten(config.slowlog_max_len);
        self.store.journal.set_policy(config.appendfsync);
        self.post.set_limits(config.client_output_buffer_limit);
        self.notifications.set(config.notify_keyspace_events);
        self.tracking.set_names_max(config.tracking_table_max_keys);
        *self.config.write() = Arc::new(config);
        self.config_version.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

fn run_id() -> String {
    use std::hash::{BuildHasher, RandomState};
    let word = |n: u64| format!("{:016x}", RandomState::new().hash_one(n));
    let mut id: String = (0..3).map(word).collect();
    id.truncate(40);
    id
}
