//! Whatever bytes come, the RDB reader gives events and perhaps an error, never a panic; the same however they are cut into
//! reads; and an error names a place in them. It does not judge whether the events are right; tests/rdb does.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use pantry::rdb::Error;
use pantry::rdb::reader::Reader;

/// Gives as many bytes at once as it is told.
struct Cut<'a>(&'a [u8], usize);

impl Read for Cut<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = buffer.len().min(self.1);
        self.0.read(&mut buffer[..len])
    }
}

/// The events, and what ended them.
fn read(source: impl Read) -> (Vec<String>, String) {
    let mut events = Vec::new();
    let mut reader = match Reader::new(source) {
        Ok(reader) => reader,
        Err(error) => return (events, error.to_string()),
    };
    loop {
        match reader.next_event() {
            Ok(Some(event)) => events.push(format!("{event:?}")),
            Ok(None) => return (events, "the end".to_owned()),
            Err(error) => {
                assert!(!matches!(error, Error::Io { .. }), "no source here fails");
                return (events, error.to_string());
            }
        }
    }
}

// The input: a byte with the magic (low 2 bits) and the size of reads, then what follows the magic.
fuzz_target!(|input: &[u8]| {
    let Some((&choice, content)) = input.split_first() else { return };
    let magic: &[u8] = match choice & 3 {
        0 => b"REDIS0012",
        1 => b"REDIS0004",
        2 => b"VALKEY080",
        _ => b"",
    };
    let file = [magic, content].concat();
    let whole = read(&file[..]);
    assert_eq!(read(Cut(&file, 1 + usize::from(choice >> 2))), whole);
});
