//! The few operations on unsigned integers of any size that exact decimal conversion needs. Their cost grows with the
//! square of the size; the caller bounds the size.

/// An unsigned integer, least significant limb first, no zero limb at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BigUint {
    limbs: Vec<u64>,
}

impl BigUint {
    /// The number with these decimal digits, most significant first; each at most 9.
    pub(super) fn from_digits(mut digits: impl Iterator<Item = u8>) -> Self {
        let mut number = BigUint { limbs: Vec::new() };
        loop {
            let (mut chunk, mut scale) = (0u64, 1u64);
            for digit in digits.by_ref().take(19) {
                chunk = chunk * 10 + u64::from(digit);
                scale *= 10;
            }
            if scale == 1 {
                return number;
            }
            number.multiply_add(scale, chunk);
        }
    }

    /// `significand * 2^exponent`
    pub(super) fn from_binary(significand: u64, exponent: u32) -> Self {
        let mut number = BigUint { limbs: Vec::new() };
        number.multiply_add(1, significand);
        number.shift_left(exponent);
        number
    }

    /// `5^exponent`
    pub(super) fn power_of_five(exponent: u32) -> Self {
        let mut number = BigUint { limbs: vec![1] };
        number.multiply_power_of_five(exponent);
        number
    }

    pub(super) fn multiply_power_of_five(&mut self, exponent: u32) {
        const STEP: u32 = 27; // The highest power of five in a limb.
        for _ in 0..exponent / STEP {
            self.multiply_add(5u64.pow(STEP), 0);
        }
        self.multiply_add(5u64.pow(exponent % STEP), 0);
    }

    pub(super) fn is_zero(&self) -> bool {
        self.limbs.is_empty()
    }

    /// The position of the highest bit that is set, counted from 1; 0 for zero.
    pub(super) fn bit_len(&self) -> u32 {
        let last = self.limbs.last().map_or(0, |limb| u64::BITS - limb.leading_zeros());
        (self.limbs.len() as u32).saturating_sub(1) * u64::BITS + last
    }

    pub(super) fn shift_left(&mut self, bits: u32) {
        self.multiply_add(1 << (bits % u64::BITS), 0);
        if !self.is_zero() {
            let zeros = std::iter::repeat_n(0, (bits / u64::BITS) as usize);
            self.limbs.splice(..0, zeros);
        }
    }

    /// The highest 128 bits, how far they stand above the lowest bit, and whether anything below them is set.
    pub(super) fn top_bits(&self) -> (u128, u32, bool) {
        let below = self.bit_len().saturating_sub(u128::BITS);
        let (limb, bits) = ((below / u64::BITS) as usize, below % u64::BITS);
        let at = |index: usize| u128::from(self.limbs.get(index).copied().unwrap_or(0));
        let low = at(limb) | at(limb + 1) << u64::BITS;
        let high = at(limb + 2);
        let top = if bits == 0 { low } else { low >> bits | high << (u128::BITS - bits) };
        let rest = self.limbs[..limb.min(self.limbs.len())].iter().any(|limb| *limb != 0);
        (top, below, rest || at(limb) & ((1 << bits) - 1) != 0)
    }

    /// Subtracts `other` when it is not the greater one, and says whether it did.
    pub(super) fn subtract_if_fits(&mut self, other: &Self) -> bool {
        let by_size = self.limbs.len().cmp(&other.limbs.len());
        if by_size.then_with(|| self.limbs.iter().rev().cmp(other.limbs.iter().rev())).is_lt() {
            return false;
        }
        let mut borrow = false;
        for (index, limb) in self.limbs.iter_mut().enumerate() {
            let subtrahend = other.limbs.get(index).copied().unwrap_or(0);
            let (difference, first) = limb.overflowing_sub(subtrahend);
            let (difference, second) = difference.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (difference, first || second);
        }
        self.trim();
        true
    }

    /// The decimal digits as ASCII; `0` for zero.
    pub(super) fn into_decimal(mut self) -> String {
        const CHUNK: u64 = 10u64.pow(19);
        let mut chunks = Vec::with_capacity(self.limbs.len() * 65 / 63 + 1);
        while !self.is_zero() {
            chunks.push(self.divide(CHUNK));
        }
        let mut text = chunks.pop().unwrap_or(0).to_string();
        for chunk in chunks.iter().rev() {
            text.push_str(&format!("{chunk:019}"));
        }
        text
    }

    /// `self * factor + addend`; the factor must not be zero.
    fn multiply_add(&mut self, factor: u64, addend: u64) {
        let mut carry = addend;
        for limb in &mut self.limbs {
            let product = u128::from(*limb) * u128::from(factor) + u128::from(carry);
            *limb = product as u64;
            carry = (product >> u64::BITS) as u64;
        }
        if carry != 0 {
            self.limbs.push(carry);
        }
    }

    /// Divides in place and returns the remainder.
    fn divide(&mut self, divisor: u64) -> u64 {
        let mut remainder = 0u64;
        for limb in self.limbs.iter_mut().rev() {
            let dividend = u128::from(remainder) << u64::BITS | u128::from(*limb);
            *limb = (dividend / u128::from(divisor)) as u64;
            remainder = (dividend % u128::from(divisor)) as u64;
        }
        self.trim();
        remainder
    }

    fn trim(&mut self) {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }
}
