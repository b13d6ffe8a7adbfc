//! What scripts can not show: what INFO says by default, and what happens to the process and the connection.
#![allow(clippy::unwrap_used)]

mod support;

use pantry::journal::Journal;
use support::Harness;

fn harness() -> Harness {
    Harness::new(Journal::discarding())
}

#[test]
fn info_has_the_fields_that_clients_and_exporters_read() {
    let mut harness = harness();
    harness.run("SET color red");
    let info = harness.run("INFO");
    for section in ["Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU"] {
        assert!(info.contains(&format!("# {section}\\r\\n")), "{section} in {info}");
    }
    for field in [
        "redis_version:8.0.0",
        "pantry_version:0.1.0",
        "redis_mode:standalone",
        "tcp_port:6379",
        "http_port:8080",
        "uptime_in_seconds:0",
        "connected_clients:1",
        "maxclients:10000",
        "total_commands_processed:2",
        "role:master",
        "db0:keys=1,expires=0,avg_ttl=0,subexpiry=0",
    ] {
        assert!(info.contains(&format!("{field}\\r\\n")), "{field} in {info}");
    }
    assert!(info.contains(&format!("run_id:{}\\r\\n", harness.server.run_id)));
    let has_proc = std::path::Path::new("/proc/self/status").exists();
    for field in ["used_memory_rss:", "total_system_memory:", "used_cpu_user:", "used_cpu_sys:"] {
        assert_eq!(info.contains(field), has_proc, "{field} in {info}");
    }
    assert!(!info.contains("cmdstat_"), "counts of commands are only shown when asked for");
    let all = harness.run("INFO everything");
    assert!(all.contains("cmdstat_set:calls=1,") && all.contains("# CPU"));
}

#[test]
fn info_says_everything_once() {
    let info = harness().run("INFO everything");
    let lines = info.split("\\r\\n").filter_map(|line| line.split_once(':'));
    let mut names: Vec<&str> = lines.map(|(name, _)| name).collect();
    assert!(names.len() > 100, "{info}");
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "{names:?}");
}

#[test]
fn the_longest_slice_is_measured_until_it_is_reset() {
    let mut harness = harness();
    let longest_us = |harness: &mut Harness| -> u64 {
        let info = harness.run("INFO pantry");
        let (_, rest) = info.split_once("slice_us_max:").unwrap();
        rest.split_once("\\r").unwrap().0.parse().unwrap()
    };
    harness.run("SET few 1");
    assert_eq!(longest_us(&mut harness), 0, "nothing had to grow");
    (0..2000).for_each(|n| drop(harness.run(&format!("HSET many key-{n} value"))));
    let has_cpu_clock = pantry::clock::thread_cpu_ns() > 0;
    assert_eq!(longest_us(&mut harness) > 0, has_cpu_clock);
    harness.run("CONFIG RESETSTAT");
    assert_eq!(longest_us(&mut harness), 0);

    harness.run("HPEXPIRE many 1 FIELDS 1 key-1");
    harness.advance(std::time::Duration::from_millis(2));
    harness.reap();
    assert_eq!(longest_us(&mut harness) > 0, has_cpu_clock, "reaping is measured too");
}

#[test]
fn used_memory_grows_with_the_data() {
    let mut harness = harness();
    let used = |harness: &mut Harness| -> u64 {
        let info = harness.run("INFO memory");
        let (_, rest) = info.split_once("used_memory:").unwrap();
        rest.split_once("\\r").unwrap().0.parse().unwrap()
    };
    let before = used(&mut harness);
    harness.run(&format!("SET big {}", "x".repeat(1_000_000)));
    let after = used(&mut harness);
    assert!((1_000_000..1_300_000).contains(&(after - before)), "{before} {after}");
    harness.run("DEL big");
    assert!(used(&mut harness) < after - 1_000_000);
}

#[cfg(unix)]
#[test]
fn there_are_no_more_clients_than_files_that_may_be_open() {
    let mut harness = harness();
    let refused = harness.run("CONFIG SET maxclients 4294967295 timeout 7");
    let text = "argument 'maxclients') - The operating system is not able to handle the specified \
                number of clients, try with ";
    assert!(refused.contains(text), "{refused}");
    assert!(harness.run("CONFIG GET timeout").contains("\"0\""), "all or nothing");
    assert_eq!(harness.run("CONFIG SET maxclients 20"), "OK");
}

