//! What a client is going to be sent: bytes in one buffer, and between them large values that are not
//! copied. It knows no protocol and no socket.

use std::io::IoSlice;

use crate::shared::Shared;

/// Bytes and large values in the order in which they are sent.
#[derive(Debug, Default)]
pub struct Output {
    /// Initialised beyond `len`, so that what is short can be written in blocks of a fixed size.
    bytes: Vec<u8>,
    len: usize,
    values: Vec<Placed>,
}

/// A value between the bytes.
#[derive(Debug)]
struct Placed {
    /// Bytes of the buffer before it.
    at: usize,
    /// Bytes of values up to its end.
    sum: usize,
    value: Shared,
}

/// A place in an output that [`Output::rewind`] can return to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    len: usize,
    values: usize,
}

/// Bytes of the smallest buffer.
const BUFFER_BYTES_MIN: usize = 512;
/// From here on bytes are appended without initialising the buffer first.
const LONG_BYTES_MIN: usize = 2048;

impl Output {
    /// Nothing; allocates nothing.
    pub fn new() -> Output {
        Output::default()
    }

    /// Bytes in all, large values included.
    #[inline]
    pub fn len(&self) -> usize {
        self.len + self.values.last().map_or(0, |last| last.sum)
    }

    /// Whether there is nothing to send.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0 && self.values.is_empty()
    }

    /// Bytes that the buffer takes in memory.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() + self.values.capacity() * size_of::<Placed>()
    }

    /// Forgets everything; keeps the buffer.
    pub fn clear(&mut self) {
        self.len = 0;
        self.values.clear();
    }

    /// Where it ends now.
    #[inline]
    pub fn mark(&self) -> Mark {
        Mark { len: self.len, values: self.values.len() }
    }

    /// Forgets what was written since.
    pub fn rewind(&mut self, mark: Mark) {
        self.len = mark.len;
        self.values.truncate(mark.values);
    }

    /// Bytes of the buffer since then: values that are not copied take nothing of it.
    pub fn buffered_since(&self, mark: Mark) -> usize {
        self.len.saturating_sub(mark.len)
    }

    /// Appends one byte.
    #[inline]
    pub fn push(&mut self, byte: u8) {
        self.block(&[byte], 1);
    }

    /// Appends bytes.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        if bytes.len() >= LONG_BYTES_MIN {
            return self.append_long(bytes);
        }
        let end = self.len + bytes.len();
        if end > self.bytes.len() {
            self.grow(bytes.len());
        }
        self.bytes[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }

    /// Appends bytes.
    pub fn extend(&mut self, bytes: impl IntoIterator<Item = u8>) {
        bytes.into_iter().for_each(|byte| self.push(byte));
    }

    /// Appends the first `len` bytes of a block, which cost no more than copying all of it.
    #[inline(always)]
    pub fn block<const N: usize>(&mut self, block: &[u8; N], len: usize) {
        *self.room::<N>() = *block;
        self.len += len.min(N);
    }

    /// `N` bytes behind the end, to be written to; [`Output::commit`] makes them count.
    #[inline(always)]
    pub fn room<const N: usize>(&mut self) -> &mut [u8; N] {
        let end = self.len + N;
        if end > self.bytes.len() {
            return self.grown_room();
        }
        match self.bytes[self.len..end].first_chunk_mut() {
            Some(room) => room,
            None => unreachable!("it is as long"),
        }
    }

    /// Makes the first bytes of [`Output::room`] count; these must not be more than that had.
    #[inline(always)]
    pub fn commit(&mut self, bytes: usize) {
        self.len += bytes;
        debug_assert!(self.len <= self.bytes.len());
    }

    /// Appends what `write` appends to the bytes since the last value.
    pub fn append_with<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        self.bytes.truncate(self.len);
        let result = write(&mut self.bytes);
        self.len = self.bytes.len();
        result
    }

    /// Appends a large value without copying it.
    pub fn share(&mut self, value: &Shared) {
        let sum = self.values.last().map_or(0, |last| last.sum) + value.len();
        self.values.push(Placed { at: self.len, sum, value: value.clone() });
    }

    /// All bytes in one, if there are no values between them.
    #[inline]
    pub fn without_values(&self) -> Option<&[u8]> {
        self.values.is_empty().then(|| &self.bytes[..self.len])
    }

    /// Shows what follows the first `from` bytes, as much as there are slices. Returns their number.
    pub fn slices<'o>(&'o self, from: usize, slices: &mut [IoSlice<'o>]) -> usize {
        let gone = self.values.partition_point(|placed| placed.at + placed.sum <= from);
        let (mut at, sum) = match gone.checked_sub(1) {
            Some(last) => (self.values[last].at, self.values[last].sum),
            None => (0, 0),
        };
        let mut skipped = from - at - sum;
        let last_at = self.values.last().map_or(0, |last| last.at);
        let placed = self.values[gone..].iter().flat_map(|placed| {
            let before = &self.bytes[at..placed.at];
            at = placed.at;
            [before, &*placed.value]
        });
        let parts = placed.chain([&self.bytes[last_at..self.len]]).map(|part| {
            let (gone, left) = part.split_at(skipped.min(part.len()));
            skipped -= gone.len();
            left
        });
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(parts.filter(|part| !part.is_empty())) {
            *slice = IoSlice::new(part);
            count += 1;
        }
        count
    }

    /// A copy of all bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut slices = vec![IoSlice::new(&[]); 2 * self.values.len() + 1];
        let count = self.slices(0, &mut slices);
        let mut whole = Vec::with_capacity(self.len());
        slices[..count].iter().for_each(|slice| whole.extend_from_slice(slice));
        whole
    }

    #[cold]
    fn grow(&mut self, bytes: usize) {
        let len = (self.len + bytes).next_power_of_two().max(BUFFER_BYTES_MIN);
        self.bytes.resize(len, 0);
    }

    /// [`Output::room`] where there is too little.
    #[cold]
    fn grown_room<const N: usize>(&mut self) -> &mut [u8; N] {
        self.grow(N);
        match self.bytes[self.len..].first_chunk_mut() {
            Some(room) => room,
            None => unreachable!("the buffer grew"),
        }
    }

    fn append_long(&mut self, bytes: &[u8]) {
        self.bytes.truncate(self.len);
        self.bytes.extend_from_slice(bytes);
        self.len = self.bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes, blocks and values in turn, and the same in one vector.
    fn filled() -> (Output, Vec<u8>) {
        let (mut output, mut model) = (Output::new(), Vec::new());
        for round in 0..40usize {
            let bytes: Vec<u8> = (0..round * round * 3).map(|at| (at + round) as u8).collect();
            output.extend_from_slice(&bytes);
            model.extend_from_slice(&bytes);
            output.push(round as u8);
            output.block(b"12345678", round % 9);
            model.push(round as u8);
            model.extend_from_slice(&b"12345678"[..round % 9]);
            if round % 3 != 0 {
                output.share(&Shared::new(b"front", &bytes));
                model.extend_from_slice(&bytes);
            }
            assert_eq!(output.len(), model.len());
        }
        (output, model)
    }

    #[test]
    fn slices_from_any_place_are_the_bytes_from_there() {
        let (output, model) = filled();
        assert_eq!(output.to_vec(), model);
        let mut sent = 0;
        for step in (1..2000).cycle() {
            let mut slices = [IoSlice::new(&[]); 5];
            let count = output.slices(sent, &mut slices);
            let shown: Vec<u8> = slices[..count].iter().flat_map(|one| one.to_vec()).collect();
            assert_eq!(shown, model[sent..sent + shown.len()], "{sent}");
            assert_eq!(shown.is_empty(), sent == model.len());
            if shown.is_empty() {
                break;
            }
            sent += step.min(shown.len());
        }
    }

    #[test]
    fn what_is_taken_back_was_never_there() {
        let (mut output, model) = filled();
        let mark = output.mark();
        output.extend_from_slice(&[7; 5000]);
        output.share(&Shared::new(b"", &[8; 5000]));
        output.push(9);
        assert!(output.mark() != mark);
        output.rewind(mark);
        assert_eq!(output.to_vec(), model);
        output.clear();
        assert!(output.is_empty() && output.to_vec().is_empty());
    }
}
