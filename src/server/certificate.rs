//! Who a client's certificate stands for: with `tls-auth-clients-user CN`, the ACL user that the common
//! name in its subject names. Whether a certificate is good is decided before, in the handshake.
//!
//! A certificate of somebody unknown, or of a user who is off, gives nothing and is refused nothing: the
//! client is as anonymous as without it. ACL LOG remembers it, as Redis does.

use std::sync::Arc;

use super::Server;
use super::clients::Client;
use super::stream::Stream;
use crate::acl::{Identity, User};
use crate::dispatch::remember_refusal;

/// What of a client's certificate names its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserField {
    /// Nothing.
    Off,
    /// The common name.
    CommonName,
}

/// Who a client is before it says anything.
pub fn identity(stream: &Stream, client: &Client, server: &Server) -> Identity {
    match user(stream, client, server) {
        None => Identity::new(&server.acl),
        Some(user) => {
            client.names.lock().user.clone_from(&user.name);
            Identity::of(&server.acl, user)
        }
    }
}

/// The user that the client has shown a certificate of.
pub fn user(stream: &Stream, client: &Client, server: &Server) -> Option<Arc<User>> {
    if server.config().tls_auth_clients_user == UserField::Off {
        return None;
    }
    let name = stream.certified_name()?;
    let user = server.acl.user(&name).filter(|user| user.is_enabled);
    if user.is_none() {
        let now_ms = server.store.clock.now_ms();
        let name = name.as_bytes();
        remember_refusal(server, client, now_ms, ["tls-cert", "toplevel"], name, name);
    }
    user
}
