//! Runs the requests that have arrived on a connection of the Redis door: a few are found, looked at
//! ahead, and run, until the input holds no complete one.
//!
//! Sockets are the matter of [`super`]; what a request means is the executor's.

use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use crate::dispatch::{Executor, Plan};
use crate::error::Error;
use crate::output::Output;
use crate::reply::Reply;
use crate::resp::ahead::{AHEAD_MAX, Ahead};
use crate::resp::request::{Limits, Parsed, ProtocolError, RequestParser};
use crate::session::Session;

/// What has arrived on a connection, and what it takes to run it.
pub(super) struct Batch<'b, 's> {
    pub executor: &'b mut Executor<'s>,
    pub session: &'b mut Session,
    pub parser: &'b mut RequestParser,
    pub ahead: &'b mut Ahead,
    pub limits: &'b Limits,
    pub input: &'b [u8],
    pub output: &'b mut Output,
    /// Bytes of `output` after which no more is run.
    pub output_max: usize,
    pub replies: &'b mut usize,
    /// Bytes that are still to come of the last request, at least.
    pub missing: &'b mut usize,
    pub pushed: &'b mut Vec<Range<usize>>,
}

/// Why looking ahead ended.
enum Found {
    /// There may be more requests.
    More,
    /// An inline request stands at this place and takes so many bytes. The parser has its arguments.
    Inline(usize, usize),
    /// No complete request is left; what begins at this place may be one when more arrives.
    Rest(usize),
    /// These bytes are no request.
    Wrong(ProtocolError),
}

impl Batch<'_, '_> {
    /// Runs requests until the input holds no complete one or enough output has gathered. Returns
    /// the bytes used, and whether a complete request may be left.
    pub fn run(mut self) -> (usize, bool) {
        let mut used = 0;
        while !self.is_held_up() {
            if self.output.len() >= self.output_max {
                return (used, true);
            }
            let found = self.find(used);
            let is_done = self.run_ahead(&mut used);
            let requests = self.ahead.iter(self.input).map(|(args, _)| args);
            self.executor.lap(self.session, requests);
            if self.session.should_close {
                break;
            }
            if !is_done || self.is_held_up() {
                // What was found behind `used` will be looked for again.
                self.parser.forget();
                *self.missing = 0;
                return (used, true);
            }
            match found {
                Found::More => {}
                Found::Inline(at, len) => {
                    if self.session.is_listening {
                        Self::hear(self.executor, self.session, self.output, self.pushed);
                    }
                    let args = self.parser.args(&self.input[at..]);
                    let reply = &mut Reply::resp(self.output, self.session.resp3);
                    let before = reply.mark();
                    self.executor.execute(self.session, args, reply);
                    *self.replies += usize::from(reply.mark() != before);
                    if !self.executor.is_parked {
                        used = at + len;
                    }
                    Self::collect_mail(self.executor, self.session, self.output, self.pushed);
                }
                Found::Rest(at) => return (at, false),
                Found::Wrong(error) => {
                    if error == ProtocolError::TooBigRequest {
                        self.executor.server.clients.too_large_queries.fetch_add(1, Relaxed);
                    }
                    if let Some(text) = error.reply() {
                        let error = Error::plain(text);
                        Reply::resp(self.output, self.session.resp3).error(&error);
                        *self.replies += 1;
                    }
                    self.session.should_close = true;
                }
            }
        }
        match self.session.should_close {
            true => (self.input.len(), false),
            false => (used, true),
        }
    }

    /// Whether nothing more may run now: the session ends, or waits for a script.
    fn is_held_up(&self) -> bool {
        self.session.should_close || self.session.is_in_script || self.executor.is_parked
    }

    /// Finds the next requests.
    fn find(&mut self, mut at: usize) -> Found {
        self.ahead.clear();
        // AUTH changes the limits of the request behind it.
        let (limits, most) = if self.session.identity.is_authenticated() {
            (self.limits, AHEAD_MAX)
        } else {
            (&Limits::UNAUTHENTICATED, 1)
        };
        let may_be_usual = Ahead::may_be_usual(limits);
        // At the end of the input the parser is asked once more, so that it keeps no large buffer.
        while self.ahead.len() < most || at == self.input.len() {
            if may_be_usual
                && self.parser.is_at_rest()
                && let Some(end) = self.ahead.push_usual(self.input, at)
            {
                at = end;
                continue;
            }
            let input = &self.input[at..];
            match self.parser.parse(input, limits) {
                Ok(Parsed::Request { consumed }) if self.parser.is_inline() => {
                    return Found::Inline(at, consumed);
                }
                Ok(Parsed::Request { consumed }) => {
                    self.ahead.push(self.parser.args(input), at, at + consumed);
                    at += consumed;
                }
                Ok(Parsed::Incomplete { consumed, need_at_least }) => {
                    *self.missing = need_at_least;
                    return Found::Rest(at + consumed);
                }
                Err(error) => return Found::Wrong(error),
            }
        }
        Found::More
    }

    /// Runs what was found; `false` if output or the session's end stopped it before the last.
    fn run_ahead(&mut self, used: &mut usize) -> bool {
        match self.ahead.len() {
            0 => true,
            1 => self.run_found::<1>(used),
            _ => self.run_found::<AHEAD_MAX>(used),
        }
    }

    /// The same for at most `N` requests.
    #[inline]
    fn run_found<const N: usize>(&mut self, used: &mut usize) -> bool {
        let mut plans = [Plan::UNKNOWN; N];
        let store = &self.executor.server.store;
        for (at, (args, _)) in self.ahead.iter(self.input).enumerate() {
            let last = at.checked_sub(1).map_or(&Plan::UNKNOWN, |last| &plans[last]);
            plans[at] = Plan::after(last, store, args);
        }
        self.executor.look_ahead(self.session, &plans[..self.ahead.len()]);
        for ((args, end), plan) in self.ahead.iter(self.input).zip(&plans) {
            if self.is_held_up() || self.output.len() >= self.output_max {
                return false;
            }
            if self.session.is_listening {
                Self::hear(self.executor, self.session, self.output, self.pushed);
            }
            let before = self.output.len();
            let reply = &mut Reply::resp(self.output, self.session.resp3);
            self.executor.execute_planned(self.session, args, plan, reply);
            *self.replies += usize::from(self.output.len() != before);
            if self.executor.is_parked {
                return false;
            }
            *used = end;
            Self::collect_mail(self.executor, self.session, self.output, self.pushed);
        }
        true
    }

    /// What must go before a command can run is told to its client before the reply.
    #[cold]
    fn hear(
        executor: &mut Executor<'_>,
        session: &mut Session,
        output: &mut Output,
        pushed: &mut Vec<Range<usize>>,
    ) {
        if executor.evict(session) {
            session.collect_mail(output, pushed);
        }
    }

    /// What a command has sent to its own client follows its reply.
    #[inline]
    fn collect_mail(
        executor: &mut Executor<'_>,
        session: &mut Session,
        output: &mut Output,
        pushed: &mut Vec<Range<usize>>,
    ) {
        if session.is_listening {
            executor.send(session);
            session.collect_mail(output, pushed);
        }
    }
}
