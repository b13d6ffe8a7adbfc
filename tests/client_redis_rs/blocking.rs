//! The blocking client: one connection, one command or pipeline at a time.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{
    Commands, Connection, CopyOptions, ErrorKind, ExistenceCheck, ExpireOption, Expiry,
    FieldExistenceCheck, HashFieldExpirationOptions, IntegerReplyOrNoOp, RedisError, RedisResult,
    ScanOptions, ServerErrorKind, SetExpiry, SetOptions,
};

use crate::server::{PASSWORD, Server, connect};

const BIG_VALUE_BYTES: usize = 8 * 1024 * 1024;

/// Runs a test in both protocols, each on empty databases, with a connection and a way to make more.
fn in_both_protocols(test: impl Fn(&mut Connection, &dyn Fn() -> Connection)) {
    let server = Server::start(&[]);
    for protocol in ["resp2", "resp3"] {
        let mut con = server.connect(protocol);
        redis::cmd("FLUSHALL").exec(&mut con).unwrap();
        test(&mut con, &|| server.connect(protocol));
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn raw(replies: Vec<IntegerReplyOrNoOp>) -> Vec<isize> {
    replies.iter().map(IntegerReplyOrNoOp::raw).collect()
}

fn numbered(prefix: &str, count: usize) -> Vec<(String, String)> {
    (0..count).map(|i| (format!("{prefix}{i}"), i.to_string())).collect()
}

#[test]
fn hashes() {
    in_both_protocols(|con, _| {
        let _: () =
            con.hset_multiple("Sales ETL", &[("last run", "2026-11-22"), ("größe", "ü")]).unwrap();
        let all: HashMap<String, String> = con.hgetall("Sales ETL").unwrap();
        let expected =
            [("last run", "2026-11-22"), ("größe", "ü")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(all, HashMap::from(expected));
        let some: Vec<Option<String>> = con.hmget("Sales ETL", &["größe", "nope"]).unwrap();
        assert_eq!(some, [Some("ü".to_owned()), None]);
        let counts: (i64, f64) =
            (con.hincr("Sales ETL", "n", 42).unwrap(), con.hincr("Sales ETL", "n", 0.5).unwrap());
        assert_eq!(counts, (42, 42.5));
        let flags: (bool, bool) =
            (con.hset_nx("Sales ETL", "n", 1).unwrap(), con.hexists("Sales ETL", "n").unwrap());
        assert_eq!(flags, (false, true));
        let deleted: usize = con.hdel("Sales ETL", &["n", "größe", "last run", "nope"]).unwrap();
        assert_eq!((deleted, con.exists("Sales ETL").unwrap()), (3, false));
    });
}

#[test]
fn field_ttls() {
    in_both_protocols(|con, _| {
        let _: () = con.hset_multiple("ns", &[("a", 1), ("b", 2), ("c", 3)]).unwrap();
        assert_eq!(
            raw(con.hexpire("ns", 100, ExpireOption::NONE, &["a", "nope"]).unwrap()),
            [1, -2]
        );
        assert_eq!(raw(con.hexpire("ns", 50, ExpireOption::GT, "a").unwrap()), [0]);
        let ttl_s = raw(con.httl("ns", &["a", "b", "nope"]).unwrap());
        assert!((90..=100).contains(&ttl_s[0]) && ttl_s[1..] == [-1, -2], "{ttl_s:?}");
        assert_eq!(raw(con.hpexpire("ns", 60_000, ExpireOption::NX, "b").unwrap()), [1]);
        let ttl_ms = raw(con.hpttl("ns", "b").unwrap())[0];
        assert!((40_000..=60_000).contains(&ttl_ms), "{ttl_ms}");
        let deadline_ms = now_ms() as i64 + 500_000;
        assert_eq!(raw(con.hpexpire_at("ns", deadline_ms, ExpireOption::NONE, "c").unwrap()), [1]);
        assert_eq!(raw(con.hpexpire_time("ns", "c").unwrap()), [deadline_ms as isize]);
        assert_eq!(raw(con.hpersist("ns", &["a", "nope"]).unwrap()), [1, -2]);
        assert_eq!(raw(con.hpersist("ns", "a").unwrap()), [-1]);
        assert_eq!(raw(con.hpexpire("ns", 50, ExpireOption::NONE, "b").unwrap()), [1]);
        std::thread::sleep(Duration::from_millis(250));
        let left: HashMap<String, i32> = con.hgetall("ns").unwrap();
        assert_eq!(left, HashMap::from([("a".to_owned(), 1), ("c".to_owned(), 3)]));
    });
}

#[test]
fn hsetex_hgetex_hgetdel() {
    in_both_protocols(|con, _| {
        let for_a_minute =
            HashFieldExpirationOptions::default().set_expiration(SetExpiry::PX(60_000));
        let set: bool = con.hset_ex("ns", &for_a_minute, &[("a", "1"), ("b", "2")]).unwrap();
        let ttl_ms = raw(con.hpttl("ns", "a").unwrap())[0];
        assert!(set && (40_000..=60_000).contains(&ttl_ms), "{set} {ttl_ms}");
        let only_new =
            HashFieldExpirationOptions::default().set_existence_check(FieldExistenceCheck::FNX);
        assert!(!con.hset_ex::<_, _, _, bool>("ns", &only_new, &[("a", "9")]).unwrap());
        let keeping = HashFieldExpirationOptions::default().set_expiration(SetExpiry::KEEPTTL);
        assert!(con.hset_ex::<_, _, _, bool>("ns", &keeping, &[("a", "3")]).unwrap());
        assert!(raw(con.hpttl("ns", "a").unwrap())[0] > 40_000);
        let read: Vec<Option<String>> = con.hget_ex("ns", &["a", "nope"], Expiry::PERSIST).unwrap();
        assert_eq!(
            (read, raw(con.httl("ns", "a").unwrap())),
            (vec![Some("3".to_owned()), None], vec![-1])
        );
        let taken: Vec<Option<String>> = con.hget_del("ns", &["a", "b", "nope"]).unwrap();
        assert_eq!(taken, [Some("3".to_owned()), Some("2".to_owned()), None]);
        assert!(!con.exists::<_, bool>("ns").unwrap());
    });
}

#[test]
fn strings_with_set_options() {
    in_both_protocols(|con, _| {
        let new_only = SetOptions::default()
            .conditional_set(ExistenceCheck::NX)
            .with_expiration(SetExpiry::EX(100));
        let first: Option<String> = con.set_options("s", "1", new_only.clone()).unwrap();
        let second: Option<String> = con.set_options("s", "2", new_only).unwrap();
        assert_eq!((first.as_deref(), second), (Some("OK"), None));
        let keeping = SetOptions::default().with_expiration(SetExpiry::KEEPTTL).get(true);
        assert_eq!(
            con.set_options::<_, _, Option<String>>("s", "3", keeping).unwrap().as_deref(),
            Some("1")
        );
        assert!(con.ttl::<_, i64>("s").unwrap() > 90);
        let deadline_ms = now_ms() + 500_000;
        let until = SetOptions::default().with_expiration(SetExpiry::PXAT(deadline_ms));
        let _: () = con.set_options("s", "4", until).unwrap();
        assert_eq!(con.pexpire_time::<_, u64>("s").unwrap(), deadline_ms);
        let _: () = con.set("s", "5").unwrap();
        assert_eq!(con.ttl::<_, i64>("s").unwrap(), -1);
        let taken: (Option<String>, Option<String>) =
            (con.get_del("s").unwrap(), con.get("s").unwrap());
        assert_eq!(taken, (Some("5".to_owned()), None));
        let sums: (i64, f64) = (con.incr("n", 42).unwrap(), con.incr("n", 0.5).unwrap());
        assert_eq!(sums, (42, 42.5));
        let _: () = con.mset(&[("a", 1), ("b", 2)]).unwrap();
        assert_eq!(
            con.mget::<_, Vec<Option<i32>>>(&["a", "nope", "b"]).unwrap(),
            [Some(1), None, Some(2)]
        );
    });
}

#[test]
fn names_ttls_and_other_databases() {
    in_both_protocols(|con, _| {
        let _: () = con.hset("h", "f", "v").unwrap();
        assert!(con.expire::<_, bool>("h", 100).unwrap() && con.ttl::<_, i64>("h").unwrap() > 90);
        assert!(con.persist::<_, bool>("h").unwrap() && con.ttl::<_, i64>("h").unwrap() == -1);
        let _: () = con.rename("h", "h2").unwrap();
        let plain = CopyOptions::default();
        assert!(con.copy::<_, _, _, bool>("h2", "h3", plain).unwrap());
        assert!(!con.copy::<_, _, _, bool>("h2", "h3", plain).unwrap());
        assert!(con.copy::<_, _, _, bool>("h2", "there", plain.db(5)).unwrap());
        assert_eq!(redis::cmd("MOVE").arg("h3").arg(5).query::<i32>(con).unwrap(), 1);
        redis::cmd("SELECT").arg(5).exec(con).unwrap();
        let names: HashSet<String> = con.keys("*").unwrap();
        assert_eq!(names, HashSet::from(["h3".to_owned(), "there".to_owned()]));
        let encoding: Option<String> = con.object_encoding("nope").unwrap();
        assert_eq!((encoding, con.unlink::<_, i32>(&["h3", "there"]).unwrap()), (None, 2));
    });
}

#[test]
fn scan_and_hscan_iterators_see_everything() {
    in_both_protocols(|con, _| {
        let (strings, fields) = (numbered("s:", 2000), numbered("f", 2000));
        let _: () = con.mset(&strings).unwrap();
        let _: () = con.hset_multiple("h", &fields).unwrap();
        let options = ScanOptions::default().with_pattern("s:*").with_count(100);
        let names: HashSet<String> =
            con.scan_options(options).unwrap().map(Result::unwrap).collect();
        assert_eq!(names, strings.into_iter().map(|(name, _)| name).collect());
        let typed = ScanOptions::default().with_type("hash");
        assert_eq!(
            con.scan_options::<String>(typed).unwrap().map(Result::unwrap).collect::<Vec<_>>(),
            ["h"]
        );
        let pairs: HashMap<String, String> =
            con.hscan::<_, (String, String)>("h").unwrap().map(Result::unwrap).collect();
        assert_eq!(pairs, fields.into_iter().collect());
    });
}

#[test]
fn pipelines_and_transactions() {
    in_both_protocols(|con, _| {
        let mut pipe = redis::pipe();
        for i in 0..3000 {
            pipe.hset("h", format!("f{i}"), i).ignore().hget("h", format!("f{i}"));
        }
        assert_eq!(pipe.query::<Vec<i32>>(con).unwrap(), (0..3000).collect::<Vec<_>>());
        let (first, all): (i32, HashMap<String, i32>) = redis::pipe()
            .atomic()
            .hset("t", "n", 1)
            .hincr("t", "n", 41)
            .ignore()
            .hgetall("t")
            .query(con)
            .unwrap();
        assert_eq!((first, all), (1, HashMap::from([("n".to_owned(), 42)])));
        let _: () = con.set("s", "text").unwrap();
        let failed: RedisResult<()> =
            redis::pipe().atomic().set("a", 1).hget("s", "f").set("b", 2).query(con);
        assert!(
            failed
                .unwrap_err()
                .to_string()
                .contains("Operation against a key holding the wrong kind of value")
        );
        assert_eq!(con.mget::<_, (i32, i32)>(&["a", "b"]).unwrap(), (1, 2));
    });
}

#[test]
fn watch_is_aborted_by_another_client_and_repeats() {
    in_both_protocols(|con, more| {
        let _: () = con.set("n", 1).unwrap();
        let (mut other, mut turns) = (more(), 0);
        let result: (i32,) = redis::transaction(con, &["n"], |con, pipe| {
            turns += 1;
            let n: i32 = con.get("n")?;
            if turns == 1 {
                let _: () = other.set("n", 10)?;
            }
            pipe.incr("n", n).query(con)
        })
        .unwrap();
        assert_eq!((turns, result), (2, (20,)));
    });
}

#[test]
fn transactions_of_many_threads_lose_no_update() {
    in_both_protocols(|con, more| {
        let connections: Vec<Connection> = (0..4).map(|_| more()).collect();
        std::thread::scope(|scope| {
            for mut con in connections {
                scope.spawn(move || {
                    for _ in 0..50 {
                        let _: () = redis::transaction(&mut con, &["count"], |con, pipe| {
                            let n: Option<i32> = con.get("count")?;
                            pipe.set("count", n.unwrap_or(0) + 1).query(con)
                        })
                        .unwrap();
                    }
                });
            }
        });
        assert_eq!(con.get::<_, i32>("count").unwrap(), 200);
    });
}

#[test]
fn any_bytes_and_big_values() {
    in_both_protocols(|con, _| {
        let every_byte: Vec<u8> = (0..=255).collect();
        let _: () = con.hset(&every_byte, &every_byte, b"\r\n$-1\r\n").unwrap();
        let all: HashMap<Vec<u8>, Vec<u8>> = con.hgetall(&every_byte).unwrap();
        assert_eq!(all, HashMap::from([(every_byte, b"\r\n$-1\r\n".to_vec())]));
        let big: Vec<u8> = (0..BIG_VALUE_BYTES).map(|i| ((i * 31) >> 3) as u8).collect();
        let _: () = con.set("big", &big).unwrap();
        let _: () = con.hset("h", "big", &big).unwrap();
        assert!(con.get::<_, Vec<u8>>("big").unwrap() == big, "GET returns what SET stored");
        assert!(
            con.hvals::<_, Vec<Vec<u8>>>("h").unwrap() == [big],
            "HVALS returns what HSET stored"
        );
    });
}

#[test]
fn errors_have_their_kind_and_the_connection_stays() {
    in_both_protocols(|con, _| {
        let _: () = con.set("s", "text").unwrap();
        let wrong_type: RedisError = con.hget::<_, _, String>("s", "f").unwrap_err();
        assert_eq!(wrong_type.code(), Some("WRONGTYPE"));
        let unknown = redis::cmd("NOSUCH").exec(con).unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::Server(ServerErrorKind::ResponseError));
        assert!(unknown.to_string().contains("unknown command 'NOSUCH'"), "{unknown}");
        assert_eq!(con.get::<_, String>("s").unwrap(), "text");
    });
}

#[test]
fn the_library_names_itself_and_a_killed_connection_is_noticed() {
    in_both_protocols(|con, more| {
        let me: String = redis::cmd("CLIENT").arg("INFO").query(con).unwrap();
        assert!(me.contains(" lib-name=redis-rs ") && me.contains(" lib-ver="), "{me}");
        redis::cmd("CLIENT").arg("SETNAME").arg("rust-app").exec(con).unwrap();
        let mut other = more();
        let list: String = redis::cmd("CLIENT").arg("LIST").query(&mut other).unwrap();
        assert!(list.contains(" name=rust-app "), "{list}");
        let id: i64 = redis::cmd("CLIENT").arg("ID").query(con).unwrap();
        let killed: i32 =
            redis::cmd("CLIENT").arg("KILL").arg("ID").arg(id).query(&mut other).unwrap();
        assert_eq!(killed, 1);
        assert!(con.get::<_, Option<String>>("k").unwrap_err().is_unrecoverable_error());
        assert!(more().get::<_, Option<String>>("k").unwrap().is_none());
    });
}

#[test]
fn a_restarted_server_is_found_again() {
    let mut server = Server::start(&[]);
    for protocol in ["resp2", "resp3"] {
        let client = server.client(protocol, "", 2);
        let mut con = connect(&client).unwrap();
        let _: () = con.set("k", 1).unwrap();
        server.restart();
        assert!(con.get::<_, Option<i32>>("k").unwrap_err().is_unrecoverable_error());
        assert!(connect(&client).unwrap().set::<_, _, ()>("k", 2).is_ok());
    }
}

#[test]
fn requirepass() {
    let server = Server::start(&["--requirepass", PASSWORD]);
    for protocol in ["resp2", "resp3"] {
        let without = connect(&server.client(protocol, "", 0))
            .and_then(|mut con| con.get::<_, Option<String>>("k"));
        assert_eq!(without.unwrap_err().code(), Some("NOAUTH"));
        let wrong = connect(&server.client(protocol, ":wrong@", 0)).map(drop).unwrap_err();
        let refused =
            wrong.kind() == ErrorKind::AuthenticationFailed || wrong.code() == Some("WRONGPASS");
        assert!(refused, "AUTH fails under its own kind, HELLO with its code: {wrong}");
        for credentials in [format!(":{PASSWORD}@"), format!("default:{PASSWORD}@")] {
            let mut con = connect(&server.client(protocol, &credentials, 3)).unwrap();
            assert!(con.set::<_, _, ()>("k", 1).is_ok());
        }
    }
}
