//! Which arguments of a command must not be shown to others: passwords, and what belongs to them.

use crate::command::Spec;
use crate::command::args::is;
use crate::resp::request::Args;

/// Directives whose values are secrets.
const SECRET_DIRECTIVES: &[&str] =
    &["masterauth", "masteruser", "requirepass", "tls-client-key-file-pass", "tls-key-file-pass"];

/// Whether argument `at` must not be shown.
pub fn is_secret(spec: &Spec, args: Args<'_>, at: usize) -> bool {
    let follows = |word, most| (1..=most).any(|back| at > back && is(args.get(at - back), word));
    match spec.full_name.as_str() {
        "auth" => at > 0,
        "hello" => follows("AUTH", 2),
        "acl|deluser" | "acl|getuser" | "acl|setuser" => at > 1,
        "config|set" if at > 2 && at % 2 == 1 => {
            SECRET_DIRECTIVES.iter().any(|name| is(args.get(at - 1), name))
        }
        _ => false,
    }
}
