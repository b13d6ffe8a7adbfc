//! The command table tested as data: rows against their files, their scripts, and a real Redis.
#![allow(clippy::unwrap_used)]

mod oracle;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use oracle::{Oracle, Reply};
use pantry::command::{FAMILIES, Keys, Run, Spec, table};
use pantry::journal::Journal;
use pantry::resp::owned::OwnedRequest;
use support::render::{self, Value};

/// Flags of Redis's that mean something here.
const FLAGS: &[&str] =
    &["write", "readonly", "denyoom", "admin", "loading", "fast", "no_auth", "no_multi", "pubsub"];

/// What differs from Redis 7.0 in what is shown of a command, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    // Its reply would be missing among those of EXEC.
    ("client|reply", "flags"),
    // It is refused before anybody looks at the key.
    ("cluster|keyslot", "keys"),
    // Redis 7.2 and later allow them.
    ("cluster|shards", "flags"),
    ("cluster|slots", "flags"),
    // It lets go of its keys while it waits, which a transaction must not.
    ("migrate", "flags"),
    // What Redis's servers add when they change places means nothing here.
    ("psync", "arity"),
    // Redis 8 says -3.
    ("command|getkeys", "arity"),
    ("command|getkeysandflags", "arity"),
    ("pubsub|help", "categories"),
    // Redis shows a shard channel as a key, so that clients of a cluster find its shard.
    ("spublish", "keys"),
    ("ssubscribe", "keys"),
    ("sunsubscribe", "keys"),
];

/// Commands that do the same as another one, and its handler.
const SAME: &[(&str, &str)] = &[
    ("SUBSTR", "getrange"),
    ("UNLINK", "del"),
    ("READONLY", "asking"),
    ("READWRITE", "asking"),
    ("SLAVEOF", "replicaof"),
    ("SYNC", "psync"),
];

/// Containers whose subcommands have one handler, called like the container, and one script.
const TOGETHER: &[&str] = &["CLUSTER"];

/// Commands whose replies grow with the table; `the_replies_that_show_all_commands_agree` looks at them.
/// Tokens are random, and kept in a file: `tests/tokens.rs` has them.
const WITHOUT_SCRIPT: &[&str] =
    &["COMMAND", "COMMAND COUNT", "TOKEN CREATE", "TOKEN LIST", "TOKEN REVOKE"];

#[test]
fn rows_are_sorted_and_say_what_they_are() {
    let mut names = BTreeSet::new();
    for family in FAMILIES {
        let rows = family.commands;
        assert!(rows.is_sorted_by(|a, b| a.name < b.name), "{} is not sorted", rows[0].name);
        for row in rows {
            assert!(names.insert(row.name), "{} is there twice", row.name);
            assert!(!row.since.is_empty() && row.about.ends_with('.'), "{}", row.name);
            let shouted =
                row.name.chars().all(|c| matches!(c, 'A'..='Z' | '0'..='9' | ' ' | '-' | '_'));
            assert!(shouted, "{}", row.name);
            if let Some((container, _)) = row.name.split_once(' ') {
                assert!(rows.iter().any(|row| row.name == container), "{} has no row", container);
            }
        }
    }
    assert_eq!(names.len(), table().specs.len());
}

#[test]
fn every_command_is_found_by_its_name() {
    for spec in &table().specs {
        let name = spec.command.name.to_lowercase();
        let found = match name.split_once(' ') {
            None => table().find(name.as_bytes()),
            Some((container, name)) => {
                let container = table().find(container.as_bytes()).unwrap();
                table().find_subcommand(container, name.as_bytes())
            }
        };
        assert_eq!(found.unwrap().index, spec.index, "{name}");
    }
    for name in ["", "g", "gett", "get get", "client id", "verylongcommandnamethatdoesnotexist"] {
        assert!(table().find(name.as_bytes()).is_none(), "{name}");
    }
}

