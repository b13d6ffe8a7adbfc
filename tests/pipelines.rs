//! Pipelines over real sockets: replies in order, changes neither lost nor doubled, and turns for all.
//!
//! What one command does is shown by the scripts; here it is what happens between commands that
//! arrive together, on several connections and worker threads.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[allow(dead_code)]
#[path = "hostile/process.rs"]
mod process;

use std::io::{ErrorKind, Write as _};
use std::process::Command;

use process::{Client, Process};

/// Bytes the server reads at once.
const READ_BYTES: usize = 128 * 1024;

fn request(words: &[&str]) -> String {
    let bulks = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    bulks.fold(format!("*{}\r\n", words.len()), |request, bulk| request + &bulk)
}

fn bulk(value: &str) -> String {
    format!("${}\r\n{value}\r\n", value.len())
}

/// Requests of one client, with the replies that are due where the client knows them.
struct Mix {
    state: u64,
    who: usize,
    own: Vec<Option<String>>,
    increments: u64,
}

impl Mix {
    const OWN: usize = 64;
    const SHARED: u64 = 8;

    fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.state >> 33) % bound
    }

    /// A request, and its reply unless others decide it.
    fn next(&mut self) -> (String, Option<String>) {
        let own = self.below(Mix::OWN as u64) as usize;
        // Odd ones are pairs: some in namespaces of their own, some in one for all.
        let name = format!("own-{}-{own}", self.who);
        let (space, is_pair) = (if own % 4 == 1 { "shared" } else { &name }, own % 2 == 1);
        let shared = format!("counter-{}", self.below(Mix::SHARED));
        match self.below(10) {
            0..=2 => {
                let value = format!("value-{}", self.below(1 << 30)).repeat(own % 5);
                let was_there = self.own[own].replace(value.clone()).is_some();
                if is_pair {
                    let reply = format!(":{}\r\n", u8::from(!was_there));
                    (request(&["HSET", space, &name, &value]), Some(reply))
                } else {
                    (request(&["SET", &name, &value]), Some("+OK\r\n".into()))
                }
            }
            3..=5 => {
                let reply = self.own[own].as_deref().map_or("$-1\r\n".into(), bulk);
                let words: &[&str] =
                    if is_pair { &["HGET", space, &name] } else { &["GET", &name] };
                (request(words), Some(reply))
            }
            6 => {
                self.increments += 1;
                (request(&["INCR", &shared]), None)
            }
            7 => {
                self.increments += 1;
                (request(&["HINCRBY", "counters", &shared, "1"]), None)
            }
            8 => {
                let was_there = self.own[own].take().is_some();
                let words: &[&str] =
                    if is_pair { &["HDEL", space, &name] } else { &["DEL", &name] };
                (request(words), Some(format!(":{}\r\n", u8::from(was_there))))
            }
            _ => (request(&["PING"]), Some("+PONG\r\n".into())),
        }
    }
}

/// Sends pipelines and checks every reply; returns how often it counted one up.
fn converse(mut client: Client, who: usize) -> u64 {
    let mut mix = Mix { state: who as u64, who, own: vec![None; Mix::OWN], increments: 0 };
    for round in 0..200 {
        let batch: Vec<_> = (0..1 + round % 70).map(|_| mix.next()).collect();
        let bytes: String = batch.iter().map(|(request, _)| request.as_str()).collect();
        client.send(bytes.as_bytes());
        for (request, expected) in batch {
            match expected {
                Some(expected) => assert_eq!(client.receive(expected.len()), expected, "{request}"),
                None => assert!(line(&mut client).starts_with(':'), "{request}"),
            }
        }
    }
    mix.increments
}

fn line(client: &mut Client) -> String {
    let mut line = String::new();
    while !line.ends_with("\r\n") {
        line += &client.receive(1);
    }
    line
}

#[test]
fn replies_come_in_order_and_no_change_is_lost() {
    let server = Process::start(&["--threads", "2"]);
    let increments: u64 = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|who| (server.connect(), who))
            .map(|(client, who)| scope.spawn(move || converse(client, who)))
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });

    let mut client = server.connect();
    let counted: u64 = (0..Mix::SHARED)
        .flat_map(|number| {
            let name = format!("counter-{number}");
            [request(&["INCRBY", &name, "0"]), request(&["HINCRBY", "counters", &name, "0"])]
        })
        .map(|request| {
            client.send(request.as_bytes());
            line(&mut client)[1..].trim_end().parse::<u64>().unwrap()
        })
        .sum();
    assert_eq!(counted, increments);
}

fn signal(server: &Process, name: &str) {
    let kill = Command::new("kill").args([name, &server.child.id().to_string()]).status();
    assert!(kill.unwrap().success());
}

/// Sends copies of `request` until nobody takes more, or `most` of them. Returns how many were sent.
fn fill(client: &mut Client, request: &[u8], most: usize) -> usize {
    let bytes = request.repeat(most);
    client.stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while sent < bytes.len() {
        match client.stream.write(&bytes[sent..]) {
            Ok(n) => sent += n,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                break;
            }
        }
    }
    client.stream.set_nonblocking(false).unwrap();
    sent / request.len()
}

#[test]
fn who_asks_once_does_not_wait_for_those_who_flood() {
    const FLOODERS: usize = 4;
    const BATCHES_MIN: usize = 8;
    const ASKERS: usize = 8;
    let count = request(&["INCR", "turns"]);
    let in_a_batch = READ_BYTES / count.len() + 1;
    // The server must hold still until everything has arrived: then what it runs first is its choice.
    let server = Process::start(&["--threads", "1"]);
    let mut flooders: Vec<Client> = (0..FLOODERS).map(|_| server.connect()).collect();
    let mut askers: Vec<Client> = (0..ASKERS).map(|_| server.connect()).collect();
    for client in flooders.iter_mut().chain(&mut askers) {
        assert_eq!(client.ask(b"PING\r\n", 7), "+PONG\r\n");
    }
    signal(&server, "-STOP");
    let most = 2 * BATCHES_MIN * in_a_batch;
    let sent: Vec<usize> = flooders.iter_mut().map(|it| fill(it, count.as_bytes(), most)).collect();
    askers.iter_mut().for_each(|asker| asker.send(count.as_bytes()));
    signal(&server, "-CONT");
    if sent.iter().any(|&sent| sent < BATCHES_MIN * in_a_batch) {
        println!("SKIPPED: the sockets' buffers take too little for a flood ({sent:?} requests)");
        return;
    }

    // Everyone gets a turn before anyone's third.
    for asker in &mut askers {
        let turn = line(asker)[1..].trim_end().parse::<usize>().unwrap();
        assert!(turn <= 2 * FLOODERS * in_a_batch + ASKERS, "{turn} of {sent:?}");
    }
    for (flooder, sent) in flooders.iter_mut().zip(sent) {
        let turns = (0..sent).map(|_| line(flooder)[1..].trim_end().parse::<usize>().unwrap());
        assert!(turns.is_sorted_by(|a, b| a < b), "each is counted once, in order");
    }
}
