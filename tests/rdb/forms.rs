//! Every form of strings and hashes, byte by byte, those too that no server at hand writes.

use crate::{damage, long, read, redis_file, sealed, short, valkey_file};

/// A listpack of these elements, each encoded but for the length behind it.
pub fn listpack(elements: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for element in elements {
        body.extend_from_slice(element);
        let len = element.len();
        match len {
            0..=127 => body.push(len as u8),
            _ => body.extend_from_slice(&[(len >> 7) as u8, (len & 127) as u8 | 128]),
        }
    }
    let head = [&(body.len() as u32 + 7).to_le_bytes()[..], &(elements.len() as u16).to_le_bytes()];
    [&head.concat()[..], &body, &[255]].concat()
}

/// A text as an element of a listpack.
fn text(text: &str) -> Vec<u8> {
    [&[0x80 | text.len() as u8], text.as_bytes()].concat()
}

/// A ziplist of these elements, each encoded but for the length before it.
fn ziplist(elements: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    let (mut len_before, mut last) = (0, 0);
    for element in elements {
        last = body.len();
        match len_before {
            0..254 => body.push(len_before as u8),
            _ => {
                body.push(254);
                body.extend_from_slice(&(len_before as u32).to_le_bytes());
            }
        }
        body.extend_from_slice(element);
        len_before = body.len() - last;
    }
    let head = [
        &(body.len() as u32 + 11).to_le_bytes()[..],
        &(last as u32 + 10).to_le_bytes(),
        &(elements.len() as u16).to_le_bytes(),
    ];
    [&head.concat()[..], &body, &[255]].concat()
}

/// A file with one hash in one piece.
fn packed(number: u8, piece: &[u8]) -> Vec<u8> {
    redis_file(12, &[&[number][..], &short("h"), &long(piece)].concat())
}

fn pairs(file: &[u8]) -> Vec<String> {
    let lines = read(file).unwrap();
    assert_eq!(lines.first().map(String::as_str), Some("0 h:"));
    assert_eq!(lines.last().map(String::as_str), Some("."));
    lines[1..lines.len() - 1].iter().map(|line| line.trim_start().to_owned()).collect()
}

#[test]
fn strings() {
    let forms: [(&[u8], &str); 9] = [
        (&[0], ""),
        (b"\x02hi", "hi"),
        (b"\x40\x02hi", "hi"),
        (b"\x80\x00\x00\x00\x02hi", "hi"),
        (b"\x81\x00\x00\x00\x00\x00\x00\x00\x02hi", "hi"),
        (&[0xc0, 0x80], "-128"),
        (&[0xc1, 0x00, 0x80], "-32768"),
        (&[0xc2, 0xff, 0xff, 0xff, 0x7f], "2147483647"),
        // Compressed: three bytes that stand for ten.
        (b"\xc3\x05\x0a\x01ab\xc0\x01", "ababababab"),
    ];
    for (form, value) in forms {
        let file = redis_file(11, &[&[0][..], &short("s"), form].concat());
        assert_eq!(read(&file).unwrap(), [format!("0 s = {value}")], "{form:?}");
    }
}

#[test]
fn what_stands_between_names() {
    let content = [
        &[250][..],
        &short("redis-ver"),
        &short("8.0.0"),
        &[245],
        &short("#!lua name=lib"),
        &[247, 0x81],
        &(63u64 << 58 | 3).to_be_bytes(),
        &[2, 1, 5],
        &short("data"),
        &[4],
        &[0; 8],
        &[0],
        &[254, 0, 251, 3, 1, 244, 5, 3, 1],
        &[253],
        &1_700_000_000u32.to_le_bytes(),
        &[249, 200, 0],
        &short("a"),
        &short("1"),
        &[252],
        &1_700_000_000_001u64.to_le_bytes(),
        &[248, 0x40, 100, 0],
        &short("b"),
        &short("2"),
        &[254, 5, 0],
        &short("c"),
        &short("3"),
        &[252],
        &(-1i64).to_le_bytes(),
        &[0],
        &short("d"),
        &short("4"),
    ]
    .concat();
    assert_eq!(
        read(&redis_file(12, &content)).unwrap(),
        [
            "(redis-ver 8.0.0)",
            "(function)",
            "(module _AAAAAAAA)",
            "0 a until 1700000000000 = 1",
            "0 b until 1700000000001 = 2",
            "5 c = 3",
            "5 d until 0 = 4",
        ]
    );
}

