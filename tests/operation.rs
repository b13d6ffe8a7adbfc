//! The server as its operator sees it: what it is started with, its files and sockets, and what it does with clients and
//! scripts that keep it waiting.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "hostile/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "support/scratch.rs"]
mod scratch;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::Command;

use process::{Client, LONG, Process, eventually};
use scratch::Scratch;

#[test]
fn commands_have_the_names_that_they_were_given() {
    let directory = Scratch::new("rename");
    let server =
        started_with(&directory, "rename-command GET FETCH\nrename-command FLUSHALL \"\"\n");
    let mut client = server.connect();
    assert_eq!(client.line("SET tea green"), "+OK");
    assert_eq!(client.line("FETCH nothing"), "$-1");
    assert!(client.line("GET tea").starts_with("-ERR unknown command 'GET'"));
    assert!(client.line("FLUSHALL").starts_with("-ERR unknown command 'FLUSHALL'"));
    assert_eq!(client.line("EXISTS tea"), ":1");
    // It is not there for those who ask, either.
    client.send(b"COMMAND INFO flushall get\r\n");
    assert_eq!(client.receive(14), "*2\r\n$-1\r\n$-1\r\n");
}

#[test]
fn a_unix_socket_is_served_like_any_other() {
    let directory = Scratch::new("unix-socket");
    let path = directory.path().join("socket");
    let _server =
        Process::start(&["--unixsocket", path.to_str().unwrap(), "--unixsocketperm", "700"]);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(b"SET tea green\r\nSTRLEN tea\r\n").unwrap();
    let mut reply = [0; 9];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"+OK\r\n:5\r\n");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn who_is_idle_is_closed_unless_he_listens() {
    let server = Process::start(&["--timeout", "1"]);
    let (mut idle, mut listening) = (server.connect(), server.connect());
    assert_eq!(idle.line("PING"), "+PONG");
    listening.send(b"SUBSCRIBE news\r\n");
    assert_eq!(listening.receive(31), "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1");
    let mut busy = server.connect();
    for _ in 0..12 {
        let reply = busy.ask(b"*3\r\n$4\r\nHGET\r\n$4\r\nshop\r\n$6\r\napples\r\n", 5);
        assert_eq!(reply, "$-1\r\n");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert_eq!(idle.rest(), "");
    listening.send(b"PING\r\n");
    assert!(listening.receive(9).contains("*2"));
}

/// The timer stands in /proc/net/tcp: `02` is that of keepalive probes, `00` none, and how long it still
/// runs in hundredths of a second.
#[test]
fn connections_are_probed_as_tcp_keepalive_says() {
    for (seconds, probed) in [("100", 90..=100), ("0", 0..=0), ("100000", 32_000..=32_767)] {
        let server = Process::start(&["--tcp-keepalive", seconds]);
        let mut redis = server.connect();
        assert_eq!(redis.line("PING"), "+PONG");
        let stream = std::net::TcpStream::connect(server.http).unwrap();
        let mut http = Client { stream };
        http.send(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert!(http.receive(15).starts_with("HTTP/1.1 200"));
        for port in [server.redis.port(), server.http.port()] {
            eventually("the timer of probes", || {
                let table = fs::read_to_string("/proc/net/tcp").unwrap();
                let local = format!(":{port:04X}");
                let is_accepted = |line: &&str| {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    words.len() > 5 && words[1].ends_with(&local) && words[3] == "01"
                };
                let line = table.lines().find(is_accepted).unwrap();
                let (kind, left) = line.split_whitespace().nth(5).unwrap().split_once(':').unwrap();
                let left_s = u64::from_str_radix(left, 16).unwrap() / 100;
                (kind == if seconds == "0" { "00" } else { "02" }) && probed.contains(&left_s)
            });
        }
    }
}

#[test]
fn the_service_manager_is_told() {
    let directory = Scratch::new("notify");
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(LONG)).unwrap();
    let line = format!("NOTIFY_SOCKET={} exec \"$@\"", path.display());
    let server = Process::start_in_shell(&line, &["--supervised", "systemd"]);
    let told = || {
        let mut state = [0; 1000];
        let len = manager.recv(&mut state).unwrap();
        String::from_utf8_lossy(&state[..len]).into_owned()
    };
    let state = told();
    assert!(state.lines().any(|line| line == "READY=1"), "{state}");
    server.terminate();
    let state = told();
    assert!(state.lines().any(|line| line == "STOPPING=1"), "{state}");
}

#[test]
fn a_log_that_was_moved_away_is_begun_anew() {
    let directory = Scratch::new("log");
    let (path, old) = (directory.path().join("log"), directory.path().join("log.1"));
    let log = ["--logfile", path.to_str().unwrap(), "--enable-debug-command", "yes"];
    let server = Process::start(&log);
    let mut client = server.connect();
    assert_eq!(client.line("DEBUG LOG first"), "+OK");
    wait_for(&path, "first");
    fs::rename(&path, &old).unwrap();
    let hung_up = Command::new("kill").args(["-HUP", &server.child.id().to_string()]).status();
    assert!(hung_up.unwrap().success());
    eventually("a new file", || path.exists());
    assert_eq!(client.line("DEBUG LOG second"), "+OK");
    wait_for(&path, "second");
    assert!(!fs::read_to_string(&old).unwrap().contains("second"));
}

#[test]
fn the_configuration_file_is_rewritten_and_its_comments_stay() {
    let directory = Scratch::new("rewrite");
    let text = "# about clients\nmaxclients 100\n\n# not to be lost\ntimeout 5\n";
    let server = started_with(&directory, text);
    let mut client = server.connect();
    assert_eq!(client.line("CONFIG SET timeout 77"), "+OK");
    assert_eq!(client.line("CONFIG SET slowlog-max-len 99"), "+OK");
    assert_eq!(client.line("CONFIG REWRITE"), "+OK");
    let text = fs::read_to_string(directory.path().join("pantry.conf")).unwrap();
    for wanted in [
        "# about clients\nmaxclients 100\n",
        "# not to be lost\ntimeout 77\n",
        "slowlog-max-len 99\n",
    ] {
        assert!(text.contains(wanted), "{text}");
    }
}

#[test]
fn users_are_kept_in_their_file() {
    let directory = Scratch::new("aclfile");
    let path = directory.path().join("users.acl");
    fs::write(&path, "user bob on nopass ~* +get\n").unwrap();
    let server = Process::start(&["--aclfile", path.to_str().unwrap()]);
    let mut client = server.connect();
    assert_eq!(client.line("ACL SETUSER alice on >secret ~tea* +get"), "+OK");
    assert_eq!(client.line("ACL SAVE"), "+OK");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("user alice on ") && text.contains("user bob on "), "{text}");
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(client.line("ACL DELUSER alice bob"), ":2");
    assert_eq!(client.line("ACL LOAD"), "+OK");
    assert_eq!(client.line("AUTH alice secret"), "+OK");
    assert!(client.line("GET milk").starts_with("-NOPERM "));
    // What can not be read changes nothing.
    fs::write(&path, "user alice on nonsense\n").unwrap();
    let mut other = server.connect();
    assert!(other.line("ACL LOAD").starts_with("-ERR "));
    assert_eq!(other.line("AUTH alice secret"), "+OK");
}

