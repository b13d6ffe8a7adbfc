//! A flush fails, the snapshot that is to replace what it lost fails too, and then the power goes: what
//! was safe before is loaded.

use std::sync::Arc;

use pantry::clock::Clock;
use pantry::journal::Journal;
use pantry::journal::disk::Disk;
use pantry::store::{Hasher, Store};

use crate::disk::{Crash, MemoryDisk};
use crate::support::{Harness, START_MS};
use crate::world::load;

const MACHINES: u64 = 50;

#[test]
fn what_follows_an_untrusted_segment_proves_nothing_of_it() {
    for seed in 1..=MACHINES {
        let disk = MemoryDisk::new(seed);
        let hasher = Hasher::seeded([seed, !seed]);
        let store = Store::seeded(Journal::discarding(), Clock::manual(START_MS), hasher);
        let (journal, seeds) = (store.journal.clone(), store.seeds());
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut writer = journal.keep(shared, 1, 0, false, seeds, START_MS).unwrap();
        let mut harness = Harness::of(store);
        let mut write = |value: &str, writer: &mut pantry::journal::writer::Writer| {
            let value = value.repeat(400).into_bytes();
            harness.execute("a", &[b"HSET".to_vec(), b"n".to_vec(), b"key".to_vec(), value]);
            writer.step(START_MS).unwrap();
        };
        write("safe", &mut writer);
        writer.flusher.flush().unwrap();
        write("lost", &mut writer);
        write("also lost", &mut writer);
        disk.spoil_flush(0);
        writer.flusher.flush().unwrap_err();
        writer.begin_fresh(START_MS).unwrap();
        write("in a segment begun anew", &mut writer);
        writer.rotate(START_MS).unwrap();
        write("in the one that continues it", &mut writer);
        writer.flusher.flush().unwrap();
        disk.come_up(Crash::Power);
        let (_, recovered) = load(&disk, START_MS, seed);
        let recovered = recovered.unwrap_or_else(|error| panic!("machine {seed}: {error:#}"));
        assert!(recovered.last >= 1, "machine {seed}");
    }
}
