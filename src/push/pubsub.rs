//! Who has subscribed to what, and publishing.
//!
//! One lock for all: every subscriber gets messages in the one order in which they were published.
//! Publications that stand in a row and are for the same subscribers are encoded as one message, and
//! cost each of them one place in a mailbox.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use foldhash::fast::FixedState;
use parking_lot::Mutex;

use super::message::Message;
use super::post::{Post, Round};
use crate::glob::glob_match;
use crate::journal::Lsn;
use crate::prefetch::prefetch;
use crate::server::clients::Client;

/// A message grows up to this by publications in a row, in bytes.
const ROW_BYTES_MAX: usize = 64 * 1024;

/// How far ahead of where a message is put those who get it too are brought into the processor's cache.
const FETCHED_AHEAD: usize = 4;

/// What one can subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A channel.
    Channel,
    /// All channels whose names match a pattern.
    Pattern,
    /// A shard channel: with one shard, a channel with a name space of its own and without patterns.
    Shard,
}

impl Kind {
    /// All of them; a kind's place is its number.
    pub const ALL: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::Shard];
}

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Whether it goes to a shard channel.
    pub is_shard: bool,
    /// Where it goes.
    pub channel: Vec<u8>,
    /// What it says.
    pub payload: Vec<u8>,
}

/// All subscriptions.
#[derive(Debug)]
pub struct PubSub {
    post: Arc<Post>,
    registry: Mutex<[Subscriptions; 3]>,
    /// Channels, patterns and shard channels that somebody has subscribed to.
    counts: [AtomicUsize; 3],
}

type Subscriptions = HashMap<Box<[u8]>, Subscribers>;
type Subscribers = HashMap<u64, Arc<Client>, FixedState>;

impl PubSub {
    /// Without subscriptions.
    pub fn new(post: &Arc<Post>) -> PubSub {
        PubSub { post: post.clone(), registry: Mutex::default(), counts: Default::default() }
    }

    /// Adds a subscription. Its client must not have it.
    pub fn subscribe(&self, kind: Kind, name: &[u8], client: &Arc<Client>) {
        let mut registry = self.registry.lock();
        let of_kind = &mut registry[kind as usize];
        of_kind.entry(name.into()).or_default().insert(client.id, client.clone());
        self.counts[kind as usize].store(of_kind.len(), Relaxed);
    }

    /// Removes a subscription, if it is there.
    pub fn unsubscribe(&self, kind: Kind, name: &[u8], client_id: u64) {
        let mut registry = self.registry.lock();
        let of_kind = &mut registry[kind as usize];
        let Some(subscribers) = of_kind.get_mut(name) else { return };
        subscribers.remove(&client_id);
        if subscribers.is_empty() {
            of_kind.remove(name);
        }
        self.counts[kind as usize].store(of_kind.len(), Relaxed);
    }

    /// Different names that are subscribed to.
    pub fn count(&self, kind: Kind) -> usize {
        self.counts[kind as usize].load(Relaxed)
    }

    /// Names that are subscribed to and match `pattern`.
    pub fn names(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Box<[u8]>> {
        let registry = self.registry.lock();
        let names = registry[kind as usize].keys();
        names
            .filter(|name| pattern.is_none_or(|pattern| glob_match(pattern, name, false)))
            .cloned()
            .collect()
    }

    /// Subscribers of one name.
    pub fn subscribers(&self, kind: Kind, name: &[u8]) -> usize {
        self.registry.lock()[kind as usize].get(name).map_or(0, HashMap::len)
    }

    /// What a client has subscribed to, and whether that is a pattern.
    pub fn of_client(&self, client_id: u64) -> Vec<(Box<[u8]>, bool)> {
        let registry = self.registry.lock();
        let of_kind = |kind: Kind| {
            let names = registry[kind as usize].iter();
            let its = names.filter(move |(_, subscribers)| subscribers.contains_key(&client_id));
            its.map(move |(name, _)| (name.clone(), kind == Kind::Pattern))
        };
        Kind::ALL.into_iter().flat_map(of_kind).collect()
    }

    /// How many clients get what is published there, one that matches in several ways as often.
    pub fn receivers(&self, is_shard: bool, channel: &[u8]) -> usize {
        let registry = self.registry.lock();
        let direct = registry[direct(is_shard)].get(channel).map_or(0, HashMap::len);
        let patterns = matching(&registry, is_shard, channel).map(|(_, them)| them.len());
        direct + patterns.sum::<usize>()
    }

    /// Sends publications to their subscribers, in their order. They show what happened up to `lsn`.
    pub fn publish(&self, lsn: Lsn, now_ms: u64, publications: &[Publication]) {
        let registry = self.registry.lock();
        let mut round = self.post.round(now_ms);
        let mut rest = publications;
        while let Some(first) = rest.first() {
            let (is_shard, channel) = (first.is_shard, &*first.channel);
            let patterns: Vec<_> = matching(&registry, is_shard, channel).collect();
            let to_channel = registry[direct(is_shard)].get(channel);
            // Who gets each of them twice must get them in turn.
            let can_row = patterns.len() + usize::from(to_channel.is_some()) == 1;
            let row = if can_row { row(rest) } else { 1 };
            let (now, later) = rest.split_at(row);
            rest = later;
            if let Some(subscribers) = to_channel {
                let word: &[u8] = if is_shard { b"smessage" } else { b"message" };
                let parts = now.iter().map(|one| [word, channel, &*one.payload]);
                send(&mut round, subscribers, lsn, parts);
            }
            for (pattern, subscribers) in patterns {
                let parts = now.iter().map(|one| [b"pmessage", pattern, channel, &*one.payload]);
                send(&mut round, subscribers, lsn, parts);
            }
        }
    }
}

/// How many publications go to the channel of the first and make one message.
fn row(publications: &[Publication]) -> usize {
    let Some(first) = publications.first() else { return 0 };
    let mut bytes = 0;
    let fits = |one: &&Publication| {
        let is_first = bytes == 0;
        bytes += one.payload.len() + 1;
        is_first
            || bytes <= ROW_BYTES_MAX
                && one.is_shard == first.is_shard
                && one.channel == first.channel
    };
    publications.iter().take_while(fits).count()
}

fn send<'p, const N: usize>(
    round: &mut Round<'_>,
    subscribers: &Subscribers,
    lsn: Lsn,
    parts: impl Iterator<Item = [&'p [u8]; N]>,
) {
    let mut message = Message::pushes(lsn);
    parts.for_each(|parts| message.push(&parts));
    let message = Arc::new(message);
    let mut ahead = subscribers.values().skip(FETCHED_AHEAD);
    for client in subscribers.values() {
        if let Some(client) = ahead.next() {
            prefetch(&client.mailbox);
            prefetch(&client.subscriptions);
        }
        round.send(client, &message);
    }
}

fn direct(is_shard: bool) -> usize {
    (if is_shard { Kind::Shard } else { Kind::Channel }) as usize
}

fn matching<'r>(
    registry: &'r [Subscriptions; 3],
    is_shard: bool,
    channel: &[u8],
) -> impl Iterator<Item = (&'r [u8], &'r Subscribers)> {
    let patterns = registry[Kind::Pattern as usize].iter().filter(move |_| !is_shard);
    patterns
        .filter(|(pattern, _)| glob_match(pattern, channel, false))
        .map(|(pattern, subscribers)| (&**pattern, subscribers))
}
