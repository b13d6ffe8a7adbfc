//! Whatever value stands in a payload with a right checksum, it is refused or read; what was read is dumped and read again
//! as it was. Payloads with a wrong checksum are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pantry::rdb::crc64::crc64;
use pantry::rdb::dump::{self, Value};

// The input: a byte with the version (below 16, Valkey's for 15), then the value.
fuzz_target!(|input: &[u8]| {
    let _ = dump::read(input);
    let Some((&choice, value)) = input.split_first() else { return };
    let version = match u16::from(choice & 15) {
        15 => 80,
        version => version,
    };
    let mut payload = [value, &version.to_le_bytes()].concat();
    let checksum = crc64(0, &payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
    match dump::read(&payload) {
        Ok(Value::String(string)) => {
            let again = dump::read(&dump::string(&string));
            assert!(matches!(again, Ok(Value::String(again)) if again == string));
        }
        Ok(Value::Hash(pairs)) => {
            let Ok(Value::Hash(again)) = dump::read(&dump::hash(&pairs)) else {
                panic!("what was read can not be read again");
            };
            assert!(again.iter().eq(pairs.iter()));
        }
        Err(_) => {}
    }
});
