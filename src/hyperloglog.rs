//! HyperLogLog: how many different things were seen, within about 0.81 %, in 12 KiB at most.
//!
//! The string is laid out as Redis lays it out, so that values move between servers: 16 bytes of
//! header (`HYLL`, the layout, three zero bytes, the last count with its highest bit set when it is
//! not valid), then 16,384 registers. *Dense*: 6 bits each, from the lowest bit on. *Sparse*: runs of
//! equal registers, for few things. Counting is after Otmar Ertl, arXiv:1702.01284.

/// Registers, and the bits of a hash that choose one.
pub const REGISTERS: usize = 1 << REGISTER_BITS;
const REGISTER_BITS: u32 = 14;
/// The other bits, whose trailing zeros are counted.
const COUNTED_BITS: usize = 64 - REGISTER_BITS as usize;
const HEADER_BYTES: usize = 16;
const DENSE_BYTES: usize = HEADER_BYTES + REGISTERS * 6 / 8;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const NOT_COUNTED: u8 = 0x80;
/// The largest register, and the longest runs, of the sparse layout.
const SPARSE_VALUE_MAX: u8 = 32;
const SPARSE_VALUES_MAX: usize = 4;
const SPARSE_ZEROS_MAX: usize = 64;

/// How registers are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// 6 bits each.
    Dense,
    /// Runs.
    Sparse,
}

/// Why a string can not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// It never was a HyperLogLog.
    Other,
    /// Its runs do not make 16,384 registers.
    Corrupt,
}

/// The registers, and how they were laid out.
#[derive(Clone)]
pub struct HyperLogLog {
    registers: Box<[u8; REGISTERS]>,
    /// How it is written; one that was dense stays so.
    pub layout: Layout,
}

impl Default for HyperLogLog {
    fn default() -> HyperLogLog {
        HyperLogLog { registers: Box::new([0; REGISTERS]), layout: Layout::Sparse }
    }
}

impl HyperLogLog {
    /// Reads a string.
    ///
    /// # Errors
    /// Why it can not be read.
    pub fn read(bytes: &[u8]) -> Result<HyperLogLog, Unreadable> {
        let layout = layout(bytes)?;
        let mut of = HyperLogLog { layout, ..HyperLogLog::default() };
        let body = &bytes[HEADER_BYTES..];
        match layout {
            Layout::Dense => {
                for (four, three) in of.registers.chunks_exact_mut(4).zip(body.chunks_exact(3)) {
                    let bits = u32::from_le_bytes([three[0], three[1], three[2], 0]);
                    for (at, register) in four.iter_mut().enumerate() {
                        *register = (bits >> (6 * at)) as u8 & 0x3f;
                    }
                }
            }
            Layout::Sparse => of.read_runs(body).ok_or(Unreadable::Corrupt)?,
        }
        Ok(of)
    }

    fn read_runs(&mut self, body: &[u8]) -> Option<()> {
        let mut at = 0;
        for run in Runs(body) {
            let (value, len) = run?;
            self.registers.get_mut(at..at + len)?.fill(value);
            at += len;
        }
        (at == REGISTERS).then_some(())
    }

    /// Writes it as a string that is dense if it would be longer than `sparse_max_bytes`.
    pub fn write(&self, sparse_max_bytes: usize) -> Vec<u8> {
        let sparse = || self.write_sparse().filter(|bytes| bytes.len() <= sparse_max_bytes);
        let is_sparse = self.layout == Layout::Sparse;
        is_sparse.then(sparse).flatten().unwrap_or_else(|| self.write_dense())
    }

    fn write_dense(&self) -> Vec<u8> {
        let mut bytes = header(DENSE);
        bytes.reserve_exact(DENSE_BYTES - HEADER_BYTES);
        for four in self.registers.chunks_exact(4) {
            let bits = (0..4).fold(0, |bits, at| bits | u32::from(four[at]) << (6 * at));
            bytes.extend_from_slice(&bits.to_le_bytes()[..3]);
        }
        bytes
    }

    /// `None` if a register is too large for it.
    fn write_sparse(&self) -> Option<Vec<u8>> {
        let mut bytes = header(SPARSE);
        for run in self.registers.chunk_by(|a, b| a == b) {
            if run[0] > SPARSE_VALUE_MAX {
                return None;
            }
            if run[0] > 0 {
                for part in run.chunks(SPARSE_VALUES_MAX) {
                    bytes.push(0x80 | (run[0] - 1) << 2 | (part.len() - 1) as u8);
                }
            } else if run.len() <= SPARSE_ZEROS_MAX {
                bytes.push((run.len() - 1) as u8);
            } else {
                let [high, low] = ((run.len() - 1) as u16).to_be_bytes();
                bytes.extend_from_slice(&[0x40 | high, low]);
            }
        }
        Some(bytes)
    }

