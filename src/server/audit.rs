//! The audit log: who did what, one JSON object a line, in the file that `audit-log` names.
//!
//! What becomes a line is decided in [`crate::dispatch`] and by the HTTP door. Lines are written by a
//! thread of their own: a worker puts one into a bounded queue and goes on. What does not fit there, or on
//! the disk, is lost and counted. Like the log's, a file that was moved away is begun anew: at once on
//! SIGHUP, within a second without it.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use crate::files;

/// Lines that may wait for the disk.
const QUEUE_LINES_MAX: usize = 8192;

/// The log; off until it is started.
#[derive(Debug, Default)]
pub struct Audit {
    is_on: AtomicBool,
    sender: Mutex<Option<SyncSender<Message>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
enum Message {
    Line(String),
    /// The file may have been moved.
    Look,
    Reopen,
}

/// Lines handed to the system, and lost, since the start.
#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    lost: AtomicU64,
}

impl Audit {
    /// Opens the file and starts writing to it.
    ///
    /// # Errors
    /// When the file can not be opened.
    pub fn start(&self, path: &str) -> io::Result<()> {
        let path = std::path::absolute(path)?;
        let file = BufWriter::new(files::append(&path)?);
        let (sender, receiver) = sync_channel(QUEUE_LINES_MAX);
        let mut writer = Writer { path, file, counts: self.counts.clone(), unflushed: 0 };
        let thread = std::thread::Builder::new().name("audit".into());
        *self.writer.lock() = Some(thread.spawn(move || writer.run(&receiver))?);
        *self.sender.lock() = Some(sender);
        self.is_on.store(true, Relaxed);
        Ok(())
    }

    /// Whether lines are wanted.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Relaxed)
    }

    /// Adds a line, which has no line feed. Never waits for the disk.
    pub fn add(&self, line: String) {
        if !self.tell(Message::Line(line)) {
            self.counts.lost.fetch_add(1, Relaxed);
        }
    }

    /// Opens the file again, under its name.
    pub fn reopen(&self) {
        self.tell(Message::Reopen);
    }

    /// The same, if its name has come to mean another file or none.
    pub fn reopen_if_moved(&self) {
        self.tell(Message::Look);
    }

    /// Lines that were handed to the system, and lines that were lost.
    pub fn counts(&self) -> [u64; 2] {
        [&self.counts.written, &self.counts.lost].map(|count| count.load(Relaxed))
    }

    /// Writes what is left, and ends.
    pub fn close(&self) {
        self.is_on.store(false, Relaxed);
        drop(self.sender.lock().take());
        if let Some(writer) = self.writer.lock().take() {
            // One that panicked has nothing left to write.
            let _ = writer.join();
        }
    }

    /// `false` if the queue is full.
    fn tell(&self, message: Message) -> bool {
        self.sender.lock().as_ref().is_none_or(|sender| sender.try_send(message).is_ok())
    }
}

struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    counts: Arc<Counts>,
    /// Lines that the system does not have yet.
    unflushed: u64,
}

impl Writer {
    /// Writes until nobody can send any more. Whenever nothing waits, all is handed to the system.
    fn run(&mut self, receiver: &Receiver<Message>) {
        loop {
            let message = receiver.try_recv().or_else(|_| {
                self.flush();
                receiver.recv()
            });
            match message {
                Ok(Message::Line(line)) => self.write(&line),
                Ok(Message::Look) if files::is_at(self.file.get_ref(), &self.path) => {}
                Ok(Message::Look | Message::Reopen) => self.reopen(),
                Err(_) => return,
            }
        }
    }

    fn write(&mut self, line: &str) {
        self.unflushed += 1;
        if let Err(error) = writeln!(self.file, "{line}") {
            self.lose(&error);
        }
    }

    fn flush(&mut self) {
        match self.file.flush() {
            Ok(()) => {
                let lines = std::mem::take(&mut self.unflushed);
                self.counts.written.fetch_add(lines, Relaxed);
            }
            Err(error) => self.lose(&error),
        }
    }

    /// What is buffered may be on the disk in part, so it is not written again.
    fn lose(&mut self, error: &io::Error) {
        let lines = std::mem::take(&mut self.unflushed);
        tracing::warn!(%error, lines, "lines of the audit log are lost");
        self.counts.lost.fetch_add(lines, Relaxed);
        self.begin_anew();
    }

    fn reopen(&mut self) {
        self.flush();
        self.begin_anew();
    }

    /// Without a new file the old one goes on.
    fn begin_anew(&mut self) {
        let opened = files::append(&self.path).or_else(|_| self.file.get_ref().try_clone());
        if let Ok(file) = opened {
            // Dropped as it is, it would write what it holds.
            let _ = std::mem::replace(&mut self.file, BufWriter::new(file)).into_parts();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn lines(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn lines_are_in_the_file_that_has_the_name() {
        let dir = std::env::temp_dir().join(format!("pantry-audit-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (path, moved) = (dir.join("audit"), dir.join("audit.1"));
        let audit = Audit::default();
        audit.add("off".to_owned());
        audit.start(path.to_str().unwrap()).unwrap();
        audit.add("first".to_owned());
        while audit.counts() != [1, 0] {
            std::thread::yield_now();
        }
        std::fs::rename(&path, &moved).unwrap();
        audit.reopen();
        audit.add("second".to_owned());
        audit.close();
        assert_eq!((lines(&moved), lines(&path)), (vec!["first".into()], vec!["second".into()]));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_full_disk_does_not_take_is_counted() {
        let audit = Audit::default();
        audit.start("/dev/full").unwrap();
        for number in 0..100 {
            audit.add(number.to_string());
        }
        audit.close();
        assert_eq!(audit.counts(), [0, 100]);
    }

    #[test]
    fn a_queue_that_is_full_costs_lines_and_no_time() {
        let audit = Audit::default();
        let (sender, receiver) = sync_channel(2);
        *audit.sender.lock() = Some(sender);
        (0..5).for_each(|number: u64| audit.add(number.to_string()));
        assert_eq!(audit.counts(), [0, 3]);
        drop(receiver);
    }
}
