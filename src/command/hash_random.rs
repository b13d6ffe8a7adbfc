//! HRANDFIELD: pairs of a namespace drawn by lot. The rest of the hash family is in `hash`.
//!
//! Pairs that expired but were not reaped are never drawn. How pairs lie in memory is not known here:
//! a few are drawn by their rank, many from a list of all.

use std::collections::HashSet;

use super::args::{Cursor, integer};
use super::hash::{bulk_bytes, check_all_fit};
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::resp::request::Args;
use crate::store::View;
use crate::store::view::{Pair, Pairs};

/// Up to so many are drawn by their rank, which takes longer for each one, but does not touch all.
const FEW_MAX: usize = 512;

/// HRANDFIELD's handler.
pub(super) fn hrandfield(view: &View<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    let name = args.get(1);
    let Some(request) = Request::parse(Cursor::new(args, 2))? else {
        let pairs = view.namespace(name)?;
        pairs.inspect(Pairs::meet_expired);
        reply.bulk_or_null(pairs.and_then(|pairs| draw(view, &pairs)).map(|pair| pair.key));
        return Ok(());
    };
    let Some(pairs) = view.namespace(name)? else {
        reply.array(0);
        return Ok(());
    };
    pairs.meet_expired();
    let alive = pairs.count();

    if alive == 0 || request.count == 0 {
        reply.array(0);
        Ok(())
    } else if request.is_distinct && request.count >= alive {
        check_all_fit(view, &pairs, |pair| request.bytes(pair))?;
        request.begin(reply, alive);
        pairs.iter().for_each(|pair| request.write(reply, pair));
        Ok(())
    } else if is_few(&request, alive, pairs.len()) {
        request.write_all(view, reply, &draw_few(view, &pairs, &request))
    } else if request.is_distinct {
        let mut list: Vec<Pair<'_>> = pairs.iter().collect();
        shuffle_start(view, &mut list, request.count);
        request.write_all(view, reply, &list[..request.count])
    } else {
        repeat_from_list(view, reply, &pairs.iter().collect::<Vec<_>>(), &request)
    }
}

/// What follows the name.
struct Request {
    count: usize,
    /// Whether each pair comes at most once.
    is_distinct: bool,
    has_values: bool,
}

impl Request {
    /// `None` without a count.
    fn parse(mut options: Cursor<'_>) -> Result<Option<Request>> {
        let Some(count) = options.optional() else { return Ok(None) };
        let count = integer(count)?;
        if count == i64::MIN {
            let (min, max) = (-i64::MAX, i64::MAX);
            return Err(Error::plain(format!(
                "value is out of range, value must between {min} and {max}"
            )));
        }
        let has_values = options.left() > 0;
        if has_values && !options.accept("WITHVALUES") {
            return Err(Error::Syntax);
        }
        options.finish()?;
        if has_values && count.unsigned_abs() > i64::MAX as u64 / 2 {
            return Err(Error::plain("value is out of range"));
        }
        let is_distinct = count > 0;
        Ok(Some(Request { count: count.unsigned_abs() as usize, is_distinct, has_values }))
    }

    /// Bytes of one pair in the reply, at most.
    fn bytes(&self, pair: Pair<'_>) -> usize {
        bulk_bytes(pair.key) + if self.has_values { bulk_bytes(pair.value) } else { 0 }
    }

    fn begin(&self, reply: &mut Reply<'_>, n: usize) {
        if self.has_values { reply.pairs(n) } else { reply.array(n) }
    }

    fn write(&self, reply: &mut Reply<'_>, pair: Pair<'_>) {
        if self.has_values {
            reply.pair();
        }
        reply.bulk(pair.key);
        if self.has_values {
            reply.value(pair.sendable());
        }
    }

    fn write_all(&self, view: &View<'_>, reply: &mut Reply<'_>, drawn: &[Pair<'_>]) -> Result {
        check_len(view, drawn.iter().map(|pair| self.bytes(*pair)).sum())?;

        self.begin(reply, drawn.len());
        drawn.iter().for_each(|pair| self.write(reply, *pair));
        Ok(())
    }
}

/// Whether drawing by rank is the better way: seldom in vain, and less work than a list of all.
fn is_few(request: &Request, alive: usize, with_expired: usize) -> bool {
    request.count <= FEW_MAX && request.count <= alive / 3 && alive >= with_expired / 2
}

fn draw_few<'v>(view: &View<'_>, pairs: &Pairs<'v>, request: &Request) -> Vec<Pair<'v>> {
    let mut seen = HashSet::new();
    let mut drawn = Vec::with_capacity(request.count);
    while drawn.len() < request.count
        && let Some(pair) = draw(view, pairs)
    {
        if !request.is_distinct || seen.insert(pair.key) {
            drawn.push(pair);
        }
    }
    drawn
}

/// Any live pair, each as likely as any other.
fn draw<'v>(view: &View<'_>, pairs: &Pairs<'v>) -> Option<Pair<'v>> {
    const TRIES: usize = 100;
    let by_rank = |_| pairs.nth(view.random_below(pairs.len()));
    (0..TRIES).find_map(by_rank).or_else(|| {
        let alive = pairs.count();
        (alive > 0).then(|| pairs.iter().nth(view.random_below(alive))).flatten()
    })
}

/// Puts `n` entries drawn by lot at the start.
fn shuffle_start(view: &View<'_>, list: &mut [Pair<'_>], n: usize) {
    for at in 0..n {
        list.swap(at, at + view.random_below(list.len() - at));
    }
}

/// The only reply whose size is not bounded by the namespace's.
fn repeat_from_list(
    view: &View<'_>,
    reply: &mut Reply<'_>,
    list: &[Pair<'_>],
    request: &Request,
) -> Result {
    let all_bytes: usize = list.iter().map(|pair| request.bytes(*pair)).sum();
    let mean_bytes = all_bytes.div_ceil(list.len());
    check_len(view, request.count.saturating_mul(mean_bytes))?;

    request.begin(reply, request.count);
    for _ in 0..request.count {
        request.write(reply, list[view.random_below(list.len())]);
    }
    Ok(())
}

fn check_len(view: &View<'_>, bytes: usize) -> Result {
    view.settings().check_reply_len(bytes, "a smaller count")
}
