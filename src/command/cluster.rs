//! CLUSTER, of which this server is never a part: every subcommand is known, and answers as a Redis
//! that stands alone does.

use super::{Command, Family};
use crate::dispatch::Context;
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::resp::request::Args;

/// The family.
pub const FAMILY: Family = Family { group: "cluster", category: "", commands: COMMANDS };

/// What each of them does.
pub(super) const REFUSED: &str = "Is refused: there is no cluster.";

const COMMANDS: &[Command] = &[
    Command::container("CLUSTER").about("3.0.0", REFUSED),
    Command::session("CLUSTER ADDSLOTS", "slot [slot ...]", cluster)
        .about("3.0.0", REFUSED)
        .admin(),
    Command::session(
        "CLUSTER ADDSLOTSRANGE",
        "start-slot end-slot [start-slot end-slot ...]",
        cluster,
    )
    .about("7.0.0", REFUSED)
    .admin(),
    Command::session("CLUSTER BUMPEPOCH", "", cluster).about("3.0.0", REFUSED).admin(),
    Command::session("CLUSTER COUNT-FAILURE-REPORTS", "node-id", cluster)
        .about("3.0.0", REFUSED)
        .admin(),
    Command::session("CLUSTER COUNTKEYSINSLOT", "slot", cluster).about("3.0.0", REFUSED),
    Command::session("CLUSTER DELSLOTS", "slot [slot ...]", cluster)
        .about("3.0.0", REFUSED)
        .admin(),
    Command::session(
        "CLUSTER DELSLOTSRANGE",
        "start-slot end-slot [start-slot end-slot ...]",
        cluster,
    )
    .about("7.0.0", REFUSED)
    .admin(),
    Command::session("CLUSTER FAILOVER", "[FORCE | TAKEOVER]", cluster)
        .about("3.0.0", REFUSED)
        .admin(),
    Command::session("CLUSTER FLUSHSLOTS", "", cluster).about("3.0.0", REFUSED).admin(),
    Command::session("CLUSTER FORGET", "node-id", cluster).about("3.0.0", REFUSED).admin(),
    Command::session("CLUSTER GETKEYSINSLOT", "slot count", cluster).about("3.0.0", REFUSED),
    Command::session("CLUSTER HELP", "", cluster).about("5.0.0", REFUSED).while_loading(),
    Command::session("CLUSTER INFO", "", cluster).about("3.0.0", REFUSED),
    Command::session("CLUSTER KEYSLOT", "key", cluster).about("3.0.0", REFUSED),
    Command::session("CLUSTER LINKS", "", cluster).about("7.0.0", REFUSED),
    Command::session("CLUSTER MEET", "ip port [cluster-bus-port]", cluster)
        .about("3.0.0", REFUSED)
        .admin(),
    Command::session("CLUSTER MYID", "", cluster).about("3.0.0", REFUSED),
    Command::session("CLUSTER MYSHARDID", "", cluster).about("7.2.0", REFUSED),
    Command::session("CLUSTER NODES", "", cluster).about("3.0.0", REFUSED),
    Command::session("CLUSTER REPLICAS", "node-id", cluster).about("5.0.0", REFUSED).admin(),
    Command::session("CLUSTER REPLICATE", "node-id", cluster).about("3.0.0", REFUSED).admin(),
    Command::session("CLUSTER RESET", "[HARD | SOFT]", cluster).about("3.0.0", REFUSED).admin(),
    Command::session("CLUSTER SAVECONFIG", "", cluster).about("3.0.0", REFUSED).admin(),
    Command::session("CLUSTER SET-CONFIG-EPOCH", "config-epoch", cluster)
        .about("3.0.0", REFUSED)
        .admin(),
    Command::session(
        "CLUSTER SETSLOT",
        "slot <IMPORTING node-id | MIGRATING node-id | NODE node-id | STABLE>",
        cluster,
    )
    .about("3.0.0", REFUSED)
    .admin(),
    Command::session("CLUSTER SHARDS", "", cluster).about("7.0.0", REFUSED).while_loading(),
    Command::session("CLUSTER SLAVES", "node-id", cluster).about("3.0.0", REFUSED).admin(),
    Command::session("CLUSTER SLOTS", "", cluster).about("3.0.0", REFUSED).while_loading(),
];

/// What is said of everything that needs a cluster.
pub(super) const DISABLED: Error =
    Error::Plain(std::borrow::Cow::Borrowed("This instance has cluster support disabled"));

fn cluster(_context: &mut Context<'_, '_>, _args: Args<'_>, _reply: &mut Reply<'_>) -> Result {
    Err(DISABLED)
}
