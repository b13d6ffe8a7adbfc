//! Deadlines while the server is down, and while its wall clock is set: what passed is gone and stays so,
//! what did not is there with its deadline.

use std::ffi::OsString;
use std::time::Duration;

use crate::client::Client;
use crate::clock::SetClock;
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

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// The first second that does not fit into 32 bits.
const IN_2038_MS: i64 = (1 << 31) * 1000;
/// Between an hour and a day.
const LATER_MS: i64 = 5_400_000;

#[test]
fn the_wall_clock_may_be_set() {
    let began_ms = i64::try_from(now_ms()).unwrap();
    let times_ms = [
        began_ms - HOUR_MS,
        began_ms + HOUR_MS,
        began_ms - DAY_MS,
        began_ms + DAY_MS,
        IN_2038_MS,
        0,
        i64::MAX / 1000,
    ];
    std::thread::scope(|scope| {
        for at_ms in times_ms {
            scope.spawn(move || set_wall_clock(began_ms, at_ms));
        }
    });
}

/// The server's wall clock stands at one time, then at another while it runs and when it starts again.
fn set_wall_clock(began_ms: i64, at_ms: i64) {
    let scratch = Scratch::new("clock");
    let Some(clock) = SetClock::build(&scratch.at(""), began_ms as u64) else { return };
    let settings = clock.environment().map(|(name, value)| {
        let setting = [OsString::from(name), "=".into(), value].into_iter().collect::<OsString>();
        setting.into_string().unwrap()
    });
    let through = [vec!["env".to_owned()], settings.to_vec()].concat();
    let start = Start::on(&scratch.at("data"), &scratch).through(&through);
    let mut server = start.ready();
    let mut client = server.connect();
    for command in [
        format!("SET string:later x PX {LATER_MS}"),
        "SET string:never x".to_owned(),
        format!("SET string:near x PX {NEAR_MS}"),
        format!("HSETEX pairs PX {NEAR_MS} FIELDS 1 near x"),
        "HSET pairs never x".to_owned(),
    ] {
        assert!(client.ask(&command).error().is_none(), "{command}");
    }
    let later_ms = client.ask("PEXPIRETIME string:later").integer();
    assert!((began_ms + LATER_MS..began_ms + 2 * LATER_MS).contains(&later_ms), "{later_ms}");
    let is_gone = |client: &mut Client| {
        client.ask("EXISTS string:near").integer() + client.ask("HLEN pairs").integer() == 1
    };
    eventually("what is near has passed and is reaped", || is_gone(&mut client));

    clock.set(at_ms as u64);
    // Longer than it takes until the server looks at it.
    std::thread::sleep(Duration::from_millis(1200));
    let left_ms = client.ask("PTTL string:later").integer();
    assert!((LATER_MS - 60_000..LATER_MS).contains(&left_ms), "{at_ms}: {left_ms} ms left");

    server.kill();
    let server = start.ready();
    let mut client = server.connect();
    assert!(is_gone(&mut client), "{at_ms}: something came back");
    assert_eq!(client.ask("GET string:never").bulk(), Some("x"));
    assert_eq!(client.ask("HGET pairs never").bulk(), Some("x"));
    let left_ms = client.ask("PTTL string:later").integer();
    match at_ms >= later_ms {
        true => assert_eq!(left_ms, -2, "{at_ms}"),
        false => {
            assert_eq!(client.ask("PEXPIRETIME string:later").integer(), later_ms, "{at_ms}");
            // What was journaled last tells that some time had passed.
            assert!(left_ms <= LATER_MS - NEAR_MS as i64, "{at_ms}: {left_ms} ms left");
        }
    }
    println!("deadlines, wall clock set by {} s: nothing back", (at_ms - began_ms) / 1000);
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
