//! Who a session is: its user, and whether it has said so.

use std::sync::Arc;

use super::{Acl, User};

/// One session's user, with what a check needs most of the time.
#[derive(Debug, Clone)]
pub struct Identity {
    user: Arc<User>,
    /// Whether it gave the password, or none was needed when it came.
    is_authenticated: bool,
    /// It may do everything, as of `version`.
    is_free: bool,
    version: u64,
}

impl Identity {
    /// Who connects: the default user.
    pub fn new(acl: &Acl) -> Identity {
        let version = acl.version();
        let user = acl.default_user();
        let is_authenticated = user.is_enabled && user.needs_no_password;
        Identity { is_free: is_authenticated && user.may_do_all(), user, is_authenticated, version }
    }

    /// Somebody who gave the password of this user.
    pub fn of(acl: &Acl, user: Arc<User>) -> Identity {
        let version = acl.version();
        Identity { is_free: user.may_do_all(), user, is_authenticated: true, version }
    }

    /// The user.
    pub fn user(&self) -> &Arc<User> {
        &self.user
    }

    /// Whether it may do everything. If not, [`Identity::refresh`] and look closer.
    #[inline]
    pub fn is_free(&self, acl: &Acl) -> bool {
        self.is_free && self.version == acl.version()
    }

    /// Whether it may do anything but authenticate.
    pub fn is_authenticated(&self) -> bool {
        self.is_authenticated
    }

    /// Follows changes of the user. `false` if it is not there any more.
    pub fn refresh(&mut self, acl: &Acl) -> bool {
        let version = acl.version();
        if self.version == version {
            return true;
        }
        let Some(user) = acl.user(&self.user.name) else { return false };
        // Who need not authenticate has done it.
        self.is_authenticated |= acl.is_open();
        self.is_free = self.is_authenticated && user.may_do_all();
        self.user = user;
        self.version = version;
        true
    }
}
