//! A stream whose writes fail when the peer takes nothing for too long, and whose short writes wait for the end
//! of a turn of the event loop.
//!
//! hyper limits how long it waits for a request, not how long a client may leave its answer unread.
//!
//! In one turn requests of several connections are read and run; then their answers are sent, one behind the
//! other. Each send may wake who reads the answer, which is dear for the sender; of several in close order
//! most find him awake.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::pulse::Pulse;
use crate::server::stream::Stream;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::time::Sleep;

/// Head and body together that are sent as one piece: copying so little costs less than the system's way
/// with two.
const ONE_PIECE_BYTES_MAX: usize = 1024;

/// A TCP stream for hyper.
#[derive(Debug)]
pub(super) struct Stall {
    io: TokioIo<Stream>,
    patience: Duration,
    pulse: Arc<Pulse>,
    /// Set while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
    /// A short write has waited for its turn.
    is_due: bool,
}

impl Stall {
    /// Lets a write wait for `patience`.
    pub(super) fn new(io: TokioIo<Stream>, patience: Duration, pulse: Arc<Pulse>) -> Stall {
        Stall { io, patience, pulse, waiting: None, is_due: false }
    }

    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TokioIo<Stream>>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(done) = write(Pin::new(&mut self.io), cx) {
            if self.waiting.take().is_some() {
                self.pulse.unread(false);
            }
            return Poll::Ready(done);
        }
        self.pulse.unread(true);
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Read for Stall {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Stall {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.watch(cx, |io, cx| io.poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch(cx, |io, cx| io.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch(cx, |io, cx| io.poll_shutdown(cx))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if bufs.iter().map(|buf| buf.len()).sum::<usize>() > ONE_PIECE_BYTES_MAX {
            return self.watch(cx, |io, cx| io.poll_write_vectored(cx, bufs));
        }
        // Who is woken now is called when all who are ready now have been.
        self.is_due = !self.is_due;
        if self.is_due {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut piece = [0; ONE_PIECE_BYTES_MAX];
        let bytes = joined(bufs, &mut piece);
        self.watch(cx, |io, cx| io.poll_write(cx, bytes))
    }
}

/// What stands in `bufs`, one behind the other. There must be room for it.
fn joined<'p>(bufs: &[io::IoSlice<'_>], piece: &'p mut [u8]) -> &'p [u8] {
    let mut len = 0;
    for buf in bufs {
        piece[len..len + buf.len()].copy_from_slice(buf);
        len += buf.len();
    }
    &piece[..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined() {
        let join = |parts: &[&str]| {
            let bufs: Vec<_> = parts.iter().map(|it| io::IoSlice::new(it.as_bytes())).collect();
            String::from_utf8(joined(&bufs, &mut [0; 8]).to_vec()).unwrap()
        };
        assert_eq!(join(&["head", "", "body"]), "headbody");
        assert_eq!(join(&["head"]), "head");
        assert_eq!(join(&[]), "");
    }
}
