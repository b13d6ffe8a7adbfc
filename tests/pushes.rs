//! What a connection is sent beside its replies, over a socket: order, the journal's gate, limits. What
//! is sent to whom is shown by the scripts of the commands.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use pantry::config::Class;
use pantry::events::feed::{Filter, Next, What};
use pantry::journal::Journal;
use support::Harness;
use support::served::{Served, assert_closed, assert_reads, assert_silent, block_on, send, serve};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

const SUBSCRIBED: &str = "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n";

async fn subscriber(served: &Served) -> TcpStream {
    let mut client = served.connect().await;
    send(&mut client, &["SUBSCRIBE news"]).await;
    assert_reads(&mut client, SUBSCRIBED).await;
    client
}

fn message(payload: &str) -> String {
    format!("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n${}\r\n{payload}\r\n", payload.len())
}

#[test]
fn messages_come_in_the_order_of_publishing_and_stand_between_replies() {
    block_on(async {
        let served = serve(Journal::discarding()).await;
        let mut subscriber = subscriber(&served).await;
        let mut publisher = served.connect().await;
        send(&mut publisher, &["PUBLISH news a", "PUBLISH news b", "PING", "PUBLISH news c"]).await;
        assert_reads(&mut publisher, ":1\r\n:1\r\n+PONG\r\n:1\r\n").await;
        let all = ["a", "b", "c"].map(message).concat();
        assert_reads(&mut subscriber, &all).await;

        // To itself: a message follows the reply of the command that sent it.
        let mut both = served.connect().await;
        send(&mut both, &["HELLO 3", "SUBSCRIBE news"]).await;
        let mut greeting = [0; 4096];
        let mut seen = Vec::new();
        while !seen.ends_with(b":1\r\n") {
            let len = both.read(&mut greeting).await.unwrap();
            seen.extend_from_slice(&greeting[..len]);
        }
        send(&mut both, &["PUBLISH news d", "PING", "PUBLISH news e"]).await;
        let (d, e) = (message("d").replacen('*', ">", 1), message("e").replacen('*', ">", 1));
        assert_reads(&mut both, &format!(":2\r\n{d}+PONG\r\n:2\r\n{e}")).await;
        assert_reads(&mut subscriber, &["d", "e"].map(message).concat()).await;
    });
}

#[test]
fn a_message_waits_for_what_its_publisher_did_before() {
    block_on(async {
        let served = serve(Journal::remembering(0)).await;
        let mut subscriber = subscriber(&served).await;
        let mut publisher = served.connect().await;
        send(&mut publisher, &["PUBLISH news early"]).await;
        assert_reads(&mut subscriber, &message("early")).await;
        assert_reads(&mut publisher, ":1\r\n").await;
        send(&mut publisher, &["SET tea green", "PUBLISH news late"]).await;
        assert_silent(&mut subscriber).await;
        assert_silent(&mut publisher).await;
        served.server.store.journal.advance(1);
        assert_reads(&mut subscriber, &message("late")).await;
        assert_reads(&mut publisher, "+OK\r\n:1\r\n").await;
    });
}

#[test]
fn who_does_not_read_is_cut_and_nobody_else() {
    block_on(async {
        let served = serve(Journal::discarding()).await;
        let limit = |config: &mut pantry::config::Config| {
            config.client_output_buffer_limit.set(&["pubsub", "1mb", "0", "0"])
        };
        served.server.change_config(limit).unwrap();
        let limits = served.server.config().client_output_buffer_limit;
        assert_eq!(limits.of(Class::Pubsub).hard_bytes, 1 << 20);
        let mut deaf = subscriber(&served).await;
        let mut reader = subscriber(&served).await;
        let mut publisher = served.connect().await;
        let payload = "x".repeat(32 * 1024);
        let expected = message(&payload);
        for round in 0..400 {
            send(&mut publisher, &[&format!("PUBLISH news {payload}")]).await;
            assert_reads(&mut reader, &expected).await;
            let mut reply = [0; 4];
            publisher.read_exact(&mut reply).await.unwrap();
            if &reply == b":1\r\n" {
                assert!(round > 15, "the limit is not reached yet");
                let cut =
                    served.server.post.disconnections.load(std::sync::atomic::Ordering::Relaxed);
                assert_eq!(cut, 1);
                let mut rest = Vec::new();
                let _ =
                    timeout(Duration::from_secs(20), deaf.read_to_end(&mut rest)).await.unwrap();
                assert_closed(&mut deaf).await;
                return;
            }
        }
        panic!("it was never cut");
    });
}

