//! Writes what a store holds: as RDB, JSON Lines or CSV.
//!
//! A store that changes meanwhile is written as [`super`] says, and no format needs more memory than some pairs. RDB
//! says ahead how many pairs a hash has, and has no place to say it later, so those of a large namespace are written
//! aside first.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context as _, Result};

use super::rows::{self, Kind, Row};
use super::spool::Spool;
use super::{Header, Target, walk};
use crate::rdb::pairs::PairBuffer;
use crate::rdb::writer::{Version, Writer};
use crate::script::library;
use crate::store::{Limit, Store};

/// The fact about an RDB file that a namespace is kept: its database, `:`, its name. To Redis it means nothing.
pub const KEPT_AUX: &[u8] = b"pantry-kept";

/// The fact about an RDB file that a namespace has a limit: its database, pairs, bytes and name, with `:` between.
pub const LIMIT_AUX: &[u8] = b"pantry-limit";

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RDB for Redis.
    Rdb(Version),
    /// See [`rows`].
    JsonLines,
    /// See [`rows`].
    Csv,
}

/// What was written.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ExportReport {
    /// Names that hold a string.
    pub strings: u64,
    /// Namespaces with pairs in them.
    pub namespaces: u64,
    /// Their pairs.
    pub pairs: u64,
    /// Namespaces that stay when they are empty, empty ones included.
    pub kept_namespaces: u64,
    /// Namespaces, there or not, that have a limit.
    pub limits: u64,
    /// Libraries of functions.
    pub libraries: u64,
    /// Pairs whose deadline could not be written in this format: where they are read, they stay for ever.
    pub dropped_deadlines: u64,
    /// Bytes written.
    pub bytes: u64,
}

impl fmt::Display for ExportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ExportReport { strings, namespaces, pairs, kept_namespaces, libraries, .. } = self;
        let ExportReport { dropped_deadlines, bytes, .. } = self;
        writeln!(f, "strings: {strings}")?;
        writeln!(f, "namespaces: {namespaces}, with {pairs} pairs ({kept_namespaces} kept)")?;
        for (count, what) in [(self.limits, "limits"), (*libraries, "libraries of functions")] {
            if count > 0 {
                writeln!(f, "{what}: {count}")?;
            }
        }
        writeln!(f, "bytes: {bytes}")?;
        if *dropped_deadlines > 0 {
            writeln!(
                f,
                "WARNING: {dropped_deadlines} pairs have a deadline that RDB 7.0 can not hold: \
                 they were written without, and will not expire. RDB 7.4, JSON Lines and CSV hold it."
            )?;
        }
        Ok(())
    }
}

/// Writes all that a store holds. What has to be written aside is in `aside`, a directory.
///
/// # Errors
/// When `out` can not be written, or what is written aside.
pub fn export(
    store: &Store,
    format: Format,
    out: &mut dyn Write,
    aside: &Path,
) -> Result<ExportReport> {
    match format {
        Format::Rdb(version) => {
            let created_s = store.clock.now_ms() / 1000;
            let mut target = RdbTarget {
                writer: Writer::new(out, version, created_s)?,
                spool: Spool::new(aside),
                report: ExportReport::default(),
            };
            walk::walk(store, &mut target)?;
            let RdbTarget { writer, mut report, .. } = target;
            report.dropped_deadlines = writer.dropped_deadlines();
            report.bytes = writer.finish()?.1;
            Ok(report)
        }
        Format::JsonLines | Format::Csv => {
            let mut target = RowTarget::new(Counted { out, bytes: 0 }, format)?;
            walk::walk(store, &mut target)?;
            target.report.bytes = target.out.bytes;
            Ok(target.report)
        }
    }
}

/// Writes all that a store holds to a file, which takes the place of what has that path only when it is whole and on
/// disk. A file of the same name with `.part` behind it is overwritten.
///
/// # Errors
/// When the file can not be written; then it is removed.
pub fn export_file(store: &Store, format: Format, path: &Path) -> Result<ExportReport> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let written = write_file(store, format, part).and_then(|report| {
        fs::rename(part, path)?;
        Ok(report)
    });
    if written.is_err() {
        // What it is called matters less than why it could not be written.
        let _ = fs::remove_file(part);
    }
    written.with_context(|| format!("{} could not be written", path.display()))
}

fn write_file(store: &Store, format: Format, path: &Path) -> Result<ExportReport> {
    let mut out = BufWriter::with_capacity(256 * 1024, File::create(path)?);
    let aside = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let report = export(store, format, &mut out, aside)?;
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(report)
}

struct RdbTarget<'w> {
    writer: Writer<&'w mut dyn Write>,
    /// Pairs of the namespace that was begun.
    spool: Spool,
    report: ExportReport,
}

