//! The hint to the processor that memory will be read soon; the one place for the `unsafe` it takes.
//!
//! Unlike a read, a hint is over at once: while one is on its way, any number of others can follow.
//! A program does the same with and without it.

/// Of every processor that the hint is for.
pub const CACHE_LINE_BYTES: usize = 64;

/// Asks for the cache line that `at` begins on.
#[inline(always)]
pub fn prefetch<T>(at: &T) {
    #[cfg(target_arch = "x86_64")]
    #[allow(
        unsafe_code,
        reason = "the intrinsic takes a pointer; bench/README.md says what it brings"
    )]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 processor has the instruction. It changes nothing but caches and never
        // faults, whatever the pointer is; this one comes from a reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(at).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
