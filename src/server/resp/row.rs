//! Connections that have each brought one short request, run in a row by one executor.
//!
//! At pipeline 1 this is all that happens, so nothing is done per connection here that can be done once for
//! all of them. Whoever is special in any way, or has brought more, is left to [`super::round`], which lets
//! each connection go on by itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;

use super::Connection;
use super::round::{enlist, lift_those, put_back};
use crate::dispatch::{Executor, InRow, Plan, is_plain_client};
use crate::output::Output;
use crate::reply::Reply;
use crate::resp::ahead::{AHEAD_MAX, Ahead};
use crate::sabotage::{self, Bug};
use crate::server::Server;
use crate::server::worker::Worker;

/// Those in a row. Empty between two runs, with room for the next.
#[derive(Default)]
pub(super) struct Row {
    desks: Vec<usize>,
    #[allow(clippy::vec_box, reason = "they come from their desks in boxes and go back in them")]
    connections: Vec<Box<Connection>>,
    /// What each has brought.
    inputs: Vec<Vec<u8>>,
    /// What became of it; `None`: its command has panicked.
    states: Vec<Option<InRow>>,
}

impl Row {
    /// Runs the requests of those who may be in a row, of up to [`AHEAD_MAX`] who are due. They are due again then,
    /// to be answered. The others are moved to the front; returns how many these are.
    ///
    /// A panic costs those in the row their connections, and nobody else anything: not their thread either.
    pub fn run(&mut self, desks: &mut [usize], server: &Server) -> usize {
        let ran = catch_unwind(AssertUnwindSafe(|| self.try_run(desks, server)));
        ran.unwrap_or_else(|_| {
            self.close_all();
            // Those that were not reached yet are among them.
            desks.len()
        })
    }

    fn try_run(&mut self, desks: &mut [usize], server: &Server) -> usize {
        Worker::with(|worker| {
            if server.store.journal.is_behind() || !Ahead::may_be_usual(&worker.limits) {
                return desks.len();
            }
            let mut ahead = std::mem::take(&mut worker.ahead);
            ahead.clear();
            let mut left = lift_those(
                desks,
                |connection| connection.may_be_in_row(server) && ahead.push_only(&connection.input),
                |desk, mut connection| {
                    let input = std::mem::take(&mut connection.input);
                    connection.output = worker.spare_output();
                    self.desks.push(desk);
                    self.connections.push(connection);
                    self.inputs.push(input);
                },
            );
            if !self.connections.is_empty() {
                worker.run_row(|executor| self.execute(executor, &ahead));
                self.end(worker, |desk| {
                    desks[left] = desk;
                    left += 1;
                });
            }
            worker.ahead = ahead;
            left
        })
    }

    /// Runs the requests, first those that only read. Whether anything was changed.
    fn execute(&mut self, executor: &mut Executor<'_>, ahead: &Ahead) -> bool {
        let Row { connections, inputs, states, .. } = self;
        let len = connections.len();
        states.resize(len, Some(InRow::Left));
        if !executor.begin_row() {
            return false;
        }
        let store = &executor.server.store;
        let mut plans = [Plan::UNKNOWN; AHEAD_MAX];
        let mut of = [0; AHEAD_MAX];
        let (mut reads_end, mut writes_start, mut last) = (0, len, 0);
        for (at, input) in inputs.iter().enumerate() {
            let args = ahead.args(at, input);
            let panics = sabotage::is(Bug::RowPanics) && args.get(args.len() - 1) == b"panic";
            assert!(!panics, "sabotage");
            let plan = Plan::after(&plans[last], store, args);
            last = match plan.changes() {
                true => {
                    writes_start -= 1;
                    writes_start
                }
                false => {
                    reads_end += 1;
                    reads_end - 1
                }
            };
            (plans[last], of[last]) = (plan, at);
        }
        let db = connections[0].session.db;
        let mut has_changed = false;
        for range in [0..reads_end, writes_start..len] {
            executor.look_ahead_in_row(db, &plans[range.clone()]);
            for (plan, &at) in plans[range.clone()].iter().zip(&of[range.clone()]) {
                let Connection { session, output, .. } = &mut *connections[at];
                let args = ahead.args(at, &inputs[at]);
                // What goes wrong with one command must not be the other clients' matter.
                let ran = catch_unwind(AssertUnwindSafe(|| {
                    let reply = &mut Reply::resp(output, session.resp3);
                    executor.execute_in_row(session, args, plan, reply)
                }));
                states[at] = ran.ok();
                if states[at].is_none() {
                    executor.panicked_in_row();
                }
            }
            let seen = executor.end_hold();
            for &at in &of[range] {
                if states[at] == Some(InRow::Owed) {
                    let session = &mut connections[at].session;
                    session.seen = session.seen.max(seen);
                    has_changed = true;
                }
            }
        }
        let sessions = connections.iter().map(|connection| &connection.session);
        let requests = inputs.iter().enumerate().map(|(at, input)| ahead.args(at, input));
        executor.lap_of_many(sessions.zip(requests));
        has_changed
    }

    /// Lets everybody go back to its desk. Those that have not run are left.
    fn end(&mut self, worker: &mut Worker, mut leave: impl FnMut(usize)) {
        let requests = self.connections.drain(..).zip(self.inputs.drain(..));
        let places = self.desks.drain(..).zip(self.states.drain(..));
        for ((mut connection, input), (desk, state)) in requests.zip(places) {
            match state {
                Some(InRow::Left) => {
                    connection.input = input;
                    worker.keep_output(std::mem::take(&mut connection.output));
                    put_back(desk, connection);
                    leave(desk);
                }
                Some(InRow::Done | InRow::Owed) => {
                    worker.keep_input(input);
                    connection.ran_in_row(worker);
                    put_back(desk, connection);
                    enlist(desk);
                }
                None => close(desk, connection),
            }
        }
    }

    /// Ends the connections of a row in which something other than a command has panicked.
    #[cold]
    fn close_all(&mut self) {
        // What was changed before is in the journal.
        Worker::with(Worker::call_writer);
        self.inputs.clear();
        self.states.clear();
        for (desk, connection) in self.desks.drain(..).zip(self.connections.drain(..)) {
            close(desk, connection);
        }
    }
}

/// Has a connection end without an answer when it goes on.
fn close(desk: usize, mut connection: Box<Connection>) {
    connection.session.should_close = true;
    connection.output = Output::new();
    put_back(desk, connection);
    enlist(desk);
}

impl Connection {
    /// Whether it waits to run, nothing else is to be done before, and nothing is special about its client.
    #[inline]
    fn may_be_in_row(&self, server: &Server) -> bool {
        let client = &self.session.client;
        self.waits_to_run()
            && self.output.is_empty()
            && !self.has_passed
            && !self.session.is_heavy
            && !self.session.should_close
            && is_plain_client(&self.session, server)
            && !client.is_killed()
            && !client.mailbox.has_mail()
    }

    /// Its only request has run.
    #[inline]
    fn ran_in_row(&mut self, worker: &mut Worker) {
        let len = self.output.len();
        (self.has_more, self.replies) = (false, self.replies + 1);
        let memory = &self.session.client.memory;
        memory.query.store(0, Relaxed);
        memory.output.store(len, Relaxed);
        worker.metrics.total_net_output_bytes.add(len as u64);
        if worker.limits_output {
            self.check_output(worker);
        }
    }
}
