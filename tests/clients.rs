//! What clients hold in memory, over sockets: replies that they do not read, requests that are not
//! complete, what waits for the end of a pause; and where that ends.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use pantry::config::{BytesOrPercent, Config};
use pantry::journal::Journal;
use pantry::server::Server;
use pantry::server::client_memory::CONNECTION_BYTES;
use pantry::server::clients::Flag;
use pantry::store::turn::State;
use support::served::{assert_closed, assert_reads, assert_silent, block_on, send, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// More than the buffers of two sockets take, in requests of this size.
const ECHO_BYTES: usize = 100_000;
const ECHOS: usize = 160;
/// How long a test waits for what takes long on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

fn change(server: &Arc<Server>, change: impl FnOnce(&mut Config)) {
    server
        .change_config(|config| {
            change(config);
            Ok::<_, ()>(())
        })
        .unwrap();
}

fn echo() -> Vec<u8> {
    format!("*2\r\n$4\r\nECHO\r\n${ECHO_BYTES}\r\n{}\r\n", "x".repeat(ECHO_BYTES)).into_bytes()
}

async fn read_echos(client: &mut TcpStream, count: usize) {
    let one = format!("${ECHO_BYTES}\r\n{}\r\n", "x".repeat(ECHO_BYTES)).into_bytes();
    let mut read = vec![0; one.len()];
    for _ in 0..count {
        timeout(PATIENCE, client.read_exact(&mut read)).await.unwrap().unwrap();
        assert!(read == one);
    }
}

/// Sends a request but for its last bytes.
async fn begin(client: &mut TcpStream, bytes: usize) {
    let text = format!("*2\r\n$4\r\nECHO\r\n${bytes}\r\n{}", "x".repeat(bytes - 10));
    client.write_all(text.as_bytes()).await.unwrap();
}

async fn settle(is_done: impl Fn() -> bool) {
    for _ in 0..2000 {
        if is_done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not come about");
}

#[test]
fn who_sends_everything_before_it_reads_is_served() {
    block_on(async {
        let served = serve(Journal::discarding()).await;
        let mut client = served.connect().await;
        socket2::SockRef::from(&client).set_recv_buffer_size(1 << 16).unwrap();
        let requests = echo().repeat(ECHOS);
        let sent = timeout(PATIENCE, client.write_all(&requests)).await;
        sent.expect("the server does not read on").unwrap();
        let held = served.server.clients.bytes();
        assert!(held > ECHOS * ECHO_BYTES / 4, "replies are counted while they wait: {held}");
        read_echos(&mut client, ECHOS).await;
        send(&mut client, &["PING"]).await;
        assert_reads(&mut client, "+PONG\r\n").await;
        settle(|| served.server.clients.bytes() < 2 * CONNECTION_BYTES).await;
    });
}

#[test]
fn replies_that_are_held_are_bounded() {
    block_on(async {
        let served = serve(Journal::discarding()).await;
        change(&served.server, |config| config.client_reply_max_bytes = 1 << 20);
        let client = served.connect().await;
        socket2::SockRef::from(&client).set_recv_buffer_size(1 << 16).unwrap();
        let (mut reader, mut writer) = client.into_split();
        let requests = echo().repeat(ECHOS);
        let written = tokio::spawn(async move {
            writer.write_all(&requests).await.unwrap();
            writer
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!written.is_finished(), "nothing more is read once too much is held");
        let held = served.server.clients.bytes();
        assert!((1 << 20..3 << 20).contains(&held), "{held}");
        let mut left = ECHOS * (ECHO_BYTES + "$100000\r\n\r\n".len());
        let mut bytes = vec![0; 1 << 20];
        while left > 0 {
            let read = timeout(PATIENCE, reader.read(&mut bytes)).await;
            left -= read.unwrap().unwrap();
        }
        written.await.unwrap();
    });
}

#[test]
fn who_passes_the_limit_of_its_class_is_closed_unanswered() {
    block_on(async {
        let served = serve(Journal::discarding()).await;
        change(&served.server, |config| {
            config.client_output_buffer_limit.set(&["normal 100000 0 0"]).unwrap();
        });
        let mut modest = served.connect().await;
        send(&mut modest, &["SETRANGE large 90000 x", "GET large"]).await;
        assert_reads(&mut modest, ":90001\r\n$90001\r\n").await;
        change(&served.server, |config| {
            config.client_output_buffer_limit.set(&["normal 10 0 0"]).unwrap();
        });
        let mut small = served.connect().await;
        send(&mut small, &["ECHO much-more-than-ten-bytes"]).await;
        assert_reads(&mut small, "$24\r\nmuch-more-than-ten-bytes\r\n").await;

        let mut greedy = served.connect().await;
        send(&mut greedy, &["SETRANGE larger 200000 x"]).await;
        assert_reads(&mut greedy, ":200001\r\n").await;
        send(&mut greedy, &["GET larger"]).await;
        assert_closed(&mut greedy).await;
        assert_eq!(served.server.post.disconnections.load(Relaxed), 1);
        assert_eq!(served.server.clients.len(), 2, "it is not listed any more");
    });
}

#[test]
fn who_has_not_authenticated_may_not_let_replies_wait() {
    block_on(async {
        let served = serve(Journal::discarding()).await;
        change(&served.server, |config| config.requirepass = "secret".to_owned());
        let mut client = served.connect().await;
        let pings = b"PING\r\n".repeat(100_000);
        loop {
            let written = timeout(PATIENCE, client.write_all(&pings)).await;
            if written.expect("the server does not close").is_err() {
                break;
            }
        }
        assert_eq!(served.server.post.disconnections.load(Relaxed), 1);
    });
}

#[test]
fn clients_that_take_most_go_first() {
    block_on(async {
        let served = serve(Journal::discarding()).await;
        let clients = &served.server.clients;
        let mut spared = served.connect().await;
        send(&mut spared, &["CLIENT NO-EVICT ON"]).await;
        assert_reads(&mut spared, "+OK\r\n").await;
        let (mut large, mut small) = (served.connect().await, served.connect().await);
        begin(&mut spared, 2_000_000).await;
        begin(&mut large, 1_000_000).await;
        begin(&mut small, 500_000).await;
        settle(|| clients.bytes() >= 3_500_000).await;
        assert_eq!(clients.evicted(), 0, "there is no limit yet");

        change(&served.server, |config| {
            config.maxmemory_clients = BytesOrPercent::Bytes(3_200_000);
        });
        assert_closed(&mut large).await;
        assert_eq!((clients.evicted(), clients.len()), (1, 2));
        let mut third = served.connect().await;
        begin(&mut third, 900_000).await;
        assert_closed(&mut third).await;
        assert_eq!((clients.evicted(), clients.len()), (2, 2));
        assert_silent(&mut spared).await;
        assert_silent(&mut small).await;
    });
}

#[test]
fn who_leaves_while_paused_is_gone_at_once_and_so_are_its_commands() {
    block_on(async {
        let served = serve(Journal::discarding()).await;
        let (mut admin, mut client) = (served.connect().await, served.connect().await);
        send(&mut admin, &["CLIENT PAUSE 100000 WRITE"]).await;
        assert_reads(&mut admin, "+OK\r\n").await;
        send(&mut client, &["SET name v"]).await;
        settle(|| served.server.clients.list().iter().any(|it| it.has(Flag::Paused))).await;
        // What it sends meanwhile is read, but does not keep it.
        send(&mut client, &["SET name w"]).await;
        drop(client);
        settle(|| served.server.clients.len() == 1).await;
        send(&mut admin, &["CLIENT UNPAUSE", "GET name"]).await;
        assert_reads(&mut admin, "+OK\r\n$-1\r\n").await;
    });
}

#[test]
fn a_paused_command_runs_when_the_pause_ends_and_keeps_its_place() {
    block_on(async {
        let served = serve(Journal::discarding()).await;
        let (mut admin, mut client) = (served.connect().await, served.connect().await);
        send(&mut admin, &["CLIENT PAUSE 100000 WRITE"]).await;
        assert_reads(&mut admin, "+OK\r\n").await;
        send(&mut client, &["GET name", "SET name v", "GET name"]).await;
        assert_reads(&mut client, "$-1\r\n").await;
        assert_silent(&mut client).await;
        let paused = |client: &Arc<_>| pantry::server::clients::Client::has(client, Flag::Paused);
        assert_eq!(served.server.clients.list().iter().filter(|it| paused(it)).count(), 1);
        send(&mut admin, &["GET name", "CLIENT UNPAUSE"]).await;
        assert_reads(&mut admin, "$-1\r\n+OK\r\n").await;
        assert_reads(&mut client, "+OK\r\n$1\r\nv\r\n").await;
        assert!(!served.server.clients.list().iter().any(paused));
    });
}

/// What others find under `a` and `b` when the client of a script is closed that runs `first`, works
/// for a while and sets `b`.
fn found_after_its_client_is_gone(first: &str, found: &str) {
    block_on(async {
        let served = serve(Journal::discarding()).await;
        let (mut client, mut other) = (served.connect().await, served.connect().await);
        let (turn, gone) = (&served.server.store.turn, served.server.clients.list()[0].clone());
        // The runtime looks at other tasks after some dozens of the script's slices.
        let script = format!(
            "redis.call({first}) local began = os.clock() while os.clock() - began < 1 do end \
             redis.call('SET', 'b', 1)"
        );
        send(&mut client, &[&format!("EVAL \"{script}\" 2 a b")]).await;
        settle(|| turn.state() == State::Aside).await;
        gone.kill();
        send(&mut other, &["GET a", "GET b"]).await;
        assert_reads(&mut other, found).await;
    });
}

#[test]
fn a_script_that_has_changed_something_ends_whole_although_its_client_is_gone() {
    found_after_its_client_is_gone("'SET', 'a', 1", "$1\r\n1\r\n$1\r\n1\r\n");
}

#[test]
fn a_script_that_has_changed_nothing_ends_with_its_client() {
    found_after_its_client_is_gone("'GET', 'a'", "$-1\r\n$-1\r\n");
}