    /// Sees a thing; whether that changed a register.
    pub fn add(&mut self, thing: &[u8]) -> bool {
        let (number, value) = register_of(thing);
        let register = &mut self.registers[number];
        let is_more = value > *register;
        *register = value.max(*register);
        is_more
    }

    /// Sees what the other has seen.
    pub fn merge(&mut self, other: &HyperLogLog) {
        if other.layout == Layout::Dense {
            self.layout = Layout::Dense;
        }
        let both = self.registers.iter_mut().zip(other.registers.iter());
        both.for_each(|(mine, theirs)| *mine = (*mine).max(*theirs));
    }

    /// About how many different things it has seen.
    pub fn count(&self) -> u64 {
        let mut histogram = [0u32; 64];
        self.registers.iter().for_each(|&register| histogram[register as usize & 63] += 1);
        let m = REGISTERS as f64;
        let share = |value: usize| f64::from(histogram[value]) / m;
        let mut z = m * tau(1.0 - share(COUNTED_BITS + 1));
        for value in (1..=COUNTED_BITS).rev() {
            z = (z + f64::from(histogram[value])) * 0.5;
        }
        z += m * sigma(share(0));
        let alpha = 0.5 / std::f64::consts::LN_2;
        (alpha * m * m / z).round() as u64
    }

    /// The registers, each up to 51.
    pub fn registers(&self) -> &[u8] {
        &self.registers[..]
    }
}

/// The layout of a string that claims to be a HyperLogLog.
///
/// # Errors
/// If it does not.
pub fn layout(bytes: &[u8]) -> Result<Layout, Unreadable> {
    match (bytes.get(..4), bytes.get(4), bytes.len()) {
        (Some(b"HYLL"), Some(&DENSE), DENSE_BYTES) => Ok(Layout::Dense),
        (Some(b"HYLL"), Some(&SPARSE), HEADER_BYTES..) => Ok(Layout::Sparse),
        _ => Err(Unreadable::Other),
    }
}

/// What of a dense string changes when it sees things: the bytes from a place on. `None` if nothing does.
pub fn dense_change<'t>(
    dense: &[u8],
    things: impl Iterator<Item = &'t [u8]>,
) -> Option<(usize, Vec<u8>)> {
    let mut bytes = dense.to_vec();
    let (mut first, mut end) = (bytes.len(), 0);
    for (number, value) in things.map(register_of) {
        let (at, shift) = (HEADER_BYTES + number * 6 / 8, number * 6 % 8);
        // A register that ends with a byte does not reach into the next one.
        let reach = if shift > 2 { 2 } else { 1 };
        let mut both = [0; 2];
        both[..reach].copy_from_slice(&bytes[at..at + reach]);
        let bits = u16::from_le_bytes(both);
        if value > (bits >> shift) as u8 & 0x3f {
            let bits = bits & !(0x3f << shift) | u16::from(value) << shift;
            bytes[at..at + reach].copy_from_slice(&bits.to_le_bytes()[..reach]);
            (first, end) = (first.min(at), end.max(at + reach));
        }
    }
    if end == 0 {
        return None;
    }
    if known_count(&bytes).is_some() {
        first = HEADER_BYTES - 1;
        bytes[first] |= NOT_COUNTED;
    }
    Some((first, bytes[first..end].to_vec()))
}

/// The count that was written into a string, if it is still right.
pub fn known_count(bytes: &[u8]) -> Option<u64> {
    let count = u64::from_le_bytes(*bytes.get(8..HEADER_BYTES)?.first_chunk()?);
    (count >> 63 == 0).then_some(count)
}

/// The runs of a sparse string: value and length, or `None` where a run is cut off.
pub struct Runs<'a>(&'a [u8]);

impl Runs<'_> {
    /// Those of a string whose layout is sparse.
    pub fn of(bytes: &[u8]) -> Runs<'_> {
        Runs(bytes.get(HEADER_BYTES..).unwrap_or_default())
    }
}

