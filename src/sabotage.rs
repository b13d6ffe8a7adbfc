//! Deliberate bugs: each breaks one promise of the journal, so that tests can show that they would
//! notice; and some that show what a bug elsewhere costs. They exist in builds with debug assertions
//! only, and only on a thread that asks for one.
//!
//! A bug stands as `sabotage::is(Bug::X)` where the code would have it; without debug assertions that
//! is the constant `false`.

use std::cell::Cell;

/// What is done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Replies leave before their change is handed to the system.
    ReplyBeforeWrite,
    /// Under `always` replies leave before their change is flushed.
    ReplyBeforeFlush,
    /// Reads do not wait for what they show.
    ReadPassesGate,
    /// A new segment's name is not made safe.
    SegmentNameNotFlushed,
    /// A segment is continued in another before it is safe.
    SegmentEndNotFlushed,
    /// A flush that fails is tried again, and its success believed.
    FailedFlushForgiven,
    /// A record that was written in part is not taken back before it is written again.
    ShortWriteKept,
    /// A record that waited is written to a new segment with the old one's checksum.
    SealedForOldSegment,
    /// A snapshot gets its name before its content is safe.
    SnapshotNotFlushed,
    /// What a snapshot replaces is removed before its name is safe.
    SnapshotNameNotFlushed,
    /// A snapshot gets its name before the journal is safe up to its end.
    SnapshotAheadOfJournal,
    /// A change under a snapshot that carries content between names is not seen.
    CarriedContentMissed,
    /// What is in the snapshot is applied again.
    AppliedTwice,
    /// A torn end is left in its segment.
    TornEndKept,
    /// What is loaded is built upon before it is safe.
    LoadedNotFlushed,
    /// Checksums of bodies are not looked at.
    ChecksumIgnored,
    /// A record's checksums do not cover its length.
    LengthNotCovered,
    /// A pair whose deadline has passed while the server was down comes back without one.
    ExpiredComesBack,
    /// Each effect of a transaction is a batch of its own.
    TransactionSplit,
    /// A command on one name whose last argument is `panic` panics when it has run.
    CommandPanics,
    /// A row of clients panics before it runs if the last argument of a request in it is `panic`.
    RowPanics,
}

impl Bug {
    /// Those that break a promise of the journal.
    pub const ALL: [Bug; 19] = [
        Bug::ReplyBeforeWrite,
        Bug::ReplyBeforeFlush,
        Bug::ReadPassesGate,
        Bug::SegmentNameNotFlushed,
        Bug::SegmentEndNotFlushed,
        Bug::FailedFlushForgiven,
        Bug::ShortWriteKept,
        Bug::SealedForOldSegment,
        Bug::SnapshotNotFlushed,
        Bug::SnapshotNameNotFlushed,
        Bug::SnapshotAheadOfJournal,
        Bug::CarriedContentMissed,
        Bug::AppliedTwice,
        Bug::TornEndKept,
        Bug::LoadedNotFlushed,
        Bug::ChecksumIgnored,
        Bug::LengthNotCovered,
        Bug::ExpiredComesBack,
        Bug::TransactionSplit,
    ];
}

thread_local! {
    static CURRENT: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Whether this thread has this bug now.
#[inline(always)]
pub fn is(bug: Bug) -> bool {
    cfg!(debug_assertions) && CURRENT.get() == Some(bug)
}

/// Runs something with a bug on this thread. Does nothing but run it in a build without debug assertions.
pub fn with<T>(bug: Bug, run: impl FnOnce() -> T) -> T {
    /// Ends it, also when what was run panics.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            CURRENT.set(None);
        }
    }
    let _end = End;
    CURRENT.set(Some(bug));
    run()
}
