//! Runs commands whose replies are not made a tree of: as RESP2, as rows, as one transaction.

use super::connection::Connection;
use crate::dispatch::exec_reply_too_long;
use crate::error::Error;
use crate::output::Output;
use crate::reply::{Capture, Captured, Reply, Rows};
use crate::resp::owned::OwnedRequest;
use crate::server::worker::Worker;

impl Connection {
    /// Runs one command and appends its reply as RESP2.
    pub(super) fn run_into(&self, args: &[&[u8]], reply: &mut Vec<u8>) {
        let request = OwnedRequest::new(args.iter().copied());
        let mut output = Output::new();
        let mut session = self.session.lock();
        Worker::with(|worker| {
            worker.run(&mut session, |executor, session, _| {
                executor.execute_now(session, request.args(), &mut Reply::resp(&mut output, false));
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
                executor.execute_now(session, request.args(), &mut reply);
            });
        });
        answered(capture.take())
    }

    /// Runs commands as one transaction and appends the reply of EXEC, or the error that ended it.
    pub(super) fn run_transaction(&self, commands: &[Vec<&[u8]>], reply: &mut Vec<u8>) {
        let multi: &[&[u8]] = &[b"MULTI"];
        let exec: &[&[u8]] = &[b"EXEC"];
        let queued = commands.iter().map(Vec::as_slice);
        let mut output = Output::new();
        let mut session = self.session.lock();
        Worker::with(|worker| {
            let bytes_max = worker.config.client_reply_max_bytes;
            worker.run(&mut session, |executor, session, _| {
                for args in std::iter::once(multi).chain(queued).chain(std::iter::once(exec)) {
                    output.clear();
                    let request = OwnedRequest::new(args.iter().copied());
                    let mut answer = Reply::resp(&mut output, false);
                    executor.execute_now(session, request.args(), &mut answer);
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
