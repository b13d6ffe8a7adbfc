//! Very many clients, and more than there may be.

use std::time::Duration;

use super::process::{Process, eventually};

/// Lets this process open so many files; `false` if it may not.
fn allow_files(files: u64) -> bool {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let enough = |at: Option<u64>| at.is_none_or(|at| at >= files);
    if enough(limit.current) {
        return true;
    }
    let raised = Rlimit { current: Some(files), maximum: limit.maximum };
    enough(limit.maximum) && setrlimit(Resource::Nofile, raised).is_ok()
}

#[test]
fn ten_thousand_clients() {
    const CLIENTS: usize = 10_000;
    if !allow_files(CLIENTS as u64 + 500) {
        eprintln!("SKIPPED ten_thousand_clients: this process may not open enough files");
        return;
    }
    let server = Process::start(&["--threads", "2", "--maxclients", "10000"]);
    let before = server.rss();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS - 1 {
        let mut client = server.connect();
        client.send(b"P");
        clients.push(client);
    }
    let mut last = server.connect();
    assert_eq!(last.line("PING"), "+PONG");
    let refused = server.try_connect().map(|mut client| client.rest()).unwrap_or_default();
    assert!(refused.is_empty() || refused == "-ERR max number of clients reached\r\n", "{refused}");
    let each = (server.rss() - before) / CLIENTS;
    assert!(each < 16 << 10, "{each} bytes a client");
    for client in clients.iter_mut().step_by(97) {
        assert_eq!(client.ask(b"ING\r\n", 7), "+PONG\r\n");
    }
    drop(clients);
    eventually("they are forgotten", || {
        server.info("connected_clients").parse::<usize>().unwrap() < 4
    });
}

#[test]
fn the_one_too_many_is_told_so() {
    let server = Process::start(&["--threads", "1", "--maxclients", "5"]);
    eventually("nobody is there", || server.info("connected_clients") == "1");
    std::thread::sleep(Duration::from_millis(50));
    let mut clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.line("PING"), "+PONG"));
    let words = server.connect().rest();
    assert_eq!(words, "-ERR max number of clients reached\r\n");
    clients.pop();
    eventually("a place is free", || {
        let mut client = server.connect();
        client.stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.line("PING") == "+PONG"
    });
}

#[test]
fn without_file_descriptors_those_connected_are_served() {
    let line = "ulimit -n 120; exec \"$@\"";
    let server = Process::start_in_shell(line, &["--threads", "1", "--maxclients", "1000"]);
    let mut first = server.connect();
    assert_eq!(first.line("PING"), "+PONG");
    let crowd: Vec<_> = (0..300).filter_map(|_| server.try_connect().ok()).collect();
    assert_eq!(first.line("PING"), "+PONG");
    // Nothing can be done for those who wait, and nothing is tried again and again.
    let before = server.cpu();
    std::thread::sleep(Duration::from_secs(1));
    let taken = server.cpu() - before;
    assert!(taken < Duration::from_millis(200), "{taken:?} in a second");
    drop(crowd);
    eventually("new clients are taken again", || {
        let Ok(mut client) = server.try_connect() else { return false };
        client.send(b"PING\r\nQUIT\r\n");
        client.rest().starts_with("+PONG")
    });
}

#[test]
fn clients_that_come_and_go_leave_nothing() {
    const CLIENTS: usize = 5_000;
    let server = Process::start(&["--threads", "2"]);
    eventually("nobody is there", || server.info("connected_clients") == "1");
    let before = server.files();
    for number in 0..CLIENTS {
        let mut client = server.connect();
        match number % 4 {
            0 => assert_eq!(client.line("PING"), "+PONG"),
            1 => client.send(b"*2\r\n$3\r\nGET\r\n$100\r\nhalf"),
            2 => client.send(b"SUBSCRIBE channel\r\n"),
            _ => {}
        }
    }
    eventually("they are forgotten", || server.info("connected_clients") == "1");
    eventually("their sockets are closed", || server.files() <= before);
}
