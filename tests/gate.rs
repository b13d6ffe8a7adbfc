//! The gate: a reply that shows something which the journal does not hold safe yet does not leave.
//!
//! What a session's replies depend on is tested through the spine, that they are held over a socket.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use pantry::journal::{Journal, Lsn, Passage, Seen};
use support::Harness;
use support::served::{assert_closed, assert_reads, assert_silent, block_on, serve};
use tokio::io::AsyncWriteExt;

/// The LSN that a client's replies depend on after a command.
fn touched(harness: &mut Harness, client: &str, line: &str) -> Lsn {
    let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    harness.execute(client, &words);
    harness.session(client).unwrap().seen.touched
}

fn has_passed(journal: &Journal, lsn: Lsn) -> bool {
    journal.passage(Seen { touched: lsn, wrote: 0 }) == Passage::Open
}

#[test]
fn writers_depend_on_what_they_wrote_and_readers_on_what_they_saw() {
    let mut harness = Harness::new(Journal::remembering(0));
    assert_eq!(touched(&mut harness, "idle", "GET tea"), 0, "nothing has happened yet");
    assert_eq!(touched(&mut harness, "writer", "SET tea green"), 1);
    assert_eq!(touched(&mut harness, "writer", "HSET shop apples 3"), 2);
    assert_eq!(touched(&mut harness, "reader", "GET tea"), 1);
    assert_eq!(touched(&mut harness, "other", "HGET shop apples"), 2);
    assert_eq!(touched(&mut harness, "reader", "GET tea"), 1, "it has not seen the second");
    assert_eq!(touched(&mut harness, "idle", "PING"), 0);
    assert_eq!(touched(&mut harness, "lister", "KEYS *"), 2);
    assert_eq!(harness.server.store.journal.last(), 2);
    assert!(!has_passed(&harness.server.store.journal, 1));
}

/// Who is told that something is not there has seen that it is gone.
#[test]
fn what_is_gone_was_seen_too() {
    let mut harness = Harness::new(Journal::remembering(0));
    touched(&mut harness, "writer", "SET tea green");
    assert_eq!(touched(&mut harness, "writer", "DEL tea"), 2);
    assert_eq!(touched(&mut harness, "reader", "GET tea"), 2);
    assert_eq!(touched(&mut harness, "second", "DEL tea"), 2, "it changed nothing, but saw it");
    touched(&mut harness, "writer", "SET tea green PX 10");
    harness.advance(Duration::from_millis(10));
    harness.reap();
    assert_eq!(harness.server.store.journal.last(), 4, "reaping is journaled");
    assert_eq!(touched(&mut harness, "third", "GET tea"), 4);
}

#[test]
fn a_transaction_is_one_batch_and_depends_on_all_it_saw() {
    let mut harness = Harness::new(Journal::remembering(0));
    touched(&mut harness, "writer", "SET tea green");
    touched(&mut harness, "writer", "SET milk white");
    for line in ["MULTI", "GET tea", "SET sugar 1", "HSET shop apples 3"] {
        assert_eq!(touched(&mut harness, "a", line), 0, "nothing was run: {line}");
    }
    assert_eq!(touched(&mut harness, "a", "EXEC"), 3);
    assert_eq!(harness.server.store.journal.batches().len(), 3);
    for line in ["MULTI", "GET tea", "GET milk"] {
        touched(&mut harness, "b", line);
    }
    // It only read, but the stripe of `tea` took part in the last batch.
    assert_eq!(touched(&mut harness, "b", "EXEC"), 3);
    touched(&mut harness, "c", "WATCH tea");
    touched(&mut harness, "writer", "SET tea black");
    touched(&mut harness, "c", "MULTI");
    assert_eq!(touched(&mut harness, "c", "EXEC"), 4, "nil says that somebody wrote");
}

#[test]
fn the_mark_only_moves_forward() {
    let journal = Journal::remembering(0);
    assert!(has_passed(&journal, 0) && !has_passed(&journal, 1));
    journal.advance(3);
    journal.advance(2);
    assert!(has_passed(&journal, 3) && !has_passed(&journal, 4));
    assert!(has_passed(&Journal::discarding(), Lsn::MAX));
}

#[test]
fn a_reply_is_held_until_the_mark_has_passed() {
    block_on(async {
        let server = serve(Journal::remembering(0)).await;
        let mut writer = server.connect().await;
        writer.write_all(b"SET tea green\r\nPING\r\n").await.unwrap();
        assert_silent(&mut writer).await;
        let mut reader = server.connect().await;
        reader.write_all(b"GET tea\r\n").await.unwrap();
        assert_silent(&mut reader).await;
        // Who depends on nothing is served meanwhile.
        let mut other = server.connect().await;
        other.write_all(b"PING\r\n").await.unwrap();
        assert_reads(&mut other, "+PONG\r\n").await;
        server.server.store.journal.advance(1);
        assert_reads(&mut writer, "+OK\r\n+PONG\r\n").await;
        assert_reads(&mut reader, "$5\r\ngreen\r\n").await;
    });
}

/// What a client sends while its replies are held is not run, so that output can not pile up.
#[test]
fn nothing_is_run_while_output_is_held() {
    block_on(async {
        let server = serve(Journal::remembering(0)).await;
        let journal = &server.server.store.journal;
        let mut client = server.connect().await;
        client.write_all(b"SET tea green\r\n").await.unwrap();
        assert_silent(&mut client).await;
        client.write_all(b"SET tea black\r\n").await.unwrap();
        assert_silent(&mut client).await;
        assert_eq!(journal.last(), 1);
        journal.advance(1);
        assert_reads(&mut client, "+OK\r\n").await;
        assert_silent(&mut client).await;
        assert_eq!(journal.last(), 2);
        journal.advance(2);
        assert_reads(&mut client, "+OK\r\n").await;
    });
}

/// QUIT is answered after what it waits for; a client that is killed does not wait.
#[test]
fn a_held_connection_can_be_closed() {
    block_on(async {
        let server = serve(Journal::remembering(0)).await;
        let mut client = server.connect().await;
        client.write_all(b"SET tea green\r\nQUIT\r\n").await.unwrap();
        assert_silent(&mut client).await;
        server.server.store.journal.advance(1);
        assert_reads(&mut client, "+OK\r\n+OK\r\n").await;
        assert_closed(&mut client).await;
        let mut killed = server.connect().await;
        killed.write_all(b"SET tea black\r\n").await.unwrap();
        assert_silent(&mut killed).await;
        let clients = server.server.clients.list();
        clients.last().unwrap().kill();
        assert_closed(&mut killed).await;
    });
}