#[test]
fn every_command_has_a_script_that_shows_it() {
    let is_there = |spec: &&Spec| {
        let container = spec.command.name.split(' ').next().unwrap();
        let shown_by = if TOGETHER.contains(&container) { container } else { spec.command.name };
        let name = shown_by.to_lowercase().replace(' ', "-");
        Path::new("tests/scripts").join(name).exists()
    };
    let shown = |spec: &&Spec| {
        !matches!(spec.command.run, Run::Container) && !WITHOUT_SCRIPT.contains(&spec.command.name)
    };
    let missing: Vec<&str> = table()
        .specs
        .iter()
        .filter(shown)
        .filter(|spec| !is_there(spec))
        .map(|spec| spec.command.name)
        .collect();
    assert!(missing.is_empty(), "no script in tests/scripts: {missing:?}");
}

/// Who looks for a command searches for its name: it must lead to one row, and on to one function.
#[test]
fn a_row_stands_in_one_file_with_a_handler_of_its_name() {
    let mut rows: BTreeMap<String, String> = BTreeMap::new();
    let mut odd = Vec::new();
    for entry in fs::read_dir("src/command").unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        for (name, handler) in rows_in(&fs::read_to_string(&path).unwrap()) {
            let snake = name.to_lowercase().replace([' ', '-'], "_");
            let (_, short) = snake.split_once('_').unwrap_or(("", &snake));
            let handler = handler.trim_end_matches('_');
            let fits = handler == snake || name.contains(' ') && handler == short;
            let container = name.split(' ').next().unwrap();
            let fits = fits || TOGETHER.contains(&container) && handler == container.to_lowercase();
            let fits = fits || SAME.contains(&(&name, handler)) || handler.is_empty();
            if !fits {
                odd.push(format!("{name} is handled by {handler}"));
            }
            let before = rows.insert(name.clone(), path.display().to_string());
            assert_eq!(before, None, "{name} has a row in {} too", path.display());
        }
    }
    assert!(odd.is_empty(), "{odd:?}");
    let in_table: Vec<&str> = {
        let mut names: Vec<&str> = table().specs.iter().map(|spec| spec.command.name).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(rows.keys().map(String::as_str).collect::<Vec<_>>(), in_table);
}

/// Name and handler of the rows in a source file; the handler is empty for a container.
fn rows_in(source: &str) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for (constructor, has_handler) in [
        ("Command::read(", true),
        ("Command::write(", true),
        ("Command::session(", true),
        ("Command::container(", false),
    ] {
        for (at, _) in source.match_indices(constructor) {
            let rest = source[at + constructor.len()..].trim_start();
            let Some(rest) = rest.strip_prefix('"') else { continue };
            let (name, rest) = rest.split_once('"').unwrap();
            let handler = if has_handler {
                // After the syntax line, which is the next string.
                let rest = rest.split_once('"').unwrap().1.split_once('"').unwrap().1;
                let rest = rest.trim_start_matches([',', ' ', '\n']);
                let end = rest.find([',', ')', '\n']).unwrap();
                rest[..end].rsplit("::").next().unwrap().to_owned()
            } else {
                String::new()
            };
            rows.push((name.to_owned(), handler));
        }
    }
    rows
}

