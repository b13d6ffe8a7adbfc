//! One client's state: who it is, what it selected, its transaction.
//!
//! A session belongs to one connection of one door and is never shared. What commands do with it is
//! in `command/`; how they are run is in [`crate::dispatch`].

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::acl::Identity;
use crate::command::Spec;
use crate::journal::Seen;
use crate::output::Output;
use crate::push::pubsub::Kind;
use crate::push::tracking::Mode;
use crate::resp::owned::OwnedRequest;
use crate::resp::request::Args;
use crate::server::Server;
use crate::server::client_memory::Kept;
use crate::server::clients::{Client, Flag};
use crate::server::routes::Route;
use crate::store::Watched;
use crate::token::Holder;

/// Most bytes of commands that MULTI queues.
const QUEUE_BYTES_MAX: usize = 1 << 30;
/// Messages are added to an output until it has so much.
const MAIL_OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// One client's state.
#[derive(Debug)]
pub struct Session {
    /// What others see of it.
    pub client: Arc<Client>,
    /// The selected database.
    pub db: usize,
    /// Whether it speaks RESP3.
    pub resp3: bool,
    /// Its user.
    pub identity: Identity,
    /// CLIENT REPLY.
    pub reply_mode: ReplyMode,
    /// Close the connection when what was written has been sent.
    pub should_close: bool,
    /// What its replies depend on; they wait until the journal has that safe.
    pub seen: Seen,
    /// Whether it may be sent what it did not ask for.
    pub is_listening: bool,
    /// How it wants to be told of changes of what it has read.
    pub tracking: Option<Box<Mode>>,
    /// Whether it is a script's.
    pub is_script: bool,
    /// What TIME says in a script, once it was asked.
    pub script_time_us: Option<u64>,
    /// Of the HTTP door: the request whose commands these are.
    pub http: Option<HttpRequest>,
    /// What it has subscribed to.
    pub subscriptions: Subscriptions,
    /// Set by MULTI.
    pub transaction: Option<Box<Transaction>>,
    /// Set by WATCH.
    pub watch: Option<Box<Watch>>,
    /// It keeps something, so that what it takes in memory is to be counted.
    pub is_heavy: bool,
    /// Its script is aside: nothing else of it may run, see [`crate::dispatch::script`].
    pub is_in_script: bool,
}

/// What is known of an HTTP request, for who asks what was done.
#[derive(Debug, Default)]
pub struct HttpRequest {
    /// Method and path of the route that it took; none before that is known.
    pub route: Option<Route>,
    /// The token that came with it.
    pub token: Option<Holder>,
    /// Where it comes from, if that is not the peer.
    pub address: Option<std::net::IpAddr>,
}

/// Channels, patterns and shard channels that a client has subscribed to.
#[derive(Debug, Default)]
pub struct Subscriptions([HashSet<Box<[u8]>>; 3]);

impl Subscriptions {
    /// Those of one kind.
    pub fn of(&self, kind: Kind) -> &HashSet<Box<[u8]>> {
        &self.0[kind as usize]
    }

    /// Those of one kind, to be changed.
    pub fn of_mut(&mut self, kind: Kind) -> &mut HashSet<Box<[u8]>> {
        &mut self.0[kind as usize]
    }
}

/// CLIENT REPLY's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyMode {
    /// Replies are sent.
    On,
    /// None is sent.
    Off,
    /// The reply of the command after CLIENT REPLY SKIP is not sent.
    SkipNext,
    /// This command's reply is not sent.
    Skip,
}

/// Commands queued since MULTI.
#[derive(Debug, Default)]
pub struct Transaction {
    /// In their order.
    pub queue: Vec<Queued>,
    /// A command was refused, so EXEC will be too.
    pub is_aborted: bool,
    bytes: usize,
}

/// One queued command.
#[derive(Debug)]
pub struct Queued {
    /// Its row.
    pub spec: &'static Spec,
    /// Its arguments.
    pub request: OwnedRequest,
}

/// Names watched since WATCH.
#[derive(Debug, Default)]
pub struct Watch {
    /// Dirty when one of them changed.
    pub mark: Watched,
    /// Database, name, and since when it is watched, in unix ms.
    pub names: Vec<(usize, Box<[u8]>, u64)>,
}

