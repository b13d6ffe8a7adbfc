//! Runs commands whose replies are not made a tree of: as RESP2, as rows, as one transaction.

use super::connection::Connection;
use crate::dispatch::{Executor, exec_reply_too_long};
use crate::error::Error;
use crate::output::Output;
use crate::reply::{Capture, Captured, Reply, Rows};
use crate::resp::owned::OwnedRequest;
use crate::resp::request::Args;
use crate::server::worker::Worker;
use crate::session::Session;

/// Who has named a request's command.
#[derive(Debug, Clone, Copy)]
enum By {
    Door,
    Client,
}

impl By {
    fn execute(
        self,
        executor: &mut Executor<'_>,
        session: &mut Session,
        args: Args<'_>,
        reply: &mut Reply<'_>,
    ) {
        match self {
            By::Door => executor.execute_own(session, args, reply),
            By::Client => executor.execute_now(session, args, reply),
        }
    }
}

impl Connection {
    /// Runs one command of the door's own and appends its reply as RESP2.
    pub(super) fn run_into(&self, args: &[&[u8]], reply: &mut Vec<u8>) {
        self.run_by(By::Door, args, reply);
    }

    /// Runs one command that a client has sent, as clients call it, and appends its reply as RESP2.
    pub(super) fn run_sent_into(&self, args: &[&[u8]], reply: &mut Vec<u8>) {
        self.run_by(By::Client, args, reply);
    }

    fn run_by(&self, by: By, args: &[&[u8]], reply: &mut Vec<u8>) {
        let request = OwnedRequest::new(args.iter().copied());
        let mut output = Output::new();
        let mut session = self.session.lock();
        Worker::with(|worker| {
            worker.run(&mut session, |executor, session, _| {
                let mut reply = Reply::resp(&mut output, false);
                by.execute(executor, session, request.args(), &mut reply);
            });
        });
        append(reply, &output);
    }

    /// Runs one command that gives its pairs to `rows`; the rest of its reply.
    pub(super) fn run_rows(&self, args: &[&[u8]], rows: &mut dyn Rows) -> Result<Captured, Error> {
        let request = OwnedRequest::new(args.iter().copied());
        let mut capture = Capture::default();
        let mut session = self.session.lock();
        Worker::with(|worker| {
            worker.run(&mut session, |executor, session, _| {
                let mut reply = Reply::with_rows(&mut capture, rows);
                executor.execute_own(session, request.args(), &mut reply);
            });
        });
        answered(capture.take())
    }

    /// Runs commands that a client has sent as one transaction, and appends the reply of EXEC, or the error that
    /// ended it.
    pub(super) fn run_transaction(&self, commands: &[Vec<&[u8]>], reply: &mut Vec<u8>) {
        let (multi, exec): (&[&[u8]], &[&[u8]]) = (&[b"MULTI"], &[b"EXEC"]);
        let sent = commands.iter().map(|args| (By::Client, &**args));
        let all = std::iter::once((By::Door, multi)).chain(sent).chain([(By::Door, exec)]);
        let mut output = Output::new();
        let mut session = self.session.lock();
        Worker::with(|worker| {
            let bytes_max = worker.config.client_reply_max_bytes;
            worker.run(&mut session, |executor, session, _| {
                for (by, args) in all {
                    output.clear();
                    let request = OwnedRequest::new(args.iter().copied());
                    let mut answer = Reply::resp(&mut output, false);
                    by.execute(executor, session, request.args(), &mut answer);
                    // The first refusal says more than what EXEC makes of it.
                    if reply.is_empty() && output.to_vec().starts_with(b"-") {
                        append(reply, &output);
                    }
                }
            });
            if output.len() > bytes_max {
                // Large values were not copied until now.
                output.clear();
                Reply::resp(&mut output, false).error(&exec_reply_too_long());
            }
        });
        if reply.is_empty() {
            append(reply, &output);
        }
    }
}

/// The reply of a command, if it has not failed.
pub(super) fn answered(reply: Option<Captured>) -> Result<Captured, Error> {
    match reply {
        Some(Captured::Error(error)) => Err(error),
        Some(reply) => Ok(reply),
        None => Err(Error::plain("the command wrote no reply")),
    }
}

fn append(reply: &mut Vec<u8>, output: &Output) {
    match output.without_values() {
        Some(bytes) => reply.extend_from_slice(bytes),
        None => reply.append(&mut output.to_vec()),
    }
}