#[test]
fn what_is_shown_of_a_command_is_what_redis_shows() {
    let Some(mut redis) = Oracle::start() else { return };
    let mut differences = Vec::new();
    let mut compared = 0;
    for spec in &table().specs {
        let name = spec.full_name.as_bytes();
        let Reply::Array(mut infos) = redis.run(&[b"COMMAND", b"INFO", name]) else { panic!() };
        let Some(Reply::Array(info)) = infos.pop() else { continue };
        compared += 1;
        let mut compare = |what: &str, ours: String, theirs: String| {
            let known = DIFFERENCES.contains(&(&spec.full_name, what));
            if (ours != theirs) != known {
                differences.push(format!("{} {what}: {ours}, Redis: {theirs}", spec.full_name));
            }
        };
        compare("arity", spec.arity.to_string(), number(&info[1]).to_string());
        let flags = |all: &mut dyn Iterator<Item = &str>| {
            let known: BTreeSet<&str> = all.filter(|flag| FLAGS.contains(flag)).collect();
            format!("{known:?}")
        };
        let theirs = words(&info[2]);
        compare(
            "flags",
            flags(&mut spec.flag_names().into_iter()),
            flags(&mut theirs.iter().map(String::as_str)),
        );
        let ours = spec.keys.range();
        let theirs = (number(&info[3]), number(&info[4]), number(&info[5]));
        compare("keys", format!("{ours:?}"), format!("{theirs:?}"));
        let ours: BTreeSet<String> = spec.categories().iter().map(|of| format!("@{of}")).collect();
        let theirs: BTreeSet<String> = words(&info[6]).into_iter().collect();
        compare("categories", format!("{ours:?}"), format!("{theirs:?}"));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(compared > 100, "only {compared} commands were compared");
}

/// Rows whose syntax line is not the one that Redis 7.0 documents.
const OTHER_SYNTAX: &[&str] = &[
    // Redis documents no arguments.
    "debug",
    // Redis 8 documents them so.
    "bitop",
    "cluster|meet",
    "lcs",
    "pfmerge",
    // Each filter is given whole; Redis's line says that all of it may be left out.
    "client|kill",
    // Redis 7.0 documents no arguments.
    "command|getkeys",
    "command|getkeysandflags",
    // An empty key is shown as a word of its own, and each alternative as one that may be left out.
    "migrate",
    // NOVALUES came with 7.4.
    "hscan",
];

#[test]
fn syntax_lines_are_those_that_redis_documents() {
    let Some(mut redis) = Oracle::start() else { return };
    let mut differences = Vec::new();
    let mut compared = 0;
    for spec in &table().specs {
        let name = spec.full_name.as_bytes();
        let Reply::Array(docs) = redis.run(&[b"COMMAND", b"DOCS", name]) else { panic!() };
        let Some(docs) = docs.get(1) else { continue };
        compared += 1;
        let theirs = field(docs, "arguments").map(line).unwrap_or_default();
        let since = text(field(docs, "since").unwrap());
        let known = OTHER_SYNTAX.contains(&spec.full_name.as_str());
        if (theirs != spec.command.syntax) != known || since != spec.command.since {
            let ours = (spec.command.since, spec.command.syntax);
            differences.push(format!("{}: {ours:?}, Redis: {:?}", spec.full_name, (since, theirs)));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(compared > 100, "only {compared} commands were compared");
}

/// The arguments of COMMAND DOCS as a syntax line.
fn line(arguments: &Reply) -> String {
    let Reply::Array(arguments) = arguments else { panic!("{arguments:?}") };
    arguments.iter().map(argument).collect::<Vec<_>>().join(" ")
}

fn argument(of: &Reply) -> String {
    let flags = field(of, "flags").map(words).unwrap_or_default();
    let has = |flag: &str| flags.iter().any(|one| one == flag);
    let token = field(of, "token").map(text);
    let value = match text(field(of, "type").unwrap()).as_str() {
        "oneof" => {
            let Some(Reply::Array(parts)) = field(of, "arguments") else { panic!("{of:?}") };
            let parts = parts.iter().map(argument).collect::<Vec<_>>().join(" | ");
            if has("optional") && token.is_none() { parts } else { format!("<{parts}>") }
        }
        "block" => line(field(of, "arguments").unwrap()),
        "pure-token" => String::new(),
        _ => text(field(of, "display_text").or(field(of, "name")).unwrap()),
    };
    let mut whole = format!("{} {value}", token.unwrap_or_default()).trim().to_owned();
    if has("multiple") {
        whole = format!("{whole} [{} ...]", if has("multiple_token") { &whole } else { &value });
    }
    if has("optional") { format!("[{whole}]") } else { whole }
}

/// The value of a key in a map that came as a flat array.
fn field<'r>(map: &'r Reply, key: &str) -> Option<&'r Reply> {
    let Reply::Array(items) = map else { panic!("{map:?}") };
    items.chunks(2).find(|pair| text(&pair[0]) == key).map(|pair| &pair[1])
}

fn text(reply: &Reply) -> String {
    let Reply::Bulk(Some(text)) = reply else { panic!("{reply:?}") };
    String::from_utf8(text.clone()).unwrap()
}

#[test]
fn the_first_key_of_a_pair_is_found_where_the_syntax_line_has_it() {
    for (line, expected) in [
        ("HGET n k", Some(2)),
        ("HSET n k v k v", Some(2)),
        ("HSET n", None),
        ("HINCRBY n k 1", Some(2)),
        ("HPEXPIRE n 10 NX FIELDS 2 k k", Some(6)),
        ("HSETEX n FNX PX 10 FIELDS 2 k v k v", Some(7)),
        ("HSETEX n PX 10 FIELDS 2", None),
        ("HSETEX n PX 10", None),
        ("HGETALL n", None),
        ("HRANDFIELD n 2", None),
        ("HSCAN n 0", None),
        ("NAMESPACE SET n k v", Some(3)),
        ("NAMESPACE DROP n", None),
    ] {
        let request = OwnedRequest::new(line.split(' ').map(str::as_bytes));
        let args = request.args();
        let spec = table().find(args.get(0)).unwrap();
        let spec = match spec.subcommands.is_empty() {
            true => spec,
            false => table().find_subcommand(spec, args.get(1)).unwrap(),
        };
        for last in 0..args.len() + 3 {
            assert_eq!(spec.pair_key.place(args, last), expected, "{line}");
        }
    }
}

#[test]
fn every_name_is_locked_where_the_arguments_do_not_say_which() {
    for spec in &table().specs {
        let is_data = matches!(spec.command.run, Run::Read(_) | Run::Write(_));
        assert!(!is_data || spec.keys != Keys::None, "{} touches no name", spec.full_name);
    }
}

#[test]
fn the_replies_that_show_all_commands_agree() {
    let mut harness = support::Harness::new(Journal::discarding());
    let mut ask = |command: &str| {
        let words: Vec<Vec<u8>> = command.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let bytes = harness.execute("a", &words);
        let mut rest = bytes.as_slice();
        let value = render::decode(&mut rest);
        assert!(rest.is_empty(), "{command} answers once");
        value
    };
    let top_level: BTreeSet<String> = table()
        .specs
        .iter()
        .filter(|spec| !spec.is_subcommand)
        .map(|spec| spec.full_name.clone())
        .collect();
    assert_eq!(ask("COMMAND COUNT"), Value::Integer(top_level.len() as i64));
    let all = ask("COMMAND");
    assert_eq!(ask("COMMAND INFO"), all);
    let Value::Array(all) = all else { panic!("{all:?}") };
    let names: BTreeSet<String> = all.iter().map(first_text).collect();
    assert_eq!(names, top_level);
    let Value::Array(list) = ask("COMMAND LIST") else { panic!() };
    assert_eq!(list.len(), table().specs.len());

    ask("HELLO 3");
    let Value::Map(docs) = ask("COMMAND DOCS") else { panic!() };
    assert_eq!(docs.len(), top_level.len());
    for (name, of) in docs {
        let Value::Map(of) = of else { panic!("{name:?}") };
        for (field, wanted) in of.iter().zip(["summary", "since", "group"]) {
            assert_eq!(field.0, Value::Bulk(wanted.into()), "{name:?}");
        }
    }
}

fn first_text(value: &Value) -> String {
    match value {
        Value::Array(items) => first_text(&items[0]),
        Value::Bulk(text) => String::from_utf8(text.clone()).unwrap(),
        _ => panic!("{value:?}"),
    }
}

fn number(reply: &Reply) -> i64 {
    let Reply::Integer(number) = reply else { panic!("{reply:?}") };
    *number
}

fn words(reply: &Reply) -> Vec<String> {
    let Reply::Array(items) = reply else { panic!("{reply:?}") };
    let word = |item: &Reply| match item {
        Reply::Simple(word) => word.clone(),
        _ => panic!("{item:?}"),
    };
    items.iter().map(word).collect()
}
