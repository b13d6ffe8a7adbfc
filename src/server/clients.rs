//! Who is connected: what CLIENT LIST shows and CLIENT KILL ends.
//!
//! Each connection shares one [`Client`] with the registry; its own thread writes it, any thread may
//! read it or ask the connection to close. Sockets are the doors' matter.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed,
};
use std::task::{Wake, Waker};

use parking_lot::Mutex;

use super::client_memory::{ClientMemory, Total};
use crate::acl::DEFAULT_USER;
use crate::config::Class;
use crate::push::mailbox::Mailbox;

/// All connected clients by id.
#[derive(Debug, Default)]
pub struct Clients {
    last_id: AtomicU64,
    connected: AtomicUsize,
    by_id: Mutex<BTreeMap<u64, Arc<Client>>>,
    pub(super) total: Total,
    /// Connections closed because a request passed client-query-buffer-limit.
    pub too_large_queries: AtomicU64,
}

/// One connection, as others see it.
#[derive(Debug)]
pub struct Client {
    /// Unique, ascending.
    pub id: u64,
    /// The peer.
    pub addr: Address,
    /// This end.
    pub laddr: Address,
    /// When it connected, in unix ms.
    pub since_ms: u64,
    /// When it last sent something, in unix ms.
    pub active_ms: AtomicU64,
    /// Selected database.
    pub db: AtomicU32,
    /// RESP version; 0 for an HTTP client.
    pub resp: AtomicU32,
    /// Place in the command table of the last command; `u32::MAX` for none.
    pub last_command: AtomicU32,
    /// Commands queued by MULTI; -1 (as `u32`) outside.
    pub queued: AtomicU32,
    /// Names watched.
    pub watching: AtomicU32,
    /// What it takes in memory.
    pub memory: ClientMemory,
    /// Who is told in its stead of what it keeps copies of; 0: itself; -1: it keeps none.
    pub redirect: AtomicI64,
    flags: AtomicU32,
    /// What it is to be sent beside its replies.
    pub mailbox: Mailbox,
    /// Subscriptions to channels, patterns and shard channels.
    pub subscriptions: [AtomicU32; 3],
    /// CLIENT NO-EVICT.
    pub no_evict: AtomicBool,
    /// CLIENT NO-TOUCH.
    pub no_touch: AtomicBool,
    /// What the client says of itself.
    pub names: Mutex<ClientNames>,
    worker: AtomicUsize,
    /// `usize::MAX`: none.
    desk: AtomicUsize,
    is_killed: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Of TCP.
    Inet(SocketAddr),
    /// The path of a unix socket.
    Unix(Arc<str>),
}

/// What a client says of itself.
#[derive(Debug, Clone)]
pub struct ClientNames {
    /// Its user.
    pub user: String,
    /// CLIENT SETNAME.
    pub name: String,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: String,
    /// CLIENT SETINFO LIB-VER.
    pub lib_ver: String,
}

/// Something that is so of a client or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Flag {
    /// It is told when what it has read changes.
    Tracking = 1,
    /// It is told of all names with its prefixes.
    Broadcast = 2,
    /// Who was to be told in its stead is gone.
    BrokenRedirect = 4,
    /// It is shown all commands.
    Monitor = 8,
    /// Its connection has ended.
    Gone = 16,
    /// Its next command waits for the end of a pause.
    Paused = 32,
}

impl Clients {
    /// None yet. In `others_bytes` is counted what they take beside the store.
    pub fn new(others_bytes: Arc<AtomicUsize>) -> Clients {
        Clients { total: Total::new(others_bytes), ..Clients::default() }
    }

    /// Registers a connection. `resp` is 0 for HTTP. `None` if there are `max` already.
    pub fn connect<A: Into<Address>>(
        &self,
        ends: (A, A),
        resp: u32,
        now_ms: u64,
        max: usize,
    ) -> Option<Arc<Client>> {
        if self.connected.fetch_add(1, Relaxed) >= max {
            self.connected.fetch_sub(1, Relaxed);
            return None;
        }
        let client = Arc::new(Client::new(self.next_id(), ends, resp, now_ms));
        self.total.begin(&client);
        self.by_id.lock().insert(client.id, client.clone());
        Some(client)
    }

    /// Forgets a connection that has ended.
    pub fn disconnect(&self, client: &Client) {
        if self.by_id.lock().remove(&client.id).is_some() {
            self.connected.fetch_sub(1, Relaxed);
            client.set(Flag::Gone, true);
            self.total.end(client);
        }
    }

