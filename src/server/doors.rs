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
        let http = open.bound(Door::Http, &config.http_bind, config.http_port, &config)?;
        open.listen_only(http);
        let http_tls =
            open.bound(Door::HttpTls, &config.http_bind, config.http_tls_port, &config)?;
        open.listen_only(http_tls);
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

/// Where a door shall be open, and the sockets for that which are not there yet.
struct Bound {
    door: Door,
    wanted: Vec<SocketAddr>,
    new: Vec<(SocketAddr, TcpListener)>,
}

impl Open {
    /// With TLS and without, or nothing is changed.
    fn open_redis(&mut self, config: &Config) -> Result<()> {
        let plain = self.bound(Door::Redis, &config.bind, config.port, config)?;
        let tls = self.bound(Door::RedisTls, &config.bind, config.tls_port, config)?;
        self.listen_only(plain);
        self.listen_only(tls);
        Ok(())
    }

    /// The sockets that a door needs and does not have.
    fn bound(&self, door: Door, bind: &[Bind], port: u16, config: &Config) -> Result<Bound> {
        let wanted: Vec<&Bind> = bind.iter().filter(|_| port != 0).collect();
        let is_open =
            |at: SocketAddr| self.sockets.iter().any(|open| (open.0, open.1) == (door, at));
        let _in_loop = self.handle.enter();
        let mut bound = Bound { door, wanted: Vec::new(), new: Vec::new() };
        for bind in wanted {
            let at = SocketAddr::new(bind.address, port);
            bound.wanted.push(at);
            if is_open(at) {
                continue;
            }
            match bind_to(at, config.tcp_backlog).and_then(TcpListener::from_std) {
                Ok(listener) => bound.new.push((at, listener)),
                Err(error) if bind.is_optional && is_missing(&error) => {
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
        Ok(bound)
    }

    /// Closes the sockets that a door has and does not need, and accepts from the new ones.
    fn listen_only(&mut self, Bound { door, wanted, new }: Bound) {
        self.sockets.retain(|(of, at, task)| {
            let stays = *of != door || wanted.contains(at);
            if !stays {
                task.abort();
            }
            stays
        });
        for (at, listener) in new {
            let address = listener.local_addr().unwrap_or(at);
            tracing::info!(%address, door = ?door, "listening");
            let accept = listen::accept(self.server.clone(), self.pool.clone(), door, listener);
            let task = self.handle.spawn(accept).abort_handle();
            self.sockets.push((door, at, task));
        }
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
