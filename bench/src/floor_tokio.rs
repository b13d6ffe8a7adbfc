//! The floor for a server on tokio: one current-thread runtime, a local task per connection, a constant per request.

use crate::Listen;
use crate::floor_reply::FloorReply;
use anyhow::Result;
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

const READ_BYTES: usize = 16 * 1024;

/// Serves until it is killed.
///
/// # Errors
/// When the port is taken.
pub fn run(listen: &Listen) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, listen.port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            // A connection's error ends the connection and nothing else.
            tokio::task::spawn_local(serve(stream));
        }
    })
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut scratch = vec![0; READ_BYTES];
    let mut reply = None;
    loop {
        let read = stream.read(&mut scratch).await?;
        if read == 0 {
            return Ok(());
        }
        let received = &scratch[..read];
        let reply = reply.get_or_insert_with(|| FloorReply::choose(received));
        let mut requests = FloorReply::requests(received);
        while requests > 0 {
            stream.write_all(reply.take(&mut requests)).await?;
        }
    }
}