    /// Closes a connection, without another word; nobody finds it here any more.
    pub fn close(&self, client: &Client) {
        self.disconnect(client);
        client.kill();
    }

    /// Number of connections.
    pub fn len(&self) -> usize {
        self.connected.load(Relaxed)
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All connections, oldest first, without those that have been asked to close: to whoever asked,
    /// they are gone, although their own threads still have to see to it.
    pub fn list(&self) -> Vec<Arc<Client>> {
        self.by_id.lock().values().filter(|client| !client.is_killed()).cloned().collect()
    }

    fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Relaxed) + 1
    }
}

impl Client {
    /// A client that is in no registry.
    pub fn new<A: Into<Address>>(id: u64, (addr, laddr): (A, A), resp: u32, now_ms: u64) -> Client {
        Client {
            id,
            addr: addr.into(),
            laddr: laddr.into(),
            since_ms: now_ms,
            active_ms: AtomicU64::new(now_ms),
            db: AtomicU32::new(0),
            resp: AtomicU32::new(resp),
            last_command: AtomicU32::new(u32::MAX),
            queued: AtomicU32::new(u32::MAX),
            watching: AtomicU32::new(0),
            memory: ClientMemory::default(),
            redirect: AtomicI64::new(-1),
            flags: AtomicU32::new(0),
            mailbox: Mailbox::default(),
            subscriptions: Default::default(),
            worker: AtomicUsize::new(0),
            desk: AtomicUsize::new(usize::MAX),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            names: Mutex::new(ClientNames {
                user: DEFAULT_USER.to_owned(),
                name: String::new(),
                lib_name: String::new(),
                lib_ver: String::new(),
            }),
            is_killed: AtomicBool::new(false),
            waker: Mutex::new(None),
        }
    }

    /// Asks the connection to close, without another word.
    pub fn kill(&self) {
        self.is_killed.store(true, Relaxed);
        self.look();
    }

    /// Wakes the connection: it is to be closed, or has mail.
    fn look(&self) {
        if let Some(waker) = self.waker.lock().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Whether somebody has asked it to close.
    #[inline]
    pub fn is_killed(&self) -> bool {
        self.is_killed.load(Relaxed)
    }

    /// Whether this is so.
    pub fn has(&self, flag: Flag) -> bool {
        self.flags.load(Relaxed) & flag as u32 != 0
    }

    /// Says whether this is so.
    pub fn set(&self, flag: Flag, is_so: bool) {
        if is_so {
            self.flags.fetch_or(flag as u32, Relaxed);
        } else {
            self.flags.fetch_and(!(flag as u32), Relaxed);
        }
    }

    /// Whether its connection has ended.
    pub fn is_gone(&self) -> bool {
        self.has(Flag::Gone)
    }

    /// The worker thread that serves it.
    pub fn worker(&self) -> usize {
        self.worker.load(Relaxed)
    }

    /// Says which worker thread serves it.
    pub fn set_worker(&self, index: usize) {
        self.worker.store(index, Relaxed);
    }

    /// Its connection's place on that thread, if it has one.
    pub fn desk(&self) -> Option<usize> {
        Some(self.desk.load(Relaxed)).filter(|&desk| desk != usize::MAX)
    }

    /// Says which place that is.
    pub fn set_desk(&self, desk: usize) {
        self.desk.store(desk, Relaxed);
    }

    /// What it is as far as its output is concerned.
    pub fn class(&self) -> Class {
        if self.is_subscriber() { Class::Pubsub } else { Class::Normal }
    }

    /// Whether it has subscribed to anything.
    pub fn is_subscriber(&self) -> bool {
        self.subscriptions.iter().any(|count| count.load(Relaxed) > 0)
    }

    /// Who to wake when it is to close, or has mail.
    pub fn set_waker(&self, waker: &Waker) {
        *self.waker.lock() = Some(waker.clone());
    }
}

/// So that a client can be woken like a task.
impl Wake for Client {
    fn wake(self: Arc<Self>) {
        self.look();
    }
}

impl Address {
    /// Whether it is of this machine, without a network.
    pub fn is_local(&self) -> bool {
        match self {
            Address::Inet(addr) => addr.ip().to_canonical().is_loopback(),
            Address::Unix(_) => true,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Address {
        Address::Inet(addr)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(addr) => addr.fmt(f),
            Address::Unix(path) => write!(f, "{path}:0"),
        }
    }
}
