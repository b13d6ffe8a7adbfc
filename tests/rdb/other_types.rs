//! Names of types that are not kept here: each is stepped over to its last byte, and told.

use crate::{damage, read, redis_file, short};

/// A value of this type between two strings.
fn between(version: u32, number: u8, value: &[&[u8]]) -> Vec<u8> {
    let content = [
        &[0][..],
        &short("before"),
        &short("1"),
        &[number],
        &short("x"),
        &value.concat(),
        &[0],
        &short("after"),
        &short("2"),
    ]
    .concat();
    redis_file(version, &content)
}

fn check(version: u32, number: u8, value: &[&[u8]], kind: &str) {
    let file = between(version, number, value);
    let expected =
        ["0 before = 1".to_owned(), format!("0 x is a {kind}"), "0 after = 2".to_owned()];
    assert_eq!(read(&file).unwrap(), expected, "type {number}");
    for cut in 22..file.len() - 20 {
        damage(read(&file[..cut]));
    }
}

#[test]
fn lists_and_sets() {
    check(9, 1, &[&[2], &short("a"), &[0xc0, 7]], "list");
    check(9, 10, &[&short("a whole ziplist")], "list");
    check(9, 14, &[&[2], &short("a ziplist"), b"\xc3\x05\x0a\x01ab\xc0\x01"], "list");
    check(10, 18, &[&[2, 1], &short("plain"), &[2], &short("a listpack")], "list");
    check(9, 2, &[&[2], &short("a"), &short("b")], "set");
    check(9, 11, &[&short("an intset")], "set");
    check(11, 20, &[&short("a listpack")], "set");
}

#[test]
fn sorted_sets() {
    check(
        9,
        3,
        &[
            &[4],
            &short("a"),
            &[3],
            b"1.5",
            &short("b"),
            &[253],
            &short("c"),
            &[254],
            &short("d"),
            &[255],
        ],
        "zset",
    );
    check(9, 5, &[&[1], &short("a"), &1.5f64.to_le_bytes()], "zset");
    check(9, 12, &[&short("a ziplist")], "zset");
    check(10, 17, &[&short("a listpack")], "zset");
}

#[test]
fn what_modules_brought() {
    let id = 63u64 << 58 | 1;
    let data: [&[u8]; 9] = [
        &[0x81],
        &id.to_be_bytes(),
        &[1, 5, 2, 6, 3],
        &[0; 4],
        &[4],
        &[0; 8],
        &[5],
        &short("text"),
        &[0],
    ];
    check(9, 7, &data, "_AAAAAAAA");
}

/// A stream with a node, a group with a pending entry, and a consumer who has it.
fn stream(numbers: usize, group_numbers: usize, times: usize, behind: &[u8]) -> Vec<u8> {
    let id = [7; 16];
    [
        &[1][..],
        &short(id),
        &short("a listpack"),
        &vec![1; numbers][..],
        &[1],
        &short("group"),
        &vec![1; group_numbers][..],
        &[1],
        &id,
        &[0; 8],
        &[1],
        &[1],
        &short("consumer"),
        &vec![0; 8 * times][..],
        &[1],
        &id,
        behind,
    ]
    .concat()
}

#[test]
fn streams() {
    check(9, 15, &[&stream(3, 2, 1, &[])], "stream");
    check(10, 19, &[&stream(8, 3, 1, &[])], "stream");
    check(11, 21, &[&stream(8, 3, 2, &[])], "stream");
    check(13, 26, &[&stream(8, 3, 2, &[1, 1, 0, 1, 1])], "stream");
    let with_producers = between(13, 26, &[&stream(8, 3, 2, &[1, 1, 1])]);
    assert!(damage(read(&with_producers)).1.contains("IDMP"));
}

#[test]
fn numbers_that_mean_nothing() {
    for number in [6, 8, 27, 100, 242, 246] {
        let (offset, what) = damage(read(&between(12, number, &[&short("?")])));
        assert_eq!((offset, what), (20, format!("neither opcode nor known type: {number}")));
    }
}
