//! Clients of one thread whose requests arrive together: each is answered as if it were alone.
//!
//! Short requests, one a client, run in a row under one hold of what they touch. What several requests
//! of one client mean to each other is in `pipelines.rs`.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use pantry::journal::{Journal, Lsn};
use pantry::resp::ahead::AHEAD_MAX;
use pantry::sabotage::{self, Bug};
use support::served::{Served, assert_closed, assert_reads, assert_silent, block_on, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Clients that are more than one row holds.
const CLIENTS: usize = 40;

fn request(line: &str) -> Vec<u8> {
    let words: Vec<&str> = line.split(' ').collect();
    let bulks = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    bulks.fold(format!("*{}\r\n", words.len()), |request, bulk| request + &bulk).into_bytes()
}

async fn clients(server: &Served, count: usize) -> Vec<TcpStream> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(server.connect().await);
    }
    clients
}

/// Sends one request from each client, and nobody's turn is between them.
fn send_together(clients: &mut [TcpStream], line: impl Fn(usize) -> String) {
    for (number, client) in clients.iter_mut().enumerate() {
        let request = request(&line(number));
        assert_eq!(client.try_write(&request).unwrap(), request.len());
    }
}

async fn ask(client: &mut TcpStream, line: &str, reply: &str) {
    client.write_all(&request(line)).await.unwrap();
    assert_reads(client, reply).await;
}

async fn read_until(client: &mut TcpStream, end: &str) {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        assert_ne!(client.read_buf(&mut read).await.unwrap(), 0, "the connection was closed");
    }
}

/// Runs `test` with so many clients of a server whose commands panic when they are asked to.
fn where_commands_panic(count: usize, test: impl AsyncFnOnce(Served, Vec<TcpStream>)) {
    where_panics(Bug::CommandPanics, count, test);
}

/// The same of what panics with this bug.
fn where_panics(bug: Bug, count: usize, test: impl AsyncFnOnce(Served, Vec<TcpStream>)) {
    if !cfg!(debug_assertions) {
        println!("SKIPPED: deliberate bugs exist only in builds with debug assertions");
        return;
    }
    sabotage::with(bug, || {
        block_on(async {
            let server = serve(Journal::remembering(Lsn::MAX)).await;
            let clients = clients(&server, count).await;
            test(server, clients).await;
        });
    });
}

#[test]
fn everybody_gets_the_answer_to_what_it_has_asked() {
    block_on(async {
        let server = serve(Journal::discarding()).await;
        let mut clients = clients(&server, CLIENTS).await;
        for round in 0..3 {
            send_together(&mut clients, |n| format!("HSET shared key-{n} value-{n}-{round}"));
            for client in &mut clients {
                assert_reads(client, if round == 0 { ":1\r\n" } else { ":0\r\n" }).await;
            }
            send_together(&mut clients, |n| match n % 4 {
                0 => format!("HGET shared key-{n}"),
                1 => format!("SET own-{n} value"),
                2 => format!("HEXISTS shared key-{}", n + CLIENTS),
                _ => "GET shared".to_owned(),
            });
            for (n, client) in clients.iter_mut().enumerate() {
                let value = format!("value-{n}-{round}");
                let reply = match n % 4 {
                    0 => format!("${}\r\n{value}\r\n", value.len()),
                    1 => "+OK\r\n".to_owned(),
                    2 => ":0\r\n".to_owned(),
                    _ => "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
                        .to_owned(),
                };
                assert_reads(client, &reply).await;
            }
        }
    });
}

/// What others see of a client is as if its request had come alone.
#[test]
fn who_has_asked_is_known_to_have_asked() {
    block_on(async {
        let server = serve(Journal::discarding()).await;
        let mut clients = clients(&server, CLIENTS).await;
        server.server.store.clock.advance(Duration::from_secs(5));
        let now_ms = server.server.store.clock.now_ms();
        send_together(&mut clients[1..], |n| format!("SET own-{n} value"));
        for client in &mut clients[1..] {
            assert_reads(client, "+OK\r\n").await;
        }
        for (n, client) in server.server.clients.list().iter().enumerate() {
            let (active_ms, last) =
                (client.active_ms.load(Relaxed), client.last_command.load(Relaxed));
            assert_eq!((active_ms == now_ms, last != u32::MAX), (n > 0, n > 0), "{n}");
        }
        let commands = server.server.metrics[0].total_commands_processed.get();
        assert_eq!(commands, CLIENTS as u64 - 1);
    });
}