#[test]
fn what_modules_keep_at_a_name() {
    let content = [&[243, 1, 9, 9, 9, 9, 2, 7, 0, 0][..], &short("a"), &short("1")].concat();
    assert_eq!(read(&redis_file(13, &content)).unwrap(), ["0 a = 1"]);
}

#[test]
fn the_import_of_a_slot_in_valkey() {
    let content =
        [&[243][..], &short("job"), &[2, 1, 5, 7, 9, 0], &short("a"), &short("1")].concat();
    assert_eq!(read(&valkey_file(&content)).unwrap(), ["0 a = 1"]);
}

#[test]
fn hashes_as_pairs() {
    let content =
        [&[4][..], &short("h"), &[2], &short("a"), &short("1"), &short("b"), &[0xc0, 7]].concat();
    assert_eq!(pairs(&redis_file(9, &content)), ["a = 1", "b = 7"]);
    let empty = redis_file(9, &[&[4][..], &short("h"), &[0]].concat());
    assert_eq!(pairs(&empty), [""; 0]);
}

#[test]
fn zipmaps() {
    let long_value = "v".repeat(300);
    let piece = [
        &[2][..],
        &short("a"),
        &[1, 0, b'1'],
        &short("b"),
        &[254],
        &300u32.to_le_bytes(),
        &[3],
        long_value.as_bytes(),
        b"xyz",
        &[255],
    ]
    .concat();
    assert_eq!(pairs(&packed(9, &piece)), ["a = 1".to_owned(), format!("b = {long_value}")]);
    let mut uncounted = piece.clone();
    uncounted[0] = 254;
    assert_eq!(pairs(&packed(9, &uncounted)).len(), 2);
    let mut miscounted = piece;
    miscounted[0] = 3;
    damage(read(&packed(9, &miscounted)));
}

