//! Damage: a file that is cut anywhere, or in which any bit is another, gives an error or what it gave before.

use pantry::rdb::dump;
use pantry::rdb::pairs::PairBuffer;

use crate::forms::listpack;
use crate::{damage, long, read, read_from, redis_file, short, valkey_file};

/// A file with something of everything.
fn sample() -> Vec<u8> {
    let piece = listpack(&[b"\x81a".to_vec(), vec![5], b"\x81b".to_vec(), vec![0xc1, 0x00]]);
    let triples = [
        &[24][..],
        &short("t"),
        &[9, 9, 9, 9, 9, 0, 0, 0],
        &[2, 1],
        &short("a"),
        &short("1"),
        &[0],
        &short("b"),
        &short(""),
    ];
    let content = [
        &[250][..],
        &short("redis-ver"),
        &short("8.0.0"),
        &[254, 0, 251, 5, 1],
        &[252, 1, 2, 3, 4, 5, 6, 0, 0, 0],
        &short("s"),
        b"\xc3\x05\x0a\x01ab\xc0\x01",
        &[16],
        &short("h"),
        &long(&piece),
        &[4],
        &short("p"),
        &[1],
        &short("k"),
        &short("v"),
        &[1],
        &short("l"),
        &[1],
        &short("x"),
        &[254, 3],
        &triples.concat(),
    ]
    .concat();
    redis_file(12, &content)
}

#[test]
fn cut_anywhere() {
    let file = sample();
    read(&file).unwrap();
    for cut in 0..file.len() {
        let (offset, what) = damage(read(&file[..cut]));
        assert_eq!(offset, cut as u64, "{what}");
    }
}

#[test]
fn any_bit_another() {
    let file = sample();
    let whole = read(&file).unwrap();
    for bit in 0..file.len() * 8 {
        let mut damaged = file.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        if let Ok(read) = read(&damaged) {
            assert_eq!(read, whole, "bit {bit}");
        }
    }
}

/// Without a checksum, what comes out may be wrong, but it comes out, or an error does.
#[test]
fn any_byte_anything_without_a_checksum() {
    let mut file = sample();
    let end = file.len() - 8;
    file[end..].fill(0);
    for at in 0..end {
        for byte in 0..=255 {
            let mut damaged = file.clone();
            damaged[at] = byte;
            let _ = read(&damaged);
        }
    }
}

/// Lengths that were only declared cost nothing.
#[test]
fn huge_lengths() {
    let largest = [&[0x81][..], &[255; 8]].concat();
    let limit = [&[0x80][..], &(512u32 << 20).to_be_bytes()].concat();
    for number in [0, 1, 2, 3, 4, 5, 7, 9, 10, 13, 14, 15, 16, 18, 22, 24, 25, 26] {
        for len in [&largest, &limit] {
            for lead in [&[][..], &[1; 8], &[2; 9]] {
                let content = [&[number][..], &short("x"), lead, len].concat();
                damage(read(&redis_file(13, &content)));
            }
        }
    }
    let compressed = [&[0][..], &short("x"), &[0xc3, 2], &limit, &[0, 0]].concat();
    damage(read(&redis_file(13, &compressed)));
    damage(read(&valkey_file(&[&[243][..], &short("job"), &largest].concat())));
}

/// However the source gives its bytes, the same is read.
#[test]
fn byte_by_byte() {
    struct Slow<'a>(&'a [u8], u8);
    impl std::io::Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.1 = self.1.wrapping_add(1);
            if self.1.is_multiple_of(3) {
                return Err(std::io::ErrorKind::Interrupted.into());
            }
            let len = buffer.len().min(1);
            std::io::Read::read(&mut self.0, &mut buffer[..len])
        }
    }
    let file = sample();
    assert_eq!(read_from(Slow(&file, 0)).unwrap(), read(&file).unwrap());
}

#[test]
fn payloads() {
    let mut pairs = PairBuffer::default();
    pairs.push(b"apples", b"3", Some(1_700_000_000_000));
    pairs.push(b"pears", b"5", None);
    for payload in [dump::string(b"hello"), dump::hash(&pairs)] {
        dump::read(&payload).unwrap();
        for cut in 0..payload.len() {
            assert!(matches!(dump::read(&payload[..cut]), Err(dump::Refused::Footer)));
        }
        for bit in 0..payload.len() * 8 {
            let mut damaged = payload.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(dump::read(&damaged), Err(dump::Refused::Footer)), "bit {bit}");
        }
    }
}

/// A right footer around any value of up to three bytes: refused, or read.
#[test]
fn payloads_with_anything_in_them() {
    for first in 0..=255u8 {
        for second in 0..=255u8 {
            for third in [0, 1, 2, 64, 128, 129, 192, 195, 255] {
                let mut payload = vec![first, second, third, 12, 0];
                let checksum = pantry::rdb::crc64::crc64(0, &payload);
                payload.extend_from_slice(&checksum.to_le_bytes());
                let _ = dump::read(&payload);
            }
        }
    }
}
