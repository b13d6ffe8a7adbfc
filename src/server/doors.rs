//! The listening sockets of both doors: opened at start, moved by CONFIG SET port and bind.
//!
//! Who is let in, and which thread serves them, is [`super::listen`]'s matter.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::Server;
use super::listen::{self, Pool};
use crate::config::{Bind, Config};

/// Which door a listening socket belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// RESP.
    Redis,
    /// RESP under TLS.
    RedisTls,
    /// HTTP.
    Http,
    /// HTTP under TLS.
    HttpTls,
}

impl Door {
    /// Whether it speaks RESP.
    pub fn is_redis(self) -> bool {
        matches!(self, Door::Redis | Door::RedisTls)
    }
}

/// The sockets that are open. Nothing before the server serves, and in tests without sockets.
#[derive(Debug, Default)]
pub struct Doors(Mutex<Option<Open>>);

#[derive(Debug)]
struct Open {
    server: Arc<Server>,
    pool: Arc<Pool>,
    /// The event loop that accepts.
    handle: Handle,
    sockets: Vec<(Door, SocketAddr, AbortHandle)>,
}

impl Doors {
    /// Opens what the configuration says. The calling thread's event loop accepts from now on.
    ///
    /// # Errors
    /// When an address can not be listened on, or there is none.
    pub(super) fn open(server: &Arc<Server>, pool: &Arc<Pool>) -> Result<()> {
        let (server, pool) = (server.clone(), pool.clone());
        let config = server.config();
        let mut open =
            Open { server: server.clone(), pool, handle: Handle::current(), sockets: Vec::new() };
        open.server.tls.load(&config)?;
        open.open_redis(&config)?;
        open.open(Door::Http, &config.http_bind, config.http_port, &config)?;
        open.open(Door::HttpTls, &config.http_bind, config.http_tls_port, &config)?;
        #[cfg(unix)]
        open.open_unix(&config)?;
        if open.sockets.is_empty() && config.unixsocket.is_empty() {
            bail!("all ports are 0: there is no door to listen on");
        }
        *server.doors.0.lock() = Some(open);
        Ok(())
    }

    /// Moves the Redis door to where this configuration says, if it is open at all. Connections stay.
    ///
    /// # Errors
    /// When an address can not be listened on; then nothing is changed.
    pub fn move_redis(&self, config: &Config) -> Result<()> {
        match &mut *self.0.lock() {
            Some(open) => open.open_redis(config),
            None => Ok(()),
        }
    }

    /// Forgets the sockets when the server stops.
    pub(super) fn close(&self) {
        let Some(open) = self.0.lock().take() else { return };
        #[cfg(unix)]
        match &*open.server.config().unixsocket {
            "" => {}
            path => super::unix_socket::remove(path.as_ref()),
        }
        open.sockets.iter().for_each(|(_, _, task)| task.abort());
    }
}

impl Open {
    fn open_redis(&mut self, config: &Config) -> Result<()> {
        self.open(Door::Redis, &config.bind, config.port, config)?;
        self.open(Door::RedisTls, &config.bind, config.tls_port, config)
    }

    /// Opens the sockets that a door needs and does not have, then closes those it has and does not
    /// need.
    fn open(&mut self, door: Door, bind: &[Bind], port: u16, config: &Config) -> Result<()> {
        let wanted = bind.iter().filter(|_| port != 0);
        let wanted: Vec<(SocketAddr, bool)> =
            wanted.map(|bind| (SocketAddr::new(bind.address, port), bind.is_optional)).collect();
        let is_open =
            |at: SocketAddr| self.sockets.iter().any(|open| (open.0, open.1) == (door, at));
        let mut new = Vec::new();
        for &(at, is_optional) in wanted.iter().filter(|&&(at, _)| !is_open(at)) {
            match bind_to(at, config.tcp_backlog) {
                Ok(socket) => new.push((at, socket)),
                Err(error) if is_optional && is_missing(&error) => {
                    tracing::info!(%at, "is no address of this machine");
                }
                Err(error) => {
                    return Err(error).with_context(|| {
                        format!(
                            "can not listen on {at}: is another server running there, or the \
                             address wrong?"
                        )
                    });
                }
            }
        }
        self.sockets.retain(|(of, at, task)| {
            let stays = *of != door || wanted.iter().any(|(wanted, _)| wanted == at);
            if !stays {
                task.abort();
            }
            stays
        });
        let _in_loop = self.handle.enter();
        for (at, socket) in new {
            let listener = TcpListener::from_std(socket)?;
            tracing::info!(address = %listener.local_addr()?, door = ?door, "listening");
            let accept = listen::accept(self.server.clone(), self.pool.clone(), door, listener);
            let task = self.handle.spawn(accept).abort_handle();
            self.sockets.push((door, at, task));
        }
        Ok(())
    }

    #[cfg(unix)]
    fn open_unix(&mut self, config: &Config) -> Result<()> {
        let path = &config.unixsocket;
        if path.is_empty() {
            return Ok(());
        }
        let listener = super::unix_socket::listen(path.as_ref(), config.unixsocketperm)?;
        let listener = tokio::net::UnixListener::from_std(listener)?;
        tracing::info!(path, "listening");
        let path = Arc::from(path.as_str());
        self.handle.spawn(listen::accept_unix(
            self.server.clone(),
            self.pool.clone(),
            path,
            listener,
        ));
        Ok(())
    }
}

fn bind_to(at: SocketAddr, backlog: u32) -> io::Result<std::net::TcpListener> {
    let domain = if at.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 };
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(cfg!(unix))?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Whether the machine has no such address, or does not speak its protocol.
fn is_missing(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrNotAvailable, Unsupported};
    matches!(error.kind(), AddrNotAvailable | Unsupported) || error.raw_os_error() == Some(97)
}
