//! Pairs in one buffer, on their way from one place to another.

/// Some pairs, one after the other.
#[derive(Debug, Default, Clone)]
pub struct PairBuffer {
    /// For each its deadline, the lengths of key and value, key and value.
    bytes: Vec<u8>,
    sums: Sums,
}

/// What is known of pairs without looking at them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sums {
    /// How many they are.
    pub len: usize,
    /// How many of them have a deadline.
    pub with_deadline: usize,
    /// The earliest one, in unix ms.
    pub min_deadline_ms: Option<u64>,
}

impl Sums {
    /// Counts others, too.
    pub fn add(&mut self, other: Sums) {
        self.len += other.len;
        self.with_deadline += other.with_deadline;
        let deadlines = self.min_deadline_ms.into_iter().chain(other.min_deadline_ms);
        self.min_deadline_ms = deadlines.min();
    }
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferedPair<'b> {
    /// Its key.
    pub key: &'b [u8],
    /// Its value.
    pub value: &'b [u8],
    /// When it expires, in unix ms.
    pub deadline_ms: Option<u64>,
}

impl BufferedPair<'_> {
    /// Whether it has not expired.
    pub fn is_alive(&self, now_ms: u64) -> bool {
        self.deadline_ms.is_none_or(|at_ms| at_ms > now_ms)
    }
}

const NO_DEADLINE: u64 = u64::MAX;

impl PairBuffer {
    /// Adds a pair.
    pub fn push(&mut self, key: &[u8], value: &[u8], deadline_ms: Option<u64>) {
        self.bytes.extend_from_slice(&deadline_ms.unwrap_or(NO_DEADLINE).to_le_bytes());
        self.bytes.extend_from_slice(&(key.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        let with_deadline = usize::from(deadline_ms.is_some());
        self.sums.add(Sums { len: 1, with_deadline, min_deadline_ms: deadline_ms });
    }

    /// Adds all pairs of another.
    pub fn append(&mut self, other: &PairBuffer) {
        self.bytes.extend_from_slice(&other.bytes);
        self.sums.add(other.sums);
    }

    /// Forgets them; the room stays, but no more than 1 MiB of it.
    pub fn clear(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        bytes.shrink_to(1 << 20);
        *self = PairBuffer { bytes, ..PairBuffer::default() };
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.sums.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes they take.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Their sums.
    pub fn sums(&self) -> Sums {
        self.sums
    }

    /// The pairs as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The pairs that were these bytes. Their sums are not known.
    pub fn of_bytes(bytes: Vec<u8>) -> PairBuffer {
        PairBuffer { bytes, sums: Sums::default() }
    }

    /// The pairs in their order.
    pub fn iter(&self) -> impl Iterator<Item = BufferedPair<'_>> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let deadline_ms = number(&mut rest)?;
            let (key_len, value_len) = (number(&mut rest)? as usize, number(&mut rest)? as usize);
            let (key, after) = rest.split_at_checked(key_len)?;
            let (value, after) = after.split_at_checked(value_len)?;
            rest = after;
            let deadline_ms = Some(deadline_ms).filter(|&at| at != NO_DEADLINE);
            Some(BufferedPair { key, value, deadline_ms })
        })
    }
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u64::from_le_bytes(*bytes))
}
