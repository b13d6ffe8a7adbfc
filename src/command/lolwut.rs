//! LOLWUT: a pantry's shelves, never the same for long. It stores nothing.

use super::args::{integer, is};
use super::{Command, Family, REDIS_VERSION, Touches};
use crate::dispatch::Context;
use crate::error::Result;
use crate::reply::Reply;
use crate::resp::request::Args;

/// The family.
pub const FAMILY: Family = Family { group: "server", category: "", commands: COMMANDS };

const COMMANDS: &[Command] = &[Command::session("LOLWUT", "[VERSION version]", lolwut)
    .about("5.0.0", "Draws a pantry, and says which version of Redis this is like.")
    .fast()
    .also(&["read"])
    .touching(Touches::Reads)];

const SHELVES: usize = 3;
const JARS: usize = 9;
/// Kinds of what stands there; the last is nothing.
const KINDS: usize = 5;
/// Their tops, middles and bottoms.
const LINES: [[&str; KINDS]; 3] = [
    ["  _  ", " === ", "  ,  ", "     ", "     "],
    [" (_) ", " |~| ", " / \\ ", " .-. ", "     "],
    [" |_| ", " |_| ", " \\_/ ", " '-' ", "     "],
];

fn lolwut(context: &mut Context<'_, '_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result {
    if args.len() >= 3 && is(args.get(1), "VERSION") {
        // There is one picture, whatever version and size are asked for.
        let sizes = match integer(args.get(2))? {
            5 => 3,
            6 => 2,
            _ => 0,
        };
        args.iter().skip(3).take(sizes).try_for_each(|size| integer(size).map(drop))?;
    }

    reply
        .verbatim(&format!("{}\nRedis ver. {REDIS_VERSION}\n", shelves(context.executor.now_ms())));
    Ok(())
}

/// What stands on the shelves follows from the moment alone.
fn shelves(now_ms: u64) -> String {
    let mut picture = String::new();
    for shelf in 0..SHELVES {
        for kinds in LINES {
            for place in 0..JARS {
                let number = now_ms.wrapping_add((shelf * JARS + place) as u64);
                let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
                picture.push_str(kinds[mixed as usize % KINDS]);
            }
            picture.truncate(picture.trim_end().len());
            picture.push('\n');
        }
        picture.push_str(&"=".repeat(5 * JARS));
        picture.push('\n');
    }
    picture
}