#[test]
fn a_script_that_does_not_end_is_told_of_and_can_be_killed() {
    let server = Process::start(&["--threads", "1", "--busy-reply-threshold", "50"]);
    let (mut stuck, mut other) = (server.connect(), server.connect());
    stuck.send(b"EVAL \"while true do end\" 0\r\n");
    eventually("it is busy", || other.line("GET tea").starts_with("-BUSY "));
    let refused =
        "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
    assert_eq!(other.line("GET tea"), refused);
    assert_eq!(other.line("FUNCTION KILL"), refused);
    assert_eq!(other.line("SCRIPT KILL"), "+OK");
    let killed = reply(&stuck);
    assert!(killed.contains("Script killed by user with SCRIPT KILL"), "{killed}");
    assert_eq!(other.line("GET tea"), "$-1");

    // One that has changed something would be half done.
    stuck.send(b"EVAL \"redis.call('SET', KEYS[1], 'x') while true do end\" 1 tea\r\n");
    eventually("it is busy", || other.line("GET tea").starts_with("-BUSY "));
    assert!(other.line("SCRIPT KILL").starts_with("-UNKILLABLE "));
}

/// A server with a configuration file.
fn started_with(directory: &Scratch, text: &str) -> Process {
    let path = directory.path().join("pantry.conf");
    fs::write(&path, text).unwrap();
    let line = format!("server=$1; shift; exec \"$server\" {} \"$@\"", path.display());
    Process::start_in_shell(&line, &[])
}

fn reply(client: &Client) -> String {
    let mut line = String::new();
    BufReader::new(&client.stream).read_line(&mut line).unwrap();
    line
}

fn wait_for(path: &Path, text: &str) {
    eventually(text, || fs::read_to_string(path).is_ok_and(|all| all.contains(text)));
}
