//! Checks what a client may do, and remembers what it was refused. Who may do everything does not come
//! here. Rights are [`crate::acl`]'s matter.

use std::sync::atomic::Ordering::Relaxed;

use super::Executor;
use crate::acl::{Denied, catalog, log};
use crate::command::{self, Spec};
use crate::error::{Error, Result};
use crate::resp::request::Args;
use crate::server::Server;
use crate::server::clients::Client;
use crate::session::Session;

impl Executor<'_> {
    /// Checks a command that a client has sent or queued.
    ///
    /// # Errors
    /// NOAUTH or NOPERM.
    #[cold]
    pub(super) fn check_rights(
        &self,
        session: &mut Session,
        spec: &'static Spec,
        args: Args<'_>,
    ) -> Result {
        if !session.identity.refresh(&self.server.acl) {
            session.should_close = true;
            return Err(Error::NoAuth);
        }
        if spec.command.flags.no_auth {
            return Ok(());
        }
        if !session.identity.is_authenticated() {
            return Err(Error::NoAuth);
        }
        // It is shown with what it was refused.
        session.client.last_command.store(spec.index as u32, Relaxed);
        let context = if session.transaction.is_some() { "multi" } else { "toplevel" };
        let result = self.check_user(session, spec, args, context);
        result.map_err(|denied| Error::NoPerm(self.text(session, spec, denied).into()))
    }

    /// Checks a command that EXEC is about to run; rights may have changed since it was queued.
    ///
    /// # Errors
    /// NOPERM.
    #[cold]
    pub(super) fn check_queued_rights(
        &self,
        session: &mut Session,
        spec: &'static Spec,
        args: Args<'_>,
    ) -> Result {
        session.identity.refresh(&self.server.acl);
        self.check_user(session, spec, args, "multi").map_err(|denied| {
            let reason = match denied {
                Denied::Command => "no permission to execute the command or subcommand",
                Denied::Key(_) => "no permission to touch the specified keys",
                Denied::Channel(_) => {
                    "no permission to access one of the channels used as arguments to the command"
                }
            };
            Error::NoPerm(
                format!(
                    "ACLs rules changed between the moment the transaction was accumulated and the \
                     EXEC call. This command is no longer allowed for the following reason: {reason}"
                )
                .into(),
            )
        })
    }

    /// Checks a command that a script calls as its client.
    ///
    /// # Errors
    /// NOPERM.
    pub(super) fn check_script_rights(
        &self,
        session: &mut Session,
        spec: &'static Spec,
        args: Args<'_>,
    ) -> Result {
        if session.identity.is_free(&self.server.acl) {
            return Ok(());
        }
        session.identity.refresh(&self.server.acl);
        self.check_user(session, spec, args, "lua").map_err(|denied| {
            let text = self.text(session, spec, denied);
            Error::NoPerm(format!("ACL failure in script: {text}").into())
        })
    }

    /// Whether the session's user may run a command with these arguments; `None` if there is no such
    /// command. Remembers nothing.
    pub fn may_run(&self, session: &mut Session, args: Args<'_>) -> Option<bool> {
        let at = catalog().find_in(args)?;
        session.identity.refresh(&self.server.acl);
        Some(session.identity.user().check(&catalog().entries[at], args).is_ok())
    }

    fn check_user(
        &self,
        session: &Session,
        spec: &'static Spec,
        args: Args<'_>,
        context: &'static str,
    ) -> Result<(), Denied> {
        let entry = &catalog().entries[spec.index];
        let user = session.identity.user();
        let result = user.check(entry, args);
        if let Err(denied) = result {
            let object = match denied {
                Denied::Command => spec.full_name.as_bytes(),
                Denied::Key(at) | Denied::Channel(at) => args.get(at),
            };
            self.log_refusal(session, denied.reason(), context, object, user.name.as_bytes());
        }
        result
    }

    /// Adds to ACL LOG.
    pub fn log_refusal(
        &self,
        session: &Session,
        reason: &'static str,
        context: &'static str,
        object: &[u8],
        username: &[u8],
    ) {
        super::audit::refused(self.server, session, reason, object, username);
        let places = [reason, context];
        remember_refusal(self.server, &session.client, self.now_ms, places, object, username);
    }

    fn text(&self, session: &Session, spec: &Spec, denied: Denied) -> String {
        match denied {
            Denied::Command => format!(
                "User {} has no permissions to run the '{}' command",
                session.identity.user().name,
                spec.full_name
            ),
            Denied::Key(_) => "No permissions to access a key".to_owned(),
            Denied::Channel(_) => "No permissions to access a channel".to_owned(),
        }
    }
}

/// Adds to ACL LOG: why, in which context, what and who was refused.
pub fn remember_refusal(
    server: &Server,
    client: &Client,
    now_ms: u64,
    [reason, context]: [&'static str; 2],
    object: &[u8],
    username: &[u8],
) {
    server.acl.count(reason);
    let entry = log::Entry {
        count: 1,
        reason,
        context,
        object: object.to_vec(),
        username: username.to_vec(),
        client: command::client_line(client, now_ms).trim_end().to_owned(),
        id: 0,
        created_ms: 0,
        updated_ms: 0,
    };
    server.acl.log.lock().add(entry, now_ms, server.config().acllog_max_len);
}