#[test]
fn the_table_of_readers_is_limited() {
    let mut harness = Harness::new(Journal::discarding());
    for line in ["HELLO 3", "CONFIG SET tracking-table-max-keys 1", "CLIENT TRACKING ON", "GET tea"]
    {
        harness.run(line);
    }
    assert!(harness.pushes("a").is_empty());
    harness.run("GET milk");
    assert_eq!(harness.server.tracking.counts().names, 1);
    let told = harness.pushes("a");
    assert!(told.starts_with(b">2\r\n$10\r\ninvalidate\r\n*1\r\n"), "{}", told.escape_ascii());
}

/// The table is locked while names are forgotten, so that many are forgotten little by little.
#[test]
fn a_limit_that_is_lowered_is_reached_in_steps() {
    let mut harness = Harness::new(Journal::discarding());
    harness.run("HELLO 3");
    harness.run("CLIENT TRACKING ON");
    (0..2500).for_each(|number| drop(harness.run(&format!("GET name-{number}"))));
    let names = |harness: &Harness| harness.server.tracking.counts().names;
    harness.run("CONFIG SET tracking-table-max-keys 10");
    assert_eq!(names(&harness), 1500);
    harness.run("GET more");
    assert!(names(&harness) <= 500, "more go than come");
    harness.server.tracking.forget_some();
    assert_eq!((names(&harness), harness.server.tracking.counts().items), (10, 10));
    let told = harness.pushes("a");
    let count = told.windows(10).filter(|bytes| bytes == b"invalidate").count();
    assert_eq!(count, 2500 + 1 - 10, "each is told once");
}

#[test]
fn a_feed_shows_what_happens_to_a_name_and_goes_on_where_it_was() {
    block_on(async {
        let served = serve(Journal::remembering(0)).await;
        let feed = &served.server.feed;
        let filter = Filter { db: 0, name: Some(b"shop"[..].into()), key: None };
        let mut watch = feed.watch(filter.clone(), None);
        let mut client = served.connect().await;
        send(&mut client, &["HSET shop apples 3", "SET tea green", "HSET shop pears 4"]).await;
        let early = timeout(Duration::from_millis(100), watch.next()).await;
        assert!(early.is_err(), "nothing is safe yet: {early:?}");
        served.server.store.journal.advance(2);
        let Next::Change(first) = watch.next().await else { panic!("a gap") };
        assert_eq!((first.what, first.cause.event()), (What::Put, "hset"));
        assert_eq!(first.key.as_deref(), Some(&b"apples"[..]));
        assert_eq!(first.value.as_deref(), Some(&b"3"[..]));
        served.server.store.journal.advance(100);
        let Next::Change(second) = watch.next().await else { panic!("a gap") };
        assert_eq!(second.key.as_deref(), Some(&b"pears"[..]));

        // Somebody comes back and goes on after the first.
        drop(watch);
        send(&mut client, &["DEL shop", "FLUSHALL"]).await;
        assert_reads(&mut client, ":1\r\n+OK\r\n:1\r\n:1\r\n+OK\r\n").await;
        let mut watch = feed.watch(filter.clone(), Some(first.place));
        let mut shown = Vec::new();
        for _ in 0..3 {
            let Next::Change(change) = watch.next().await else { panic!("a gap") };
            shown.push(change.what);
        }
        assert_eq!(shown, [What::Put, What::Dropped, What::Reset]);

        // What is not known any more is a gap, and then it goes on.
        let unknown = pantry::events::feed::Place { lsn: 999, index: 0 };
        let mut watch = feed.watch(filter, Some(unknown));
        assert_eq!(watch.next().await, Next::Gap);
        send(&mut client, &["HSET shop plums 1"]).await;
        let Next::Change(change) = watch.next().await else { panic!("a gap") };
        assert_eq!(change.key.as_deref(), Some(&b"plums"[..]));
    });
}
