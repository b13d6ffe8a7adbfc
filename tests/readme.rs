//! README's table of commands is written from the command table. `UPDATE=1 cargo test --test readme`
//! rewrites it; otherwise a stale one fails. The rest of README is not looked at.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use pantry::command::{Run, Spec, table};

const BEGIN: &str =
    "<!-- commands: begin; `UPDATE=1 cargo test --test readme` writes this part -->\n";
const END: &str = "<!-- commands: end -->\n";

#[test]
fn the_table_of_commands_is_fresh() {
    let readme = fs::read_to_string("README.md").unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("the marker that begins the table");
    let (_, after) = rest.split_once(END).expect("the marker that ends the table");
    let fresh = format!("{before}{BEGIN}{}{END}{after}", compatibility_table());
    if std::env::var_os("UPDATE").is_some() {
        fs::write("README.md", fresh).unwrap();
    } else {
        assert!(readme == fresh, "run: UPDATE=1 cargo test --test readme");
    }
}

/// All commands by their group, in Markdown.
fn compatibility_table() -> String {
    let mut groups: BTreeMap<&str, Vec<&Spec>> = BTreeMap::new();
    for spec in &table().specs {
        if !matches!(spec.command.run, Run::Container) {
            groups.entry(spec.family.group).or_default().push(spec);
        }
    }
    let mut out = String::new();
    for (group, mut specs) in groups {
        specs.sort_by_key(|spec| spec.command.name);
        write!(out, "\n#### {group}\n\n| Command | Since | What it does |\n|---|---|---|\n")
            .unwrap();
        for spec in specs {
            let command = spec.command;
            let about = command.about.replace('|', "\\|");
            writeln!(out, "| `{}` | {} | {about} |", command.name, command.since).unwrap();
        }
    }
    out.push('\n');
    out
}
