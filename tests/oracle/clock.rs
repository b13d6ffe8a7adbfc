//! A clock for a redis-server that the test sets: a small C library, preloaded, that answers what time it is.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Stands still until it is set.
pub struct SetClock {
    file: File,
    file_path: PathBuf,
    library: PathBuf,
}

impl SetClock {
    /// With its files in this directory. `None`, and a line on stderr, where it can not be compiled.
    pub fn build(directory: &Path, now_ms: u64) -> Option<SetClock> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/clock.c");
        let library = directory.join("clock.so");
        let compiled =
            Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
        if !compiled.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: no C compiler for the clock of redis-server");
            return None;
        }
        let file_path = directory.join("clock");
        let file = File::create(&file_path).unwrap();
        let clock = SetClock { file, file_path, library };
        clock.set(now_ms);
        Some(clock)
    }

    /// Makes it this moment, in unix ms.
    pub fn set(&self, now_ms: u64) {
        let now_us = now_ms as i64 * 1000;
        self.file.write_all_at(&now_us.to_ne_bytes(), 0).unwrap();
    }

    /// What a server must find in its environment to be told this time.
    pub fn environment(&self) -> [(&'static str, OsString); 2] {
        [
            ("LD_PRELOAD", self.library.clone().into()),
            ("PANTRY_CLOCK", self.file_path.clone().into()),
        ]
    }
}
