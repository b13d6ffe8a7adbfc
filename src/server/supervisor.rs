//! Tells a service manager that the server is ready or stops: systemd's `sd_notify` protocol, which is a
//! datagram to the socket that `NOTIFY_SOCKET` names.

use crate::config::Supervised;

/// Sends `state`, lines like `READY=1`, if the service manager is to be told.
pub fn notify(supervised: Supervised, state: &str) {
    let socket = std::env::var("NOTIFY_SOCKET").ok();
    match (supervised, socket) {
        (Supervised::No | Supervised::Auto, None) | (Supervised::No, Some(_)) => {}
        (Supervised::Systemd | Supervised::Auto, Some(socket)) => {
            if let Err(error) = send(&socket, state) {
                tracing::warn!(%error, socket, "systemd could not be told");
            }
        }
        (Supervised::Systemd, None) => {
            tracing::warn!("supervised is systemd, and NOTIFY_SOCKET is not set");
        }
        (Supervised::Upstart, _) => tracing::warn!("supervised upstart has no effect"),
    }
}

#[cfg(target_os = "linux")]
fn send(socket: &str, state: &str) -> std::io::Result<()> {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(|_| ())
}

/// There is no systemd.
#[cfg(not(target_os = "linux"))]
fn send(_socket: &str, _state: &str) -> std::io::Result<()> {
    Ok(())
}
