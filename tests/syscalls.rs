//! What a request costs the kernel: one recv and one send, and not more than one wait before it.
//!
//! Counted by strace on the built server; where there is none, or it may not trace, the test says
//! SKIPPED. What the calls do is not looked at, nor how long they take.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[allow(dead_code)]
#[path = "hostile/process.rs"]
mod process;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use process::Process;

const REQUESTS: usize = 200;
/// strace writes a line when the call is over, which may be after its effect is seen.
const LINES_LATE: Duration = Duration::from_millis(300);
/// How often the server looks for what has expired, at least: it wakes up for that, too.
const TICK: Duration = Duration::from_millis(10);

#[test]
fn a_request_alone_costs_one_recv_and_one_send() {
    let traced = std::env::temp_dir().join(format!("pantry-syscalls-{}", std::process::id()));
    if let Err(why) = can_trace(&traced) {
        println!("SKIPPED: strace can not be used: {why}");
        return;
    }
    let calls = "epoll_wait,epoll_pwait,recvfrom,recvmsg,read,readv,sendto,sendmsg,write,writev";
    let strace = format!("exec strace -f -e trace={calls} -o {} \"$@\"", traced.display());
    let server = Process::start_in_shell(&strace, &["--threads", "1"]);
    let mut client = server.connect();
    let set = b"*4\r\n$4\r\nHSET\r\n$5\r\nspace\r\n$3\r\nkey\r\n$5\r\nvalue\r\n";
    let get = b"*3\r\n$4\r\nHGET\r\n$5\r\nspace\r\n$3\r\nkey\r\n";
    assert_eq!(client.ask(set, 4), ":1\r\n");
    std::thread::sleep(LINES_LATE);
    let before = lines(&traced).len();
    let began = Instant::now();
    for _ in 0..REQUESTS {
        assert_eq!(client.ask(get, 11), "$5\r\nvalue\r\n");
    }
    std::thread::sleep(LINES_LATE);
    let ticks = began.elapsed().as_millis() / TICK.as_millis();
    let lines = lines(&traced).split_off(before);
    client.send(b"SHUTDOWN NOSAVE\r\n");
    client.rest();
    std::fs::remove_file(&traced).unwrap();

    let count = |is_it: &dyn Fn(&str) -> bool| lines.iter().filter(|line| is_it(line)).count();
    let receives = ["recvfrom(", "recvmsg(", "read(", "readv("];
    let sends = ["sendto(", "sendmsg(", "write(", "writev("];
    let one_of = |names: [&str; 4], line: &str, what: &str| {
        names.iter().any(|name| line.contains(name)) && line.contains(what)
    };
    assert_eq!(count(&|line| one_of(receives, line, "HGET")), REQUESTS, "receives");
    assert_eq!(count(&|line| one_of(sends, line, "value")), REQUESTS, "sends");
    assert_eq!(count(&|line| line.contains("EAGAIN")), 0, "calls in vain");
    let waits = count(&|line| line.contains("epoll_") && !line.contains("resumed"));
    assert!(waits <= REQUESTS + ticks as usize, "{waits} waits, {ticks} ticks");
}

fn can_trace(to: &Path) -> Result<(), String> {
    let tried = Command::new("strace").arg("-o").arg(to).arg("true").output();
    let output = tried.map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}