impl Target for RdbTarget<'_> {
    fn library(&mut self, code: &[u8]) -> Result<bool> {
        self.report.libraries += 1;
        self.writer.library(code)?;
        Ok(true)
    }

    fn string(&mut self, header: &Header, value: &[u8]) -> Result<()> {
        self.report.strings += 1;
        self.writer.string(header.db as u64, &header.name, header.deadline_ms, value)?;
        Ok(())
    }

    fn pairs(&mut self, header: &Header, pairs: &PairBuffer, is_last: bool) -> Result<()> {
        let (db, deadline_ms) = (header.db as u64, header.deadline_ms);
        let before = self.spool.sums().len;
        if !is_last || before > 0 {
            self.spool.add(pairs)?;
        }
        let all = if before > 0 { self.spool.sums() } else { pairs.sums() };
        if !is_last || all.len == 0 {
            return Ok(());
        }
        self.report.namespaces += 1;
        self.report.pairs += all.len as u64;
        if before == 0 {
            self.writer.hash(db, &header.name, deadline_ms, pairs)?;
            return Ok(());
        }
        self.writer.begin_hash(db, &header.name, deadline_ms, all)?;
        self.spool.drain(|some| self.writer.pairs(some))?;
        Ok(())
    }

    fn kept(&mut self, header: &Header) -> Result<()> {
        self.report.kept_namespaces += 1;
        let value = [header.db.to_string().as_bytes(), b":", &header.name].concat();
        self.writer.aux(KEPT_AUX, &value)?;
        Ok(())
    }

    fn limit(&mut self, header: &Header, Limit { pairs, bytes }: Limit) -> Result<()> {
        self.report.limits += 1;
        let numbers = format!("{}:{pairs}:{bytes}:", header.db);
        self.writer.aux(LIMIT_AUX, &[numbers.as_bytes(), &header.name].concat())?;
        Ok(())
    }
}

struct RowTarget<'w> {
    out: Counted<'w>,
    format: Format,
    row: Row,
    /// Whether a pair of the namespace that was begun was written.
    has_pairs: bool,
    report: ExportReport,
}

impl<'w> RowTarget<'w> {
    fn new(mut out: Counted<'w>, format: Format) -> Result<RowTarget<'w>> {
        if format == Format::Csv {
            writeln!(out, "{}", rows::CSV_HEADER)?;
        }
        let (row, report) = (Row::default(), ExportReport::default());
        Ok(RowTarget { out, format, row, has_pairs: false, report })
    }

    fn begin(&mut self, header: &Header, kind: Kind) {
        self.row.kind = kind;
        self.row.db = header.db;
        self.row.name.clone_from(&header.name);
        self.row.key.clear();
        self.row.value.clear();
        self.row.deadline_ms = None;
        self.row.name_deadline_ms = header.deadline_ms.filter(|_| kind != Kind::String);
    }

    fn write(&mut self) -> Result<()> {
        match self.format {
            Format::Csv => self.row.write_csv(&mut self.out)?,
            Format::JsonLines | Format::Rdb(_) => self.row.write_json(&mut self.out)?,
        }
        Ok(())
    }
}

impl Target for RowTarget<'_> {
    fn library(&mut self, code: &[u8]) -> Result<bool> {
        let name = library::name_of(code).unwrap_or_default().into_bytes();
        self.begin(&Header { db: 0, name, deadline_ms: None }, Kind::Library);
        self.row.value.extend_from_slice(code);
        self.report.libraries += 1;
        self.write()?;
        Ok(true)
    }

    fn string(&mut self, header: &Header, value: &[u8]) -> Result<()> {
        self.begin(header, Kind::String);
        self.row.value.extend_from_slice(value);
        self.row.deadline_ms = header.deadline_ms;
        self.report.strings += 1;
        self.write()
    }

    fn pairs(&mut self, header: &Header, pairs: &PairBuffer, is_last: bool) -> Result<()> {
        self.begin(header, Kind::Pair);
        for pair in pairs.iter() {
            self.row.key.clear();
            self.row.key.extend_from_slice(pair.key);
            self.row.value.clear();
            self.row.value.extend_from_slice(pair.value);
            self.row.deadline_ms = pair.deadline_ms;
            self.write()?;
        }
        self.report.pairs += pairs.len() as u64;
        self.has_pairs |= !pairs.is_empty();
        if is_last {
            self.report.namespaces += u64::from(std::mem::take(&mut self.has_pairs));
        }
        Ok(())
    }

    fn kept(&mut self, header: &Header) -> Result<()> {
        self.report.kept_namespaces += 1;
        self.begin(header, Kind::Namespace);
        self.write()
    }

    fn limit(&mut self, header: &Header, limit: Limit) -> Result<()> {
        self.report.limits += 1;
        self.begin(header, Kind::Limit);
        write!(self.row.value, "{} {}", limit.pairs, limit.bytes)?;
        self.write()
    }
}

struct Counted<'w> {
    out: &'w mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}