/// Some who come together with others need a closer look: none is forgotten, and none is let through.
#[test]
fn who_is_special_is_treated_so() {
    block_on(async {
        let server = serve(Journal::discarding()).await;
        let mut clients = clients(&server, CLIENTS).await;
        let wrong_count = "-ERR wrong number of arguments for 'hset' command\r\n";
        let no_permission = "-NOPERM User reader has no permissions to run the 'hset' command\r\n";
        ask(&mut clients[0], "ACL SETUSER reader on nopass ~* +hget", "+OK\r\n").await;
        ask(&mut clients[0], "AUTH reader any", "+OK\r\n").await;
        ask(&mut clients[1], "MULTI", "+OK\r\n").await;
        clients[2].write_all(&request("CLIENT REPLY OFF")).await.unwrap();
        ask(&mut clients[5], "SELECT 1", "+OK\r\n").await;
        for _ in 0..3 {
            send_together(&mut clients, |n| match n {
                3 => "HSET shared key".to_owned(),
                4 => "NOTHING shared".to_owned(),
                _ => format!("HSET shared key-{n} value"),
            });
            for (n, client) in clients.iter_mut().enumerate() {
                match n {
                    0 => assert_reads(client, no_permission).await,
                    1 => assert_reads(client, "+QUEUED\r\n").await,
                    2 => {}
                    3 => assert_reads(client, wrong_count).await,
                    4 => assert_reads(client, "-ERR unknown command").await,
                    _ => assert_reads(client, ":").await,
                }
            }
            // What is left of longer answers.
            for client in &mut clients[4..] {
                let mut rest = [0; 100];
                client.readable().await.unwrap();
                client.try_read(&mut rest).unwrap();
            }
        }
        assert_silent(&mut clients[2]).await;
        let there = CLIENTS - 5;
        ask(&mut clients[3], "HLEN shared", &format!(":{there}\r\n")).await;
        ask(&mut clients[5], "HLEN shared", ":1\r\n").await;
    });
}

/// Several requests of one client, between those of others, stay in their order.
#[test]
fn who_brings_more_is_served_in_order() {
    block_on(async {
        let server = serve(Journal::discarding()).await;
        let mut clients = clients(&server, CLIENTS).await;
        for (n, client) in clients.iter_mut().enumerate() {
            let own = format!("INCR own-{n}");
            let requests = [request(&own), request(&own)].concat();
            let sent = match n % 3 {
                0 => &requests[..],
                1 => &requests[..requests.len() / 2],
                _ => &requests[..requests.len() / 2 + 7],
            };
            assert_eq!(client.try_write(sent).unwrap(), sent.len());
        }
        for (n, client) in clients.iter_mut().enumerate() {
            assert_reads(client, if n % 3 == 0 { ":1\r\n:2\r\n" } else { ":1\r\n" }).await;
        }
        for (n, client) in clients.iter_mut().enumerate().filter(|(n, _)| n % 3 == 2) {
            let rest = &request(&format!("INCR own-{n}"))[7..];
            client.write_all(rest).await.unwrap();
            assert_reads(client, ":2\r\n").await;
        }
    });
}

/// Who reads something else is answered; who wrote, or saw what was written, waits.
#[test]
fn each_waits_for_what_it_has_seen_and_for_nothing_else() {
    block_on(async {
        let server = serve(Journal::remembering(0)).await;
        let store = &server.server.store;
        let journal = store.journal.clone();
        // Names of one stripe are seen together.
        let stripe = |name: &str| store.name(name.as_bytes()).stripe();
        let names = (0..).map(|number| format!("other-{number}"));
        let other = names.into_iter().find(|name| stripe(name) != stripe("written")).unwrap();
        let mut clients = clients(&server, CLIENTS).await;
        send_together(&mut clients, |n| match n % 2 {
            0 => format!("HSET written key-{n} value"),
            _ => format!("HGET {other} key"),
        });
        for client in clients.iter_mut().skip(1).step_by(2) {
            assert_reads(client, "$-1\r\n").await;
        }
        assert_silent(&mut clients[0]).await;
        journal.advance(journal.last());
        for client in clients.iter_mut().step_by(2) {
            assert_reads(client, ":1\r\n").await;
        }
    });
}

