//! The manifest of a Redis append-only directory: which files there are, in their order.
//!
//! A line a file: `file NAME seq NUMBER type T`, where `b` is the base, `i` what came after it, `h` what is over. What
//! is in the files is [`super::aof`]'s matter.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::resp::owned::OwnedRequest;

/// A manifest has a line or two; more than this is something else.
const MANIFEST_LEN_MAX_BYTES: u64 = 1 << 20;

/// The files to read, in their order.
///
/// # Errors
/// If there is no manifest in the directory, more than one, or one that makes no sense.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let manifest = if path.is_dir() { find(path)? } else { path.to_owned() };
    let directory = manifest.parent().unwrap_or(Path::new("."));
    let len = fs::metadata(&manifest)?.len();
    ensure!(len <= MANIFEST_LEN_MAX_BYTES, "the manifest has {len} bytes");
    let text = fs::read(&manifest)?;
    let names = parse(&text).with_context(|| format!("{}", manifest.display()))?;
    Ok(names.into_iter().map(|name| directory.join(name)).collect())
}

fn find(directory: &Path) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "manifest") {
            found.push(path);
        }
    }
    match &found[..] {
        [manifest] => Ok(manifest.clone()),
        [] => bail!("there is no .manifest file in the directory"),
        _ => bail!("there are {} .manifest files in the directory; name one of them", found.len()),
    }
}

/// The names of the base and of what came after it.
fn parse(text: &[u8]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut last_seq = 0;
    for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let entry = Entry::parse(line).with_context(|| format!("line {}", number + 1))?;
        match &entry.kind[..] {
            "h" => continue,
            "b" => ensure!(names.is_empty(), "line {}: the base is not first", number + 1),
            "i" => {
                ensure!(entry.seq > last_seq, "line {}: a number that is out of order", number + 1);
                last_seq = entry.seq;
            }
            other => bail!("line {}: a file of the unknown type {other}", number + 1),
        }
        names.push(entry.name);
    }
    ensure!(!names.is_empty(), "no file is named");
    Ok(names)
}

struct Entry {
    name: String,
    seq: u64,
    kind: String,
}

impl Entry {
    fn parse(line: &[u8]) -> Result<Entry> {
        let words = OwnedRequest::from_line(line).context("a quote that is not closed")?;
        let words: Vec<&str> =
            words.args().iter().map(std::str::from_utf8).collect::<Result<_, _>>()?;
        let word = |key: &str| {
            let at = words.chunks(2).find(|pair| pair[0].eq_ignore_ascii_case(key));
            at.and_then(|pair| pair.get(1).copied()).with_context(|| format!("no {key}"))
        };
        let name = word("file")?.to_owned();
        ensure!(
            !name.contains(['/', '\\']) && name != ".." && name != ".",
            "{name} is no file in the directory"
        );
        let seq = word("seq")?.parse().context("seq is no number")?;
        Ok(Entry { name, seq, kind: word("type")?.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn base_and_what_came_after() {
        let text = b"# comment\nfile a.2.base.rdb seq 2 type b\nfile a.1.incr.aof seq 1 type h\n\
                     file \"a 4.incr.aof\" seq 4 type i\nfile a.5.incr.aof seq 5 type i startoffset 7\n";
        assert_eq!(parse(text).unwrap(), ["a.2.base.rdb", "a 4.incr.aof", "a.5.incr.aof"]);
    }

    #[test]
    fn what_makes_no_sense() {
        for text in [
            "",
            "file a seq 1 type h\n",
            "file a seq 1\n",
            "file a seq x type i\n",
            "file a seq 1 type x\n",
            "file ../a seq 1 type i\n",
            "file \"a seq 1 type i\n",
            "file a seq 1 type i\nfile b seq 1 type b\n",
            "file a seq 2 type i\nfile b seq 2 type i\n",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
