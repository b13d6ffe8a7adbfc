//! Deadlines while the server is down: what passed is gone, what did not is there with its deadline.

use std::time::Duration;

use crate::client::Client;
use crate::machine::{Scratch, now_ms};
use crate::server::{Start, eventually};

/// Time until the near deadlines pass, and until the far ones do.
const NEAR_MS: u64 = 400;
const FAR_MS: u64 = 100_000;

#[test]
fn deadlines_pass_while_the_server_is_down() {
    deadlines("kill -9", false, false);
    deadlines("kill -9 after a snapshot", true, false);
    deadlines("SIGTERM", false, true);
    deadlines("SIGTERM after a snapshot", true, true);
}

fn deadlines(what: &str, saves: bool, stops: bool) {
    let scratch = Scratch::new("deadlines");
    let start = Start::on(&scratch.at("data"), &scratch);
    let mut server = start.ready();
    let now = now_ms();
    let (near, far) = (now + NEAR_MS, now + FAR_MS);
    let mut client = server.connect();
    write(&mut client, near, far);
    if saves {
        assert!(client.ask("SAVE").is_ok());
    }
    // Found by nobody but the snapshot before; these are in the journal alone.
    assert!(client.ask(&format!("SET late:near x PXAT {near}")).is_ok());
    assert!(client.ask(&format!("SET late:far x PXAT {far}")).is_ok());
    assert!(now_ms() < near, "this machine is too slow for the test");
    if stops {
        server.stop()
    } else {
        server.kill()
    }
    std::thread::sleep(Duration::from_millis((near + 50).saturating_sub(now_ms())));

    let server = start.ready();
    let mut client = server.connect();
    check(&mut client, far);
    println!("deadlines, {what}: 7 passed and gone, 8 there with theirs");
}

fn write(client: &mut Client, near: u64, far: u64) {
    for command in [
        format!("SET string:near x PXAT {near}"),
        format!("SET string:far x PXAT {far}"),
        "SET string:never x".to_owned(),
        "HSET name:near a 1 b 2".to_owned(),
        format!("PEXPIREAT name:near {near}"),
        "HSET name:far a 1".to_owned(),
        format!("PEXPIREAT name:far {far}"),
        format!("HSETEX pairs PXAT {near} FIELDS 1 near x"),
        format!("HSETEX pairs PXAT {far} FIELDS 1 far x"),
        "HSET pairs never x later x".to_owned(),
        format!("HPEXPIREAT pairs {near} FIELDS 1 later"),
        // All its pairs go, and so does it.
        format!("HSETEX all PXAT {near} FIELDS 2 a x b x"),
        // A deadline that is taken back, and one that is moved.
        format!("SET string:kept x PXAT {near}"),
        "PERSIST string:kept".to_owned(),
        format!("SET string:moved x PXAT {near}"),
        format!("PEXPIREAT string:moved {far}"),
        // Deadlines go along.
        format!("HSETEX before PXAT {near} FIELDS 1 a x"),
        "HSET before b x".to_owned(),
        "RENAME before renamed".to_owned(),
    ] {
        let reply = client.ask(&command);
        assert!(reply.error().is_none(), "{command}: {reply:?}");
    }
}

fn check(client: &mut Client, far: u64) {
    let far = i64::try_from(far).unwrap();
    assert_eq!(client.ask("HGETALL all").array(), []);
    // A namespace whose pairs have all expired is there until it is reaped, as in Redis.
    eventually("it is reaped", || client.ask("EXISTS all").integer() == 0);
    for name in ["string:near", "name:near", "late:near", "before"] {
        assert_eq!(client.ask(&format!("EXISTS {name}")).integer(), 0, "{name} came back");
    }
    for (name, key) in [("pairs", "near"), ("pairs", "later"), ("renamed", "a")] {
        let exists = client.ask(&format!("HEXISTS {name} {key}")).integer();
        assert_eq!(exists, 0, "{key} of {name} came back");
    }
    for (name, deadline) in [
        ("string:far", far),
        ("string:moved", far),
        ("name:far", far),
        ("late:far", far),
        ("string:never", -1),
        ("string:kept", -1),
        ("pairs", -1),
        ("renamed", -1),
    ] {
        let found = client.ask(&format!("PEXPIRETIME {name}")).integer();
        assert_eq!(found, deadline, "deadline of {name}");
    }
    let found = client.ask("HPEXPIRETIME pairs FIELDS 2 far never");
    let found: Vec<i64> = found.array().iter().map(|reply| reply.integer()).collect();
    assert_eq!(found, [far, -1], "deadlines of pairs");
    assert_eq!(client.ask("HGET renamed b").bulk(), Some("x"));
    let names = client.ask("KEYS *");
    assert_eq!(names.array().len(), 8, "{names:?}");
}