impl Session {
    /// A new client's session.
    pub fn new(client: Arc<Client>, identity: Identity) -> Session {
        Session {
            client,
            db: 0,
            resp3: false,
            identity,
            reply_mode: ReplyMode::On,
            should_close: false,
            seen: Seen::default(),
            is_listening: false,
            tracking: None,
            is_script: false,
            script_time_us: None,
            http: None,
            subscriptions: Subscriptions::default(),
            transaction: None,
            watch: None,
            is_heavy: false,
            is_in_script: false,
        }
    }

    /// Adds messages that wait for this client to its output, and says where they stand there.
    pub fn collect_mail(&mut self, output: &mut Output, pushed: &mut Vec<Range<usize>>) {
        if self.client.mailbox.has_mail() && output.len() < MAIL_OUTPUT_BYTES_MAX {
            let before = output.len();
            let (mailbox, resp3) = (&self.client.mailbox, self.resp3);
            let lsn = output.append_with(|bytes| mailbox.take(bytes, MAIL_OUTPUT_BYTES_MAX, resp3));
            self.seen = self.seen.max(Seen { touched: lsn, wrote: 0 });
            pushed.push(before..output.len());
        }
    }

    /// Ends all that it may be sent without having asked.
    pub fn stop_listening(&mut self, server: &Server) {
        for kind in Kind::ALL {
            for name in self.subscriptions.of_mut(kind).drain() {
                server.pubsub.unsubscribe(kind, &name, self.client.id);
            }
            self.client.subscriptions[kind as usize].store(0, Relaxed);
        }
        self.client.memory.let_all_go(Kept::Subscriptions);
        self.stop_tracking(server);
        if self.client.has(Flag::Monitor) {
            server.monitors.remove(self.client.id);
            self.client.set(Flag::Monitor, false);
        }
    }

    /// Ends CLIENT TRACKING.
    pub fn stop_tracking(&mut self, server: &Server) {
        if self.tracking.take().is_some() {
            server.tracking.disable(self.client.id);
            self.client.redirect.store(-1, Relaxed);
            self.client.memory.let_all_go(Kept::Prefixes);
            for flag in [Flag::Tracking, Flag::Broadcast, Flag::BrokenRedirect] {
                self.client.set(flag, false);
            }
        }
    }

    /// CLIENT CACHING is for one command, or one transaction.
    pub fn end_caching(&mut self) {
        if let Some(mode) = self.tracking.as_mut().filter(|_| self.transaction.is_none()) {
            mode.caching = false;
        }
    }

    /// Queues a command; `false` if the queue is full.
    pub fn queue(&mut self, spec: &'static Spec, args: Args<'_>) -> bool {
        let Some(transaction) = &mut self.transaction else { return false };
        let request = OwnedRequest::new(args.iter());
        transaction.bytes += request.heap_bytes() + size_of::<Queued>();
        if transaction.bytes > QUEUE_BYTES_MAX {
            return false;
        }
        transaction.queue.push(Queued { spec, request });
        self.client.queued.store(transaction.queue.len() as u32, Relaxed);
        self.client.memory.queued.store(transaction.bytes, Relaxed);
        self.is_heavy = true;
        true
    }

    /// Counts a name that the server keeps for this client.
    pub fn keep(&mut self, what: Kept, name_bytes: usize) {
        self.client.memory.keep(what, name_bytes);
        self.is_heavy = true;
    }

    /// A command was refused: EXEC will be, too.
    pub fn abort_transaction(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.is_aborted = true;
        }
    }

    /// Ends the transaction, if there is one.
    pub fn take_transaction(&mut self) -> Option<Box<Transaction>> {
        self.client.queued.store(u32::MAX, Relaxed);
        self.client.memory.queued.store(0, Relaxed);
        self.transaction.take()
    }

    /// Makes it somebody else's.
    pub fn become_user(&mut self, identity: Identity) {
        self.client.names.lock().user.clone_from(&identity.user().name);
        self.identity = identity;
    }

    /// Selects a database.
    pub fn select(&mut self, db: usize) {
        self.db = db;
        self.client.db.store(db as u32, Relaxed);
    }
}
