//! Which files make up a data directory: their names, and which of them count.
//!
//! `journal-N.pantry` are segments of the journal; `snapshot-N.pantry` holds everything before segment
//! N. What is still being made ends in `.tmp`; what was cut off a damaged end, in `.broken`.

use std::io;

use super::disk::Disk;

/// Name of a segment.
pub fn journal_name(number: u64) -> String {
    format!("journal-{number:08}.pantry")
}

/// Name of a snapshot.
pub fn snapshot_name(number: u64) -> String {
    format!("snapshot-{number:08}.pantry")
}

/// Name of a snapshot that is not done.
pub fn unfinished_name(number: u64) -> String {
    format!("snapshot-{number:08}.tmp")
}

/// Name for what is cut off a file, or for one that is set aside: none that is there.
///
/// # Errors
/// When the disk refuses.
pub fn broken_name(disk: &dyn Disk, file: &str) -> io::Result<String> {
    let (first, taken) = (format!("{file}.broken"), disk.list()?);
    let more = (2..).map(|number| format!("{first}-{number}"));
    let mut names = std::iter::once(first.clone()).chain(more);
    Ok(names.find(|name| !taken.contains(name)).unwrap_or(first))
}

/// The files of a data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Numbers of snapshots, ascending.
    pub snapshots: Vec<u64>,
    /// Numbers of segments, ascending.
    pub segments: Vec<u64>,
    /// Names of files that a crash left unfinished.
    pub unfinished: Vec<String>,
}

impl Inventory {
    /// Looks what is there. Files with other names are not ours and stay.
    pub fn of(disk: &dyn Disk) -> io::Result<Inventory> {
        let mut inventory = Inventory::default();
        for name in disk.list()? {
            if let Some(number) = number_in(&name, "journal-", ".pantry") {
                inventory.segments.push(number);
            } else if let Some(number) = number_in(&name, "snapshot-", ".pantry") {
                inventory.snapshots.push(number);
            } else if number_in(&name, "snapshot-", ".tmp").is_some() {
                inventory.unfinished.push(name);
            }
        }
        inventory.snapshots.sort_unstable();
        inventory.segments.sort_unstable();
        Ok(inventory)
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.snapshots.is_empty() && self.segments.is_empty()
    }

    /// The snapshot that counts: the last one.
    pub fn snapshot(&self) -> Option<u64> {
        self.snapshots.last().copied()
    }

    /// The segments that count, ascending: those the snapshot does not make superfluous.
    pub fn live_segments(&self) -> impl Iterator<Item = u64> {
        let first = self.snapshot().unwrap_or(0);
        self.segments.iter().copied().filter(move |&number| number >= first)
    }

    /// Names of files that the last snapshot made superfluous.
    pub fn superfluous(&self) -> impl Iterator<Item = String> {
        let first = self.snapshot().unwrap_or(0);
        let segments = self.segments.iter().filter(move |&&number| number < first);
        let snapshots = self.snapshots.iter().filter(move |&&number| number < first);
        segments.map(|&n| journal_name(n)).chain(snapshots.map(|&n| snapshot_name(n)))
    }

    /// A number that no file has.
    pub fn next_number(&self) -> u64 {
        let last = self.segments.last().max(self.snapshots.last());
        last.map_or(1, |last| last + 1)
    }
}

fn number_in(name: &str, before: &str, after: &str) -> Option<u64> {
    let digits = name.strip_prefix(before)?.strip_suffix(after)?;
    let number = digits.parse().ok()?;
    (number > 0 && format!("{number:08}") == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_to_each_other() {
        for number in [1, 99_999_999, 100_000_000, u64::MAX] {
            assert_eq!(number_in(&journal_name(number), "journal-", ".pantry"), Some(number));
            assert_eq!(number_in(&snapshot_name(number), "snapshot-", ".pantry"), Some(number));
            assert_eq!(number_in(&unfinished_name(number), "snapshot-", ".tmp"), Some(number));
        }
        for strange in ["journal-1.pantry", "journal-00000000.pantry", "journal-+0000001.pantry"] {
            assert_eq!(number_in(strange, "journal-", ".pantry"), None, "{strange}");
        }
    }

    #[test]
    fn the_last_snapshot_counts_and_what_comes_after_it() {
        let inventory =
            Inventory { snapshots: vec![3, 7], segments: vec![5, 6, 7, 8], unfinished: Vec::new() };
        assert_eq!(inventory.snapshot(), Some(7));
        assert_eq!(inventory.live_segments().collect::<Vec<_>>(), [7, 8]);
        let superfluous: Vec<_> = inventory.superfluous().collect();
        assert_eq!(superfluous, [journal_name(5), journal_name(6), snapshot_name(3)]);
        assert_eq!(inventory.next_number(), 9);
    }
}
