//! Shows a whole store, name by name, while others use it. A stripe is held while some names or pairs are copied.

use anyhow::Result;

use super::{BYTES_AT_ONCE, Header, PAIRS_AT_ONCE, Target};
use crate::rdb::pairs::PairBuffer;
use crate::store::view::Pairs;
use crate::store::{DATABASES, NameEntry, Store, View};

/// Names that are copied at once, those with little in them.
const NAMES_AT_ONCE: usize = 64;

/// A name that was copied.
struct Copied {
    header: Header,
    is_kept: bool,
    body: Body,
}

enum Body {
    String(Vec<u8>),
    Pairs(PairBuffer),
    /// It is copied by itself, in parts if it can be.
    Large,
}

/// The next part of a large name.
enum Part {
    Gone,
    String(Vec<u8>),
    Pairs { pairs: PairBuffer, next: u64 },
}

/// Shows every library of functions, every name that has not expired, and every limit to `target`.
pub(super) fn walk(store: &Store, target: &mut dyn Target) -> Result<()> {
    for (_, code) in store.libraries.all().1 {
        target.library(&code)?;
    }
    for db in 0..DATABASES {
        for stripe in 0..store.stripes() {
            walk_stripe(store, db, stripe, target)?;
        }
        for (name, limit) in store.limits.of_database(db) {
            target.limit(&Header { db, name: name.into(), deadline_ms: None }, limit)?;
        }
    }
    Ok(())
}

fn walk_stripe(store: &Store, db: usize, stripe: usize, target: &mut dyn Target) -> Result<()> {
    let mut cursor = store.first_cursor(stripe);
    let mut is_first = true;
    while is_first || cursor != 0 {
        is_first = false;
        let mut batch = Vec::new();
        cursor = store.look_at(stripe, db, |view| {
            view.scan_all(cursor, NAMES_AT_ONCE, |entry| batch.extend(copied(view, entry)))
        });
        for copied in batch {
            let Copied { header, is_kept, body } = copied;
            match body {
                Body::String(value) => target.string(&header, &value)?,
                Body::Pairs(pairs) if pairs.is_empty() => {}
                Body::Pairs(pairs) => target.pairs(&header, &pairs, true)?,
                Body::Large => walk_large(store, stripe, &header, target)?,
            }
            if is_kept {
                target.kept(&header)?;
            }
        }
    }
    Ok(())
}

fn copied(view: &View<'_>, entry: &NameEntry) -> Option<Copied> {
    let header =
        Header { db: view.db(), name: entry.name().to_vec(), deadline_ms: entry.deadline_ms() };
    let body = match (entry.string(), view.pairs(entry)) {
        (Some(string), _) if string.len() <= BYTES_AT_ONCE => Body::String(string.to_vec()),
        (None, Ok(pairs)) if pairs.bytes() <= BYTES_AT_ONCE => Body::Pairs(all_pairs(pairs)),
        _ => Body::Large,
    };
    Some(Copied { header, is_kept: entry.is_kept(), body })
}

fn all_pairs(namespace: Pairs<'_>) -> PairBuffer {
    let mut pairs = PairBuffer::default();
    namespace.iter().for_each(|pair| pairs.push(pair.key, pair.value, pair.deadline_ms));
    pairs
}

/// Copies part by part. What the name is may change meanwhile: if it is gone or holds something else, that is the end.
fn walk_large(
    store: &Store,
    stripe: usize,
    header: &Header,
    target: &mut dyn Target,
) -> Result<()> {
    let mut cursor = 0;
    loop {
        match store.look_at(stripe, header.db, |view| part(view, &header.name, cursor)) {
            Part::Pairs { pairs, next } => {
                target.pairs(header, &pairs, next == 0)?;
                if next == 0 {
                    return Ok(());
                }
                cursor = next;
            }
            Part::String(value) if cursor == 0 => return target.string(header, &value),
            Part::Gone | Part::String(_) if cursor == 0 => return Ok(()),
            Part::Gone | Part::String(_) => {
                return target.pairs(header, &PairBuffer::default(), true);
            }
        }
    }
}

fn part(view: &View<'_>, name: &[u8], cursor: u64) -> Part {
    match (view.string(name), view.namespace(name)) {
        (Ok(Some(string)), _) => Part::String(string.to_vec()),
        (_, Ok(Some(namespace))) => {
            let mut pairs = PairBuffer::default();
            let usual = BYTES_AT_ONCE.saturating_mul(namespace.len()) / namespace.bytes().max(1);
            let next = namespace.scan(cursor, usual.clamp(1, PAIRS_AT_ONCE), |pair| {
                pairs.push(pair.key, pair.value, pair.deadline_ms);
            });
            Part::Pairs { pairs, next }
        }
        _ => Part::Gone,
    }
}
