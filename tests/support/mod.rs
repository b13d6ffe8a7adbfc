//! What integration tests share: a server without sockets, and replies as people read them.
#![allow(clippy::unwrap_used, missing_docs, dead_code)]

pub mod render;
pub mod scratch;
pub mod served;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pantry::acl::Identity;
use pantry::clock::Clock;
use pantry::config::{Allowed, Config};
use pantry::dispatch::Executor;
use pantry::journal::Journal;
use pantry::journal::effect::Effects;
use pantry::output::Output;
use pantry::reply::Reply;
use pantry::resp::owned::OwnedRequest;
use pantry::server::Server;
use pantry::server::clients::Client;
use pantry::server::worker::settings;
use pantry::session::Session;
use pantry::store::view::{Known, View};
use pantry::store::{Access, Held, Kind, Settings, Store};

/// The moment every test begins at, in unix ms.
pub const START_MS: u64 = 1_700_000_000_000;

/// A server whose clients are function calls and whose clock is moved by hand.
pub struct Harness {
    pub server: Arc<Server>,
    pub over_overlay: bool,
    sessions: HashMap<String, Session>,
    random: u64,
}

impl Harness {
    pub fn new(journal: Journal) -> Harness {
        Harness::starting_at(START_MS, journal)
    }

    /// At another moment, in unix ms.
    pub fn starting_at(start_ms: u64, journal: Journal) -> Harness {
        Harness::of(Store::new(journal, Clock::manual(start_ms)))
    }

    /// Over a store that is there.
    pub fn of(store: Store) -> Harness {
        Harness::of_threads(store, 1)
    }

    /// The same, for clients on other threads too.
    pub fn of_threads(store: Store, threads: usize) -> Harness {
        let config = Config { enable_debug_command: Allowed::Yes, ..Config::default() };
        Harness {
            server: Arc::new(Server::new(config, store, threads)),
            over_overlay: false,
            sessions: HashMap::new(),
            random: 1,
        }
    }

    /// Runs one command as `client`; returns the bytes of its reply.
    pub fn execute(&mut self, client: &str, words: &[Vec<u8>]) -> Vec<u8> {
        let settings = settings(&self.server.config());
        let next_id = self.sessions.len() as u64 + 1;
        let now_ms = self.server.store.clock.now_ms();
        let server = &self.server;
        let session = self.sessions.entry(client.to_owned()).or_insert_with(|| {
            let addr = SocketAddr::from(([127, 0, 0, 1], 1000 + next_id as u16));
            let client = server.clients.connect((addr, addr), 2, now_ms, 1000).unwrap();
            Session::new(client, Identity::new(&server.acl))
        });
        self.random += 1;
        let metrics = server.metrics[0].clone();
        let mut executor =
            Executor::new(server, &metrics, &settings, Effects::default(), self.random);
        executor.set_client(session.client.id);
        if self.over_overlay {
            executor = executor.over_overlay();
        }
        let mut out = Output::new();
        let request = OwnedRequest::new(words.iter().map(Vec::as_slice));
        let resp3 = session.resp3;
        executor.execute(session, request.args(), &mut Reply::resp(&mut out, resp3));
        while session.is_in_script {
            executor.go_on(session, &mut Reply::resp(&mut out, resp3));
        }
        let waits = executor.is_parked;
        executor.finish(session);
        if waits { b"+(waits)\r\n".to_vec() } else { out.to_vec() }
    }

    /// The bytes of what waits for `client` beside its replies.
    pub fn pushes(&mut self, client: &str) -> Vec<u8> {
        let mut out = Output::new();
        if let Some(session) = self.sessions.get_mut(client) {
            session.collect_mail(&mut out, &mut Vec::new());
        }
        out.to_vec()
    }

    /// Ends `client`'s connection.
    pub fn leave(&mut self, client: &str) {
        if let Some(mut session) = self.sessions.remove(client) {
            session.stop_listening(&self.server);
            self.server.clients.disconnect(&session.client);
        }
    }

    /// The same with words of text, read back as a person would.
    pub fn run(&mut self, line: &str) -> String {
        let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        render::render(&self.execute("a", &words))
    }

    pub fn session(&mut self, client: &str) -> Option<&mut Session> {
        self.sessions.get_mut(client)
    }

    pub fn advance(&self, by: Duration) {
        self.server.store.clock.advance(by);
    }

    /// Frees everything that has expired.
    pub fn reap(&self) {
        let store = &self.server.store;
        for stripe in 0..store.stripes() {
            let now_ms = store.clock.now_ms();
            while store.is_due(stripe, now_ms) && store.reap_slice(stripe, now_ms) {}
        }
        while store.free_slice() {}
    }

    /// A store made by replaying everything this one has journaled.
    pub fn replayed(&self) -> Store {
        let store = Store::new(Journal::discarding(), Clock::manual(START_MS));
        for batch in self.server.store.journal.batches() {
            store.replay(&batch).unwrap();
        }
        store
    }
}

/// Everything alive in a store at `now_ms`, one line a name, pair or library of functions, sorted.
pub fn dump(store: &Store, now_ms: u64) -> Vec<String> {
    let (_, libraries) = store.libraries.all();
    let library = |(name, code): &(Box<[u8]>, Arc<[u8]>)| {
        format!("library {} = {}", name.escape_ascii(), code.escape_ascii())
    };
    let mut lines: Vec<String> = libraries.iter().map(library).collect();
    let mut held = Held::new(store);
    held.lock_all();
    for db in 0..pantry::store::DATABASES {
        let mut effects = Effects::default();
        let (touch, used_ms, settings) = (false, now_ms, &Settings::NONE);
        let access = Access { db, now_ms, random_seed: 0, touch, used_ms, settings, user: None };
        let view = View::live(&mut held, &mut effects, access, Known::default());
        let mut names = Vec::new();
        view.each_name(|entry| names.push(entry.name().to_vec()));
        for name in names {
            dump_name(&view, &name, &mut lines);
        }
        let limits = store.limits.of_database(db).into_iter();
        lines.extend(limits.map(|(name, limit)| format!("{db} {} {limit:?}", name.escape_ascii())));
    }
    lines.sort();
    lines
}

fn dump_name(view: &View<'_>, name: &[u8], lines: &mut Vec<String>) {
    let db = view.db();
    let shown = name.escape_ascii();
    if view.peek_kind(name) == Some(Kind::String) {
        let value = view.string(name).unwrap().unwrap().escape_ascii();
        let deadline = view.deadline_ms(name);
        lines.push(format!("{db} {shown} = {value} {deadline:?}"));
        return;
    }
    let pairs = view.kept_namespace(name).unwrap().unwrap();
    let header = pairs.header();
    // A namespace all of whose pairs have expired may or may not have been reaped.
    if pairs.count() > 0 || header.is_kept() {
        let (deadline, kept) = (header.deadline_ms(), header.is_kept());
        lines.push(format!("{db} {shown} {deadline:?} kept={kept}"));
    }
    for pair in pairs.iter() {
        let (key, value) = (pair.key.escape_ascii(), pair.value.escape_ascii());
        lines.push(format!("{db} {shown} / {key} = {value} {:?}", pair.deadline_ms));
    }
}

/// A client that is in no registry.
pub fn client() -> Arc<Client> {
    let addr = SocketAddr::from(([127, 0, 0, 1], 1));
    Arc::new(Client::new(1, (addr, addr), 2, START_MS))
}