#[test]
fn ziplists() {
    let medium = "m".repeat(300);
    let large = "l".repeat(20_000);
    let elements: Vec<Vec<u8>> = vec![
        b"\x01a".to_vec(),
        vec![0xf1],
        [&[0x41, 0x2c], medium.as_bytes()].concat(),
        vec![0xfd],
        [&[0x80, 0, 0, 0x4e, 0x20], large.as_bytes()].concat(),
        vec![0xfe, 0x80],
        b"\x01b".to_vec(),
        vec![0xc0, 0x00, 0x80],
        b"\x01c".to_vec(),
        vec![0xf0, 0xff, 0xff, 0x7f],
        b"\x01d".to_vec(),
        vec![0xd0, 0x00, 0x00, 0x00, 0x80],
        b"\x01e".to_vec(),
        vec![0xe0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        vec![0xf3],
        b"\x00".to_vec(),
    ];
    assert_eq!(
        pairs(&packed(13, &ziplist(&elements))),
        [
            "a = 0".to_owned(),
            format!("{medium} = 12"),
            format!("{large} = -128"),
            "b = -32768".to_owned(),
            "c = 8388607".to_owned(),
            "d = -2147483648".to_owned(),
            "e = 9223372036854775807".to_owned(),
            "2 = ".to_owned(),
        ]
    );
    // The two elements that ziplist.c takes for its example.
    let example = b"\x0f\0\0\0\x0c\0\0\0\x02\0\x00\xf3\x02\xf6\xff";
    assert_eq!(ziplist(&[vec![0xf3], vec![0xf6]]), example);
}

#[test]
fn listpacks() {
    let medium = "m".repeat(300);
    let large = "l".repeat(5000);
    let elements: Vec<Vec<u8>> = vec![
        text("a"),
        vec![0x7f],
        [&[0xe1, 0x2c], medium.as_bytes()].concat(),
        vec![0xdf, 0xff],
        [&[0xf0, 0x88, 0x13, 0, 0], large.as_bytes()].concat(),
        vec![0xc1, 0x00],
        text("b"),
        vec![0xf1, 0x00, 0x80],
        text("c"),
        vec![0xf2, 0xff, 0xff, 0x7f],
        text("d"),
        vec![0xf3, 0x00, 0x00, 0x00, 0x80],
        text("e"),
        vec![0xf4, 0, 0, 0, 0, 0, 0, 0, 0x80],
        vec![0x02],
        text(""),
    ];
    assert_eq!(
        pairs(&packed(16, &listpack(&elements))),
        [
            "a = 127".to_owned(),
            format!("{medium} = -1"),
            format!("{large} = 256"),
            "b = -32768".to_owned(),
            "c = 8388607".to_owned(),
            "d = -2147483648".to_owned(),
            "e = -9223372036854775808".to_owned(),
            "2 = ".to_owned(),
        ]
    );
}

/// 1,700,000,000,000 as an element of a listpack.
fn deadline() -> Vec<u8> {
    [&[0xf4][..], &1_700_000_000_000u64.to_le_bytes()].concat()
}

#[test]
fn hashes_with_deadlines_in_one_piece() {
    let piece = listpack(&[text("a"), text("1"), deadline(), text("b"), text("2"), vec![0]]);
    let expected = ["a = 1 until 1700000000000", "b = 2"];
    assert_eq!(pairs(&packed(23, &piece)), expected);
    let with_min = [&[25][..], &short("h"), &[0xe8; 8], &long(&piece)].concat();
    assert_eq!(pairs(&redis_file(12, &with_min)), expected);
}

#[test]
fn hashes_with_deadlines_as_triples() {
    let absolute = [
        &[22][..],
        &short("h"),
        &[2],
        &[0x81],
        &1_700_000_000_000u64.to_be_bytes(),
        &short("a"),
        &short("1"),
        &[0],
        &short("b"),
        &short("2"),
    ]
    .concat();
    let expected = ["a = 1 until 1700000000000", "b = 2"];
    assert_eq!(pairs(&redis_file(12, &absolute)), expected);
    let since_min = [
        &[24][..],
        &short("h"),
        &1_699_999_999_990u64.to_le_bytes(),
        &[2],
        &[11],
        &short("a"),
        &short("1"),
        &[0],
        &short("b"),
        &short("2"),
    ]
    .concat();
    assert_eq!(pairs(&redis_file(12, &since_min)), expected);
    // The same number means something else in Valkey.
    let valkey = [
        &[22][..],
        &short("h"),
        &[2],
        &short("a"),
        &short("1"),
        &1_700_000_000_000u64.to_le_bytes(),
        &short("b"),
        &short("2"),
        &(-1i64).to_le_bytes(),
    ]
    .concat();
    assert_eq!(pairs(&valkey_file(&valkey)), expected);
    damage(read(&redis_file(12, &valkey)));
}

#[test]
fn deadlines_that_are_none() {
    for element in
        [text("x"), vec![0xdf, 0xff], [&[0xf4][..], &(1u64 << 48).to_le_bytes()].concat()]
    {
        let piece = listpack(&[text("a"), text("1"), element]);
        let (_, what) = damage(read(&packed(23, &piece)));
        assert!(what.contains("deadline"), "{what}");
    }
    let late =
        [&[22][..], &short("h"), &[1, 0x81], &(1u64 << 48).to_be_bytes(), &short("a"), &short("1")];
    assert!(damage(read(&redis_file(12, &late.concat()))).1.contains("deadline"));
}

#[test]
fn what_is_no_hash_in_one_piece() {
    let whole = listpack(&[text("a"), text("1")]);
    let odd = listpack(&[text("a")]);
    let mut too_long = whole.clone();
    too_long[0] += 1;
    let mut unended = whole.clone();
    *unended.last_mut().unwrap() = 0;
    let mut miscounted = whole.clone();
    miscounted[4] = 3;
    let mut wrong_len = whole.clone();
    wrong_len[8] = 5;
    let unknown = listpack(&[vec![0xf5], text("1")]);
    for piece in [vec![], odd, too_long, unended, miscounted, wrong_len, unknown] {
        let (_, what) = damage(read(&packed(16, &piece)));
        assert!(what.starts_with("a hash in one piece: "), "{what}");
    }
}

#[test]
fn versions() {
    for version in 1..=13 {
        let file = redis_file(version, &[]);
        let whole = if version < 5 { &file[..file.len() - 8] } else { &file[..] };
        assert_eq!(read(whole).unwrap(), [""; 0], "{version}");
    }
    for magic in
        ["REDIS0000", "REDIS0014", "REDIS0080", "VALKEY012", "VALKEY081", "REDISabcd", "redis0011"]
    {
        let (offset, _) = damage(read(&sealed(magic.as_bytes().to_vec())));
        assert_eq!(offset, 9, "{magic}");
    }
}

#[test]
fn a_checksum_of_zeros_is_none() {
    let mut file = redis_file(11, &[&[0][..], &short("a"), &short("1")].concat());
    let at = file.len() - 8;
    file[at..].fill(0);
    assert_eq!(read(&file).unwrap(), ["0 a = 1"]);
    file[at] = 1;
    assert!(damage(read(&file)).1.contains("checksum"));
}
