//! Dividing a table of pairs by the leading bits of the hash, and putting such tables together again.
//!
//! Segments move as they are, so neither costs more than there are segments. Who needs it, and what
//! for, is in [`super::spread`].

use super::blocks::Blocks;
use super::heap::Heap;
use super::segment::Segment;
use super::table::{Rehash, Table};

impl<H: Heap> Table<H> {
    /// Makes `1 << bits` tables of one, in the order of the hashes.
    pub(super) fn divide(self, bits: u8, rehash: impl Rehash) -> Vec<Table<H>> {
        let skip_bits = self.skip_bits + bits;
        let mut parts: Vec<Vec<Segment<H>>> = (0..1usize << bits).map(|_| Vec::new()).collect();
        // Of those that are too wide, the lower half is looked at first.
        let mut whole: Vec<Segment<H>> = self.into_segments();
        whole.reverse();
        while let Some(mut segment) = whole.pop() {
            if segment.prefix_bits < skip_bits {
                let upper = segment.split(rehash);
                whole.extend([upper, segment]);
                continue;
            }
            let number = (segment.prefix << (skip_bits - bits)) >> (64 - bits);
            parts[number as usize].push(segment);
        }
        parts.into_iter().map(|segments| Table::of_segments(skip_bits, segments)).collect()
    }

    /// Makes one table of what [`Table::divide`] made `1 << bits` of.
    pub(super) fn join(parts: Vec<Table<H>>, bits: u8) -> Table<H> {
        let mut segments = Vec::new();
        let mut skip_bits = 0;
        for (number, part) in parts.into_iter().enumerate() {
            skip_bits = part.skip_bits - bits;
            if part.segments.is_empty() {
                let prefix = (number as u64) << (64 - bits) >> skip_bits;
                segments.push(Segment::prepared(prefix, skip_bits + bits, 0));
            }
            segments.extend(part.into_segments());
        }
        Table::of_segments(skip_bits, segments)
    }

    /// Segments in the order of their hashes.
    fn into_segments(mut self) -> Vec<Segment<H>> {
        let mut taken: Vec<Option<Segment<H>>> = Vec::new();
        while let Some(segment) = self.segments.pop() {
            taken.push(Some(segment));
        }
        taken.reverse();
        // A segment has several neighbouring places in the directory, and is taken at the first.
        self.directory.iter().filter_map(|&index| taken[index as usize].take()).collect()
    }

    /// A table of segments that cover all of its hashes, in their order.
    fn of_segments(skip_bits: u8, segments: Vec<Segment<H>>) -> Table<H> {
        let mut table = Table::new(skip_bits);
        let depth = segments.iter().map(|segment| segment.prefix_bits - skip_bits).max();
        table.depth = depth.unwrap_or(0);
        table.segments = Blocks::new();
        for (index, segment) in segments.into_iter().enumerate() {
            table.len += segment.len;
            table.segment_bytes += segment.bytes();
            table.min_deadline_ms = table.min_deadline_ms.min(segment.min_deadline_ms);
            let places = 1usize << (table.depth - (segment.prefix_bits - skip_bits));
            table.directory.extend(std::iter::repeat_n(index as u32, places));
            table.segments.push(segment);
        }
        table.directory.shrink_to_fit();
        table
    }
}
