//! Takes the two files of Swagger UI that `/documentation` serves out of the package that carries them.
//!
//! The package is a ZIP archive. What is deflated in it is gzip's format but for a head and a tail, so
//! the files are written gzipped as they will be sent, without unpacking anything. The rest of the
//! archive does not come into the binary.

use std::error::Error;
use std::path::Path;

use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

/// Files, by the end of their names in the archive.
const WANTED: [&str; 2] = ["/dist/swagger-ui-bundle.js", "/dist/swagger-ui.css"];

const DEFLATED: usize = 8;
const ENTRY: &[u8] = b"PK\x01\x02";
const ENTRY_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;
const END: &[u8] = b"PK\x05\x06";
/// The head of a gzip file: deflated, no name, no time, any system.
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let out = std::env::var("OUT_DIR")?;
    for name in WANTED {
        let file = name.rsplit('/').next().unwrap_or(name);
        let gzipped = gzipped(SWAGGER_UI_VENDORED, name).ok_or(format!("no {name}"))?;
        std::fs::write(Path::new(&out).join(format!("{file}.gz")), gzipped)?;
    }
    Ok(())
}

/// A file of the archive, as gzip would pack it.
fn gzipped(archive: &[u8], wanted: &str) -> Option<Vec<u8>> {
    let end = archive.windows(END.len()).rposition(|bytes| bytes == END)?;
    let mut at = number(archive, end + 16, 4)?;
    while archive.get(at..)?.starts_with(ENTRY) {
        let sizes = [28, 30, 32].map(|field| number(archive, at + field, 2));
        let [Some(name_len), Some(extra_len), Some(comment_len)] = sizes else { return None };
        let name = archive.get(at + ENTRY_BYTES..)?.get(..name_len)?;
        if name.ends_with(wanted.as_bytes()) && number(archive, at + 10, 2)? == DEFLATED {
            let local = number(archive, at + 42, 4)?;
            let skipped = number(archive, local + 26, 2)? + number(archive, local + 28, 2)?;
            let packed = archive.get(local + LOCAL_BYTES + skipped..)?;
            let packed = packed.get(..number(archive, at + 20, 4)?)?;
            let (checksum, len) = (archive.get(at + 16..at + 20)?, archive.get(at + 24..at + 28)?);
            return Some([&GZIP_HEAD[..], packed, checksum, len].concat());
        }
        at += ENTRY_BYTES + name_len + extra_len + comment_len;
    }
    None
}

/// A little-endian number of some bytes.
fn number(archive: &[u8], at: usize, bytes: usize) -> Option<usize> {
    let digits = archive.get(at..at + bytes)?;
    Some(digits.iter().rev().fold(0, |sum, &digit| sum << 8 | usize::from(digit)))
}
