//! Tells people how far loading is: a line that is rewritten on a terminal, else lines of the log.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::Ordering::Relaxed;

use super::recover::Recovered;
use crate::store::Store;

/// Time between two lines of the log, and between two changes of the line on a terminal, in ms.
const LOG_INTERVAL_MS: u64 = 1000;
const LINE_INTERVAL_MS: u64 = 100;
const BAR_LEN: u64 = 30;

/// How far loading is.
pub struct Progress {
    started_ms: u64,
    shown_ms: u64,
    is_terminal: bool,
    has_line: bool,
}

impl Progress {
    /// Loading begins.
    pub fn begin(store: &Store) -> Progress {
        let started_ms = store.clock.now_ms();
        store.journal.status().loading_started_ms.store(started_ms, Relaxed);
        let is_terminal = std::io::stderr().is_terminal();
        Progress { started_ms, shown_ms: started_ms, is_terminal, has_line: false }
    }

    /// Shows how far it is, if that was not just done.
    pub fn show(&mut self, store: &Store) {
        let now_ms = store.clock.now_ms();
        let interval_ms = if self.is_terminal { LINE_INTERVAL_MS } else { LOG_INTERVAL_MS };
        if now_ms < self.shown_ms + interval_ms {
            return;
        }
        self.shown_ms = now_ms;
        let status = store.journal.status();
        let total = status.loading_total_bytes.load(Relaxed).max(1);
        let loaded = status.loading_loaded_bytes.load(Relaxed).min(total);
        let pairs = status.loaded_pairs.load(Relaxed);
        let took_ms = now_ms - self.started_ms;
        let left_s = took_ms * (total - loaded) / loaded.max(1) / 1000;
        let percent = loaded * 100 / total;
        if !self.is_terminal {
            tracing::info!(percent, pairs, bytes = loaded, left_s, "loading");
            return;
        }
        self.has_line = true;
        let done = (loaded * BAR_LEN / total) as usize;
        let bar = format!("{}{}", "#".repeat(done), ".".repeat(BAR_LEN as usize - done));
        let line = format!("\rloading [{bar}] {percent} %, {pairs} pairs, {left_s} s left ");
        // The terminal may be gone.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    /// Loading is over.
    pub fn end(&self, store: &Store, recovered: &Recovered) {
        if self.has_line {
            let _ = std::io::stderr().write_all(b"\n");
        }
        if let Some(cut) = &recovered.cut {
            tracing::warn!(
                file = cut.file,
                offset = cut.offset,
                bytes = cut.bytes,
                kept = cut.kept,
                "the end of the journal was torn, as by a crash: it was cut off ({})",
                cut.flaw
            );
        }
        let status = store.journal.status();
        let (pairs, bytes) =
            (status.loaded_pairs.load(Relaxed), status.loading_loaded_bytes.load(Relaxed));
        let ms = store.clock.now_ms() - self.started_ms;
        tracing::info!(pairs, bytes, ms, batches = recovered.last, "loaded");
    }
}
