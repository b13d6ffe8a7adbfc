//! Which arguments of a command must not be shown to others: passwords, and what belongs to them.

use crate::command::Spec;
use crate::command::args::is;
use crate::command::migrate;
use crate::resp::request::Args;

/// Directives whose values are secrets.
const SECRET_DIRECTIVES: &[&str] =
    &["masterauth", "masteruser", "requirepass", "tls-client-key-file-pass", "tls-key-file-pass"];

/// Which arguments must not be shown.
pub fn secrets<'a>(spec: &'a Spec, args: Args<'a>) -> impl Fn(usize) -> bool + 'a {
    let of_migrate = match spec.command.name {
        "MIGRATE" => migrate::secrets(args),
        _ => Vec::new(),
    };
    let follows = move |at: usize, word, most| {
        (1..=most).any(|back| at > back && is(args.get(at - back), word))
    };
    move |at| match spec.full_name.as_str() {
        "auth" => at > 0,
        "hello" => follows(at, "AUTH", 2),
        "acl|deluser" | "acl|getuser" | "acl|setuser" => at > 1,
        "migrate" => of_migrate.binary_search(&at).is_ok(),
        "config|set" if at > 2 && at % 2 == 1 => {
            SECRET_DIRECTIVES.iter().any(|name| is(args.get(at - 1), name))
        }
        _ => false,
    }
}
