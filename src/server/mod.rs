//! The process: what all connections share, and the doors.
//!
//! [`Server`] holds store, configuration, clients and counters. Doors are in [`resp`] and `http`;
//! nothing here knows what a command means.

pub mod audit;
pub mod certificate;
pub mod client_memory;
pub mod clients;
pub mod doors;
pub mod exposition;
pub mod histogram;
pub mod http;
pub mod latency;
pub mod listen;
pub mod metrics;
pub mod process;
pub mod rate_limit;
pub mod resp;
pub mod routes;
pub mod signals;
pub mod slowlog;
pub mod stream;
mod supervisor;
#[cfg(unix)]
mod unix_socket;
pub mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use anyhow::Context as _;
use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;

use crate::acl::Acl;
use crate::config::Config;
use crate::dispatch::Thresholds;
use crate::events::feed::Feed;
use crate::hex::random_word;
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
use audit::Audit;
use clients::Clients;
use doors::Doors;
use latency::LatencyMonitor;
use metrics::{Counter, Metrics, Rate};
use rate_limit::RateLimits;
use slowlog::Slowlog;

/// What all connections of both doors share.
#[derive(Debug)]
pub struct Server {
    /// All data.
    pub store: Store,
    /// All connected clients.
    pub clients: Arc<Clients>,
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
    /// Bytes per second, received from Redis clients and sent to them.
    pub net_rates: [Rate; 2],
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
    /// Whether nothing at all is done in the background (DEBUG PAUSE-CRON).
    pub cron_is_paused: AtomicBool,
    /// The configuration file's path, if there was one.
    pub config_file: Option<std::path::PathBuf>,
    /// Certificates of both doors.
    pub tls: Tls,
    /// Tokens of the HTTP door.
    pub tokens: Tokens,
    /// How much HTTP clients may ask.
    pub rate_limits: RateLimits,
    /// Who did what.
    pub audit: Audit,
    /// The data directory.
    pub persistence: Persistence,
    /// Listening sockets.
    pub doors: Doors,
    peak_bytes: AtomicUsize,
    /// Who may do what.
    pub acl: Acl,
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
        let clients = Arc::new(Clients::new(store.others_bytes()));
        clients.limit_memory(config.maxmemory_clients_bytes());
        let post = Arc::new(Post::new(workers, &clients));
        post.set_limits(config.client_output_buffer_limit);
        let pubsub = Arc::new(PubSub::new(&post));
        let notifications = Notifications::new(&store, &pubsub);
        notifications.set(config.notify_keyspace_events);
        let tracking = Tracking::new(&store, &post);
        tracking.set_names_max(config.tracking_table_max_keys);
        store.journal.set_needs_replicas(config.needs_replicas());
        Server {
            tracking,
            monitors: Monitors::new(&post),
            notifications,
            pubsub,
            feed: Feed::new(&store, &post),
            store,
            clients,
            post,
            metrics: (0..workers).map(Metrics::of_thread).map(Arc::new).collect(),
            rate: Rate::default(),
            net_rates: Default::default(),
            thresholds,
            slowlog: Slowlog::default(),
            latency: LatencyMonitor::default(),
            run_id: random_word(40).expect("hashing names needed random numbers, too"),
            started_ms,
            stop: CancellationToken::new(),
            is_ready: AtomicBool::new(true),
            scripts: Scripts::new(config.enable_scripting),
            active_expire: AtomicBool::new(true),
            cron_is_paused: AtomicBool::new(false),
            config_file: None,
            tls: Tls::default(),
            tokens: Tokens::new(config.dir.join(token::FILE_NAME)),
            rate_limits: RateLimits::default(),
            audit: Audit::default(),
            persistence: Persistence::default(),
            doors: Doors::default(),
            peak_bytes: AtomicUsize::new(0),
            acl: Acl::new(&config.requirepass),
            config: RwLock::new(Arc::new(config)),
            config_version: AtomicU64::new(1),
            config_change: Mutex::new(()),
        }
    }

    /// Reads the users of the configuration.
    ///
    /// # Errors
    /// Redis's texts.
    pub fn load_users(&self) -> anyhow::Result<()> {
        let config = self.config();
        if !config.users.is_empty() && !config.aclfile.is_empty() {
            anyhow::bail!(
                "Configuring users with user lines and at the same time with an aclfile is invalid: \
                 define either an ACL file or users in the configuration file, not both"
            );
        }
        let all_channels = config.acl_pubsub_default;
        if !config.aclfile.is_empty() {
            return self
                .acl
                .load(config.aclfile.as_ref(), all_channels)
                .map_err(anyhow::Error::msg);
        }
        self.acl.add_configured(&config.users, all_channels).map_err(anyhow::Error::msg)
    }

    /// Opens the audit log, if there is to be one.
    ///
    /// # Errors
    /// When its file can not be opened.
    pub fn start_audit(&self) -> anyhow::Result<()> {
        let path = &self.config().audit_log;
        if path.is_empty() {
            return Ok(());
        }
        self.audit.start(path).with_context(|| format!("can not open the audit log {path}"))
    }

    /// One counter, over all worker threads.
    pub fn sum(&self, counter: impl Fn(&Metrics) -> &Counter) -> u64 {
        self.metrics.iter().map(|metrics| counter(metrics).get()).sum()
    }

    /// The most that `used_memory` was when INFO or MEMORY looked at it.
    pub fn peak_bytes(&self, used_bytes: usize) -> usize {
        self.peak_bytes.fetch_max(used_bytes, Ordering::Relaxed).max(used_bytes)
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
        let requirepass = config.requirepass.clone();
        change(&mut config)?;
        if config.requirepass != requirepass {
            self.acl.set_default_password(&config.requirepass);
        }
        crate::log::set_level(config.loglevel);
        self.store.limit_memory(config.maxmemory_bytes);
        self.clients.limit_memory(config.maxmemory_clients_bytes());
        self.thresholds.follow(&config);
        self.slowlog.shorten(config.slowlog_max_len);
        self.store.journal.set_policy(config.appendfsync);
        self.post.set_limits(config.client_output_buffer_limit);
        self.notifications.set(config.notify_keyspace_events);
        self.tracking.set_names_max(config.tracking_table_max_keys);
        self.store.journal.set_needs_replicas(config.needs_replicas());
        *self.config.write() = Arc::new(config);
        self.config_version.fetch_add(1, Ordering::Release);
        Ok(())
    }
}
