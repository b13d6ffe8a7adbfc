//! Large values are not copied on the way out, hold up nobody while they are sent, and cost what they
//! are on the way in.
//!
//! In a binary of its own, because it counts what the process allocates. Only this thread is counted.
#![allow(clippy::unwrap_used, unsafe_code)]

#[allow(dead_code)]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use pantry::journal::Journal;
use support::served::{assert_reads, block_on, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

thread_local! {
    /// Bytes of all allocations so far that could hold a large value.
    static LARGE_BYTES: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: hands everything on to the system's allocator, as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size);
        // SAFETY: the caller keeps `realloc`'s contract.
        unsafe { System.realloc(at, layout, new_size) }
    }
}

fn count(bytes: usize) {
    if bytes >= 16 * 1024 {
        // A thread that is ending has no counter any more.
        let _ = LARGE_BYTES.try_with(|sum| sum.set(sum.get() + bytes));
    }
}

const MIB: usize = 1 << 20;

fn value(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| ((at * 31 + seed) % 251) as u8).collect()
}

fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    words.iter().for_each(|word| bytes.extend(bulk(word)));
    bytes
}

fn bulk(word: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", word.len()).as_bytes(), word, b"\r\n"].concat()
}

/// Sends and lets the server's task read meanwhile.
async fn ask(client: &mut TcpStream, words: &[&[u8]], reply: &str) {
    client.write_all(&request(words)).await.unwrap();
    assert_reads(client, reply).await;
}

/// Reads as many bytes as `into` has room for.
async fn read(client: &mut TcpStream, into: &mut [u8]) {
    client.read_exact(into).await.unwrap();
}

#[test]
fn nothing_is_copied_for_who_reads() {
    block_on(async {
        let served = serve(Journal::discarding()).await;
        let mut client = served.connect().await;
        let (first, second) = (value(4 * MIB, 1), value(16 * 1024, 2));
        ask(&mut client, &[b"SET", b"string", &first], "+OK\r\n").await;
        ask(&mut client, &[b"HSET", b"space", b"first", &first, b"second", &second], ":2\r\n")
            .await;
        let (bulks, pair) = (
            [bulk(&first), bulk(&second)].concat(),
            [&b"*2\r\n"[..], &bulk(&first), &bulk(&first)].concat(),
        );
        let reads: &[(&[&[u8]], Vec<u8>)] = &[
            (&[b"GET", b"string"], bulk(&first)),
            (&[b"MGET", b"string", b"string"], pair),
            (&[b"HGET", b"space", b"first"], bulk(&first)),
            (&[b"HMGET", b"space", b"first", b"second"], [b"*2\r\n", &bulks[..]].concat()),
        ];
        for (words, expected) in reads {
            let request = request(words);
            let mut reply = vec![0; expected.len()];
            let before = LARGE_BYTES.get();
            client.write_all(&request).await.unwrap();
            read(&mut client, &mut reply).await;
            assert_eq!(LARGE_BYTES.get() - before, 0, "{}", words[0].escape_ascii());
            assert!(reply == *expected, "{}", words[0].escape_ascii());
        }
        for (command, len) in [("HGETALL", 4), ("HVALS", 2)] {
            let before = LARGE_BYTES.get();
            client.write_all(&request(&[command.as_bytes(), b"space"])).await.unwrap();
            assert_reads(&mut client, &format!("*{len}\r\n")).await;
            let keys = if len == 4 { bulk(b"first").len() + bulk(b"second").len() } else { 0 };
            let mut left = keys + bulks.len();
            let mut piece = [0; 4096];
            while left > 0 {
                left -= client.read(&mut piece).await.unwrap();
            }
            assert_eq!(LARGE_BYTES.get() - before, 0, "{command}");
        }
    });
}

#[test]
fn a_slow_reader_gets_what_was_there_and_holds_up_nobody() {
    const REQUESTS: usize = 8;
    block_on(async {
        let served = serve(Journal::discarding()).await;
        let (mut slow, mut other) = (served.connect().await, served.connect().await);
        let (old, new) = (value(4 * MIB, 1), value(4 * MIB, 2));
        ask(&mut other, &[b"HSET", b"space", b"key", &old, b"small", b"1"], ":2\r\n").await;
        let mut reply = vec![0; bulk(&old).len()];
        let before = LARGE_BYTES.get();
        slow.write_all(&request(&[b"HGET", b"space", b"key"]).repeat(REQUESTS)).await.unwrap();
        // The server has begun to send, and can not go on.
        slow.readable().await.unwrap();
        ask(&mut other, &[b"HINCRBY", b"space", b"small", b"1"], ":2\r\n").await;
        assert_eq!(LARGE_BYTES.get() - before, 0, "nothing large for replies that wait");
        // Neither replacing nor deleting the value changes what is being sent.
        ask(&mut other, &[b"HSET", b"space", b"key", &new], ":0\r\n").await;
        ask(
            &mut other,
            &[b"HPEXPIRE", b"space", b"100000", b"FIELDS", b"1", b"key"],
            "*1\r\n:1\r\n",
        )
        .await;
        read(&mut slow, &mut reply).await;
        assert!(reply == bulk(&old));
        ask(&mut other, &[b"DEL", b"space"], ":1\r\n").await;
        for _ in 1..REQUESTS {
            let mut head = [0; 3];
            read(&mut slow, &mut head).await;
            if head == *b"$-1" {
                read(&mut slow, &mut head[..2]).await;
                continue;
            }
            read(&mut slow, &mut reply[3..]).await;
            assert!([&head, &reply[3..]].concat() == bulk(&old) || reply[3..] == bulk(&new)[3..]);
        }
    });
}

#[test]
fn what_arrives_in_pieces_costs_a_multiple_of_its_size() {
    block_on(async {
        let served = serve(Journal::discarding()).await;
        let mut client = served.connect().await;
        let sent = value(16 * MIB, 3);
        let request = request(&[b"SET", b"string", &sent]);
        let before = LARGE_BYTES.get();
        for piece in request.chunks(10_000) {
            client.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_reads(&mut client, "+OK\r\n").await;
        let allocated = LARGE_BYTES.get() - before;
        // Where it arrives, in steps that double; the store's own; the effect.
        assert!(allocated <= 6 * sent.len(), "{allocated} for {}", sent.len());
        client.write_all(b"GET string\r\n").await.unwrap();
        let mut reply = vec![0; bulk(&sent).len()];
        read(&mut client, &mut reply).await;
        assert!(reply == bulk(&sent));
    });
}

#[test]
fn a_deadline_is_changed_without_its_value() {
    block_on(async {
        let served = serve(Journal::discarding()).await;
        let mut client = served.connect().await;
        let large = value(MIB, 4);
        ask(&mut client, &[b"HSET", b"space", b"key", &large], ":1\r\n").await;
        for (command, reply) in [
            ("HPEXPIRE space 100000 FIELDS 1 key\r\n", "*1\r\n:1\r\n"),
            ("HPERSIST space FIELDS 1 key\r\n", "*1\r\n:1\r\n"),
            ("HPTTL space FIELDS 1 key\r\n", "*1\r\n:-1\r\n"),
        ] {
            let before = LARGE_BYTES.get();
            client.write_all(command.as_bytes()).await.unwrap();
            assert_reads(&mut client, reply).await;
            assert_eq!(LARGE_BYTES.get() - before, 0, "{command}");
        }
    });
}
