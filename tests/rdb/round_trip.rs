//! Whatever is written is read again as it was.

use pantry::rdb::dump::{self, Value};
use pantry::rdb::pairs::PairBuffer;
use pantry::rdb::reader::{Event, Reader};
use pantry::rdb::writer::{Version, Writer};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

type Pairs = Vec<(Vec<u8>, Vec<u8>, Option<u64>)>;

#[derive(Debug, Clone, PartialEq)]
struct Name {
    db: u64,
    bytes: Vec<u8>,
    deadline_ms: Option<u64>,
    holds: Holds,
}

#[derive(Debug, Clone, PartialEq)]
enum Holds {
    String(Vec<u8>),
    Pairs(Pairs),
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..80),
        any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        (0usize..20_000).prop_map(|len| vec![b'x'; len]),
    ]
}

fn pairs() -> impl Strategy<Value = Pairs> {
    let deadline = option::of(0u64..1 << 48);
    btree_map(bytes(), (bytes(), deadline), 1..40).prop_map(|pairs| {
        pairs.into_iter().map(|(key, (value, deadline_ms))| (key, value, deadline_ms)).collect()
    })
}

fn names() -> impl Strategy<Value = Vec<Name>> {
    let holds = prop_oneof![bytes().prop_map(Holds::String), pairs().prop_map(Holds::Pairs)];
    let name = (0u64..16, bytes(), option::of(0u64..1 << 60), holds)
        .prop_map(|(db, bytes, deadline_ms, holds)| Name { db, bytes, deadline_ms, holds });
    vec(name, 0..12)
}

fn buffer(pairs: &Pairs) -> PairBuffer {
    let mut buffer = PairBuffer::default();
    pairs.iter().for_each(|(key, value, deadline_ms)| buffer.push(key, value, *deadline_ms));
    buffer
}

fn written(names: &[Name], version: Version) -> (Vec<u8>, u64) {
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, version, 0).unwrap();
    for name in names {
        let Name { db, bytes, deadline_ms, holds } = name;
        match holds {
            Holds::String(value) => writer.string(*db, bytes, *deadline_ms, value).unwrap(),
            Holds::Pairs(pairs) => writer.hash(*db, bytes, *deadline_ms, &buffer(pairs)).unwrap(),
        }
    }
    let dropped = writer.dropped_deadlines();
    writer.finish().unwrap();
    (file, dropped)
}

fn read(file: &[u8]) -> Vec<Name> {
    let mut reader = Reader::new(file).unwrap();
    let mut names: Vec<Name> = Vec::new();
    let mut pairs = Vec::new();
    while let Some(event) = reader.next_event().unwrap() {
        let (name, holds) = match event {
            Event::String(name, value) => (name, Holds::String(value.to_vec())),
            Event::Hash(name) => (name, Holds::Pairs(Vec::new())),
            Event::Pair { key, value, deadline_ms } => {
                pairs.push((key.to_vec(), value.to_vec(), deadline_ms));
                continue;
            }
            Event::EndOfHash => {
                names.last_mut().unwrap().holds = Holds::Pairs(std::mem::take(&mut pairs));
                continue;
            }
            _ => continue,
        };
        let (bytes, deadline_ms) = (name.bytes.to_vec(), name.deadline_ms);
        names.push(Name { db: name.db, bytes, deadline_ms, holds });
    }
    names
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn files_with_deadlines_of_pairs(names in names()) {
        let (file, dropped) = written(&names, Version::Redis7_4);
        prop_assert_eq!(dropped, 0);
        prop_assert_eq!(read(&file), names);
    }

    #[test]
    fn files_without(mut names in names()) {
        let (file, dropped) = written(&names, Version::Redis7_0);
        let mut had_deadline = 0;
        for name in &mut names {
            if let Holds::Pairs(pairs) = &mut name.holds {
                pairs.iter_mut().for_each(|pair| had_deadline += u64::from(pair.2.take().is_some()));
            }
        }
        prop_assert_eq!(dropped, had_deadline);
        prop_assert_eq!(read(&file), names);
    }

    #[test]
    fn payloads(value in bytes(), pairs in pairs()) {
        let string = dump::read(&dump::string(&value)).unwrap();
        prop_assert!(matches!(string, Value::String(read) if read == value));
        let Value::Hash(read) = dump::read(&dump::hash(&buffer(&pairs))).unwrap() else {
            return Err(TestCaseError::fail("no hash"));
        };
        let read: Pairs =
            read.iter().map(|pair| (pair.key.to_vec(), pair.value.to_vec(), pair.deadline_ms)).collect();
        prop_assert_eq!(read, pairs);
    }

    #[test]
    fn anything_is_an_error_or_a_file(content in vec(any::<u8>(), 0..300)) {
        let file = [b"REDIS0012", &content[..]].concat();
        let mut reader = Reader::new(&file[..]).unwrap();
        while let Ok(Some(_)) = reader.next_event() {}
        let _ = dump::read(&content);
    }
}
