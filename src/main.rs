//! The `pantry` binary. Everything it does is in the library; this file only calls it.

fn main() {}