#[test]
fn info_inside_a_transaction_sees_what_went_before() {
    let mut harness = harness();
    harness.run("MULTI");
    harness.run("SET color red");
    harness.run("INFO keyspace");
    assert!(harness.run("EXEC").contains("db0:keys=1,"));
}

#[test]
fn debug_must_be_allowed() {
    let mut harness = harness();
    let forbid = |config: &mut pantry::config::Config| -> Result<(), ()> {
        config.enable_debug_command = pantry::config::Allowed::No;
        Ok(())
    };
    harness.server.change_config(forbid).unwrap();
    for command in ["DEBUG SLEEP 0", "DEBUG SET-ACTIVE-EXPIRE 0", "DEBUG HELP"] {
        assert!(harness.run(command).starts_with("(error) ERR DEBUG command not allowed."));
    }
}

#[test]
fn shutdown_stops_the_server_and_quit_ends_the_connection() {
    let mut harness = harness();
    harness.run("SHUTDOWN LATER");
    assert!(!harness.server.stop.is_cancelled());
    harness.run("PING");
    assert!(!harness.session("a").unwrap().should_close);
    harness.run("QUIT");
    assert!(harness.session("a").unwrap().should_close);
    harness.execute("b", &[b"SHUTDOWN".to_vec(), b"NOSAVE".to_vec()]);
    assert!(harness.server.stop.is_cancelled());
    assert!(harness.session("b").unwrap().should_close);
}

#[test]
fn client_kill_reaches_the_connection() {
    let mut harness = harness();
    assert_eq!(
        harness.run("CLIENT KILL TYPE NORMAL"),
        "(integer) 0",
        "there is only the one that asks"
    );
    harness.execute("b", &[b"PING".to_vec()]);
    assert_eq!(harness.run("CLIENT KILL TYPE NORMAL"), "(integer) 1");
    assert!(harness.session("b").unwrap().client.is_killed());
    assert!(!harness.session("a").unwrap().client.is_killed());
    assert_eq!(harness.run("CLIENT KILL TYPE NORMAL"), "(integer) 0", "it is on its way out");
    harness.run("CLIENT KILL TYPE NORMAL SKIPME NO");
    assert!(harness.session("a").unwrap().should_close);
}

#[test]
fn reads_do_not_count_as_access_with_no_touch() {
    let mut harness = harness();
    harness.run("SET color red");
    harness.advance(std::time::Duration::from_secs(60));
    harness.run("CLIENT NO-TOUCH ON");
    harness.run("GET color");
    assert_eq!(harness.run("OBJECT IDLETIME color"), "(integer) 60");
    harness.run("CLIENT NO-TOUCH OFF");
    harness.run("GET color");
    assert_eq!(harness.run("OBJECT IDLETIME color"), "(integer) 0");
}

#[test]
fn namespace_info_counts_bytes() {
    let mut harness = harness();
    harness.run("NAMESPACE SET settings theme dark");
    let small = harness.run("NAMESPACE INFO settings");
    assert!(
        small.starts_with(" 1) \"pairs\"\n 2) (integer) 1\n 3) \"bytes\"\n 4) (integer) "),
        "{small}"
    );
    assert!(small.contains("\n 5) \"kept\"\n 6) (integer) 1\n"), "{small}");
    assert!(small.contains("\n 7) \"ttl_ms\"\n 8) (integer) -1\n"), "{small}");
    harness.run("PEXPIRE settings 5000");
    let mortal = harness.run("NAMESPACE INFO settings");
    assert!(mortal.contains("\n 8) (integer) 5000\n"), "{mortal}");
}

#[test]
fn passwords_of_any_length_are_compared_in_full() {
    let mut harness = harness();
    let long = "p".repeat(512);
    harness.run("PING");
    assert_eq!(harness.run(&format!("CONFIG SET requirepass {long}")), "OK");
    let mut auth = |password: &str| {
        let words = [b"AUTH".to_vec(), password.as_bytes().to_vec()];
        support::render::render(&harness.execute("b", &words))
    };
    assert!(auth(&long[1..]).starts_with("(error) WRONGPASS"));
    assert!(auth(&format!("{long}p")).starts_with("(error) WRONGPASS"));
    assert!(auth("").starts_with("(error) WRONGPASS"));
    assert_eq!(auth(&long), "OK");
    assert!(
        harness
            .run(&format!("CONFIG SET requirepass {long}p"))
            .starts_with("(error) ERR CONFIG SET")
    );
}
