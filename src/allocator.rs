//! The memory allocator and its settings.
//!
//! jemalloc fills the lowest page that has room, so what is compacted after a mass deletion gathers
//! there and the pages above are given back; and its classes waste little on chunks of pairs. What
//! is counted as used is the store's matter, not the allocator's.

use std::ffi::c_char;
use std::sync::atomic::AtomicPtr;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Freed pages go back to the system within about a second, by a thread of jemalloc's own.
const SETTINGS: &std::ffi::CStr = c"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0";

/// jemalloc reads its settings through this symbol before anything is allocated.
///
/// The name is jemalloc's, with the prefix that its crate gives to all symbols; nothing else defines
/// it. jemalloc declares it as `const char *`: an `AtomicPtr` is a pointer in memory, this one leads
/// to a string with a NUL at its end that lives for ever, and jemalloc only reads.
#[allow(unsafe_code)]
#[used]
#[unsafe(export_name = "_rjem_malloc_conf")]
static MALLOC_CONF: AtomicPtr<c_char> = AtomicPtr::new(SETTINGS.as_ptr().cast_mut());