/// A panic costs the client whose command it was its connection, and nobody else anything: not those in the same row,
/// not what they have changed, and not the lock.
#[test]
fn a_panic_costs_one_connection() {
    where_commands_panic(CLIENTS, async |server, mut clients| {
        send_together(&mut clients, |n| match n {
            20 => "HSET shared key panic".to_owned(),
            21 => "HGET shared panic".to_owned(),
            // It is too long for the short way.
            22 => format!("HSET shared {} panic", "k".repeat(200)),
            _ => format!("HSET shared key-{n} value"),
        });
        for (n, client) in clients.iter_mut().enumerate() {
            match n {
                20..=22 => assert_closed(client).await,
                _ => assert_reads(client, ":1\r\n").await,
            }
        }
        ask(&mut clients[0], "HGET shared key-39", "$5\r\nvalue\r\n").await;
        // What the command had changed before it panicked is there, and in the journal.
        ask(&mut clients[0], "HGET shared key", "$5\r\npanic\r\n").await;
        let journaled = server.server.store.journal.batches().concat();
        for n in (0..20).chain(23..CLIENTS) {
            let key = format!("key-{n}value");
            assert!(journaled.windows(key.len()).any(|bytes| bytes == key.as_bytes()), "{n}");
        }
    });
}

/// A panic outside of a command costs no more than its row, and their thread goes on.
#[test]
fn a_panic_between_commands_costs_one_row() {
    where_panics(Bug::RowPanics, CLIENTS, async |server, mut clients| {
        send_together(&mut clients, |n| match n {
            20 => "HSET shared key panic".to_owned(),
            _ => format!("HSET shared key-{n} value"),
        });
        let mut left = Vec::new();
        for mut client in clients {
            let mut reply = Vec::new();
            if client.read_buf(&mut reply).await.unwrap_or(0) > 0 {
                assert_eq!(reply, b":1\r\n");
                left.push(client);
            }
        }
        let closed = CLIENTS - left.len();
        assert!((1..=AHEAD_MAX).contains(&closed), "{closed}");
        assert_eq!(server.server.clients.list().len(), left.len());
        send_together(&mut left, |n| format!("HSET others key-{n} value"));
        for client in &mut left {
            assert_reads(client, ":1\r\n").await;
        }
        ask(&mut left[0], "HLEN shared", &format!(":{}\r\n", CLIENTS - closed)).await;
        let mut new = server.connect().await;
        ask(&mut new, "HLEN others", &format!(":{}\r\n", CLIENTS - closed)).await;
    });
}

/// What earlier requests of that client have changed under the same lock is in the journal, and what it had
/// registered elsewhere goes with it.
#[test]
fn what_was_changed_before_a_panic_is_journaled() {
    where_commands_panic(2, async |server, mut clients| {
        clients[0].write_all(&request("HELLO 3")).await.unwrap();
        read_until(&mut clients[0], "modules\r\n*0\r\n").await;
        ask(&mut clients[0], "SUBSCRIBE news", ">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n")
            .await;
        ask(&mut clients[1], "PUBSUB NUMSUB news", "*2\r\n$4\r\nnews\r\n:1\r\n").await;
        let lines =
            ["HSET shared first one", "HSET shared second panic", "HSET shared third three"];
        let requests = lines.map(request).concat();
        clients[0].write_all(&requests).await.unwrap();
        assert_closed(&mut clients[0]).await;
        ask(&mut clients[1], "HGET shared first", "$3\r\none\r\n").await;
        ask(&mut clients[1], "HEXISTS shared third", ":0\r\n").await;
        let journaled = server.server.store.journal.batches().concat();
        for pair in ["firstone", "secondpanic"] {
            assert!(journaled.windows(pair.len()).any(|bytes| bytes == pair.as_bytes()), "{pair}");
        }
        ask(&mut clients[1], "PUBSUB NUMSUB news", "*2\r\n$4\r\nnews\r\n:0\r\n").await;
    });
}