impl Iterator for Runs<'_> {
    type Item = Option<(u8, usize)>;

    fn next(&mut self) -> Option<Option<(u8, usize)>> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(match first >> 6 {
            0 => Some((0, usize::from(first & 0x3f) + 1)),
            1 => {
                let (&low, rest) = match rest.split_first() {
                    Some(split) => split,
                    None => return Some(None),
                };
                self.0 = rest;
                Some((0, (usize::from(first & 0x3f) << 8 | usize::from(low)) + 1))
            }
            _ => Some(((first >> 2 & 0x1f) + 1, usize::from(first & 3) + 1)),
        })
    }
}

/// Which register a thing belongs to, and how large it makes it at least.
fn register_of(thing: &[u8]) -> (usize, u8) {
    let hash = murmur64a(thing, 0xadc8_3b19);
    let rest = hash >> REGISTER_BITS | 1 << COUNTED_BITS;
    (hash as usize & (REGISTERS - 1), rest.trailing_zeros() as u8 + 1)
}

fn header(layout: u8) -> Vec<u8> {
    let mut bytes = b"HYLL".to_vec();
    bytes.extend_from_slice(&[layout, 0, 0, 0]);
    bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, NOT_COUNTED]);
    bytes
}

/// MurmurHash2 of 64 bits, as its author published it (public domain).
fn murmur64a(bytes: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(M);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(M);
        word ^= word >> R;
        hash = (hash ^ word.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(M);
    }
    hash ^= hash >> R;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> R
}

/// Ertl's correction for registers at their largest.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        let before = z;
        x = x.sqrt();
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

/// Ertl's correction for registers at zero.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        let before = z;
        x *= x;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layouts_hold_the_same() {
        let mut of = HyperLogLog::default();
        for n in 0..3000u32 {
            of.add(&n.to_be_bytes());
            if n % 100 == 0 {
                let sparse = HyperLogLog::read(&of.write(usize::MAX)).unwrap();
                let dense = HyperLogLog::read(&of.write(0)).unwrap();
                assert_eq!((sparse.layout, dense.layout), (Layout::Sparse, Layout::Dense));
                assert!(sparse.registers == of.registers && dense.registers == of.registers);
            }
        }
    }

    #[test]
    fn a_dense_one_changes_where_its_registers_are() {
        let mut of = HyperLogLog { layout: Layout::Dense, ..HyperLogLog::default() };
        let mut bytes = of.write(0);
        let mut changes = 0;
        for n in 0..20_000u32 {
            let things = [n.to_be_bytes(), (n + 7).to_le_bytes()];
            let has_changed = of.add(&things[0]) | of.add(&things[1]);
            let change = dense_change(&bytes, things.iter().map(|thing| &thing[..]));
            assert_eq!(change.is_some(), has_changed);
            if let Some((at, part)) = change {
                bytes[at..at + part.len()].copy_from_slice(&part);
                changes += 1;
            }
        }
        assert!(bytes == of.write(0) && changes > 1000);

        // A count that stands in it is not right any more.
        bytes[8..HEADER_BYTES].copy_from_slice(&5u64.to_le_bytes());
        let things = (0..100_000u32).map(|n| n.to_ne_bytes());
        let changing =
            things.into_iter().find_map(|thing| dense_change(&bytes, [&thing[..]].into_iter()));
        let (at, part) = changing.unwrap();
        bytes[at..at + part.len()].copy_from_slice(&part);
        assert_eq!(known_count(&bytes), None);
    }

    #[test]
    fn counts_are_within_three_standard_errors() {
        let mut of = HyperLogLog::default();
        let mut checked = 0;
        for n in 1..=1_000_000u32 {
            of.add(&n.to_le_bytes());
            if n.is_power_of_two() || n % 250_000 == 0 {
                let off = (of.count() as f64 - f64::from(n)).abs() / f64::from(n);
                assert!(off < 0.025, "{} for {n}", of.count());
                checked += 1;
            }
        }
        assert!(checked > 20);
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let mut of = HyperLogLog::default();
        of.add(b"a");
        let good = of.write(usize::MAX);
        assert!(HyperLogLog::read(&good).is_ok());
        let longer = [&good[..], b"hello"].concat();
        for bad in [&good[..good.len() - 1], &longer] {
            assert_eq!(HyperLogLog::read(bad).err(), Some(Unreadable::Corrupt));
        }
        for bad in [&b""[..], b"HYLL", b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0", &good[1..]] {
            assert_eq!(HyperLogLog::read(bad).err(), Some(Unreadable::Other));
        }
    }
}
