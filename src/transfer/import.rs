//! Puts what a file or directory holds into a store: RDB, append-only files, JSON Lines or CSV.
//!
//! Which of them it is, its first bytes say. Everything is read to its end before anything is put, so a damaged source
//! changes nothing. What stops an import later (memory used up, a full disk) leaves what came before in the store. The store
//! serves its clients meanwhile; the caller's thread is blocked.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use super::export::{KEPT_AUX, LIMIT_AUX};
use super::load::Loader;
use super::replay::{self, AofReport};
use super::rows::{self, Kind, Row};
use super::{Header, Target, is_full};
use crate::journal::Lsn;
use crate::number::parse_u64;
use crate::rdb::pairs::PairBuffer;
use crate::rdb::reader::{Event, Name, Reader};
use crate::rdb::{Input, OtherKind};
use crate::store::{DATABASES, Limit, Store};

/// What happens to names that are in the store already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// They stay as they are.
    Keep,
    /// They go, with all that is in them.
    Replace,
}

/// What happens when the source has names of types that can not be kept here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherTypes {
    /// They are passed over, and reported.
    Skip,
    /// They are reported, and nothing is imported.
    Refuse,
}

/// How to import.
pub struct Options<'o> {
    /// What happens to names that are in the store already.
    pub existing: Existing,
    /// What happens to what can not be kept here.
    pub other_types: OtherTypes,
    /// Is told of every name that is passed over for its type.
    pub on_other: &'o mut dyn FnMut(OtherName<'_>),
}

/// A name that is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherName<'n> {
    /// Its database.
    pub db: u64,
    /// Its bytes.
    pub name: &'n [u8],
    /// Its type.
    pub kind: OtherKind,
}

/// What was imported, and what was not.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ImportReport {
    /// Names that hold a string.
    pub strings: u64,
    /// Namespaces with pairs in them.
    pub namespaces: u64,
    /// Their pairs.
    pub pairs: u64,
    /// Namespaces that stay when they are empty.
    pub kept_namespaces: u64,
    /// Namespaces, there or not, that were given a limit.
    pub limits: u64,
    /// Names that had expired.
    pub expired_names: u64,
    /// Pairs that had expired, in names that had not.
    pub expired_pairs: u64,
    /// Names that were in the store already, and stayed as they were.
    pub existing_names: u64,
    /// Pairs whose key came twice in one namespace; the last is there.
    pub duplicate_pairs: u64,
    /// Names passed over for their type.
    pub others: BTreeMap<OtherKind, u64>,
    /// Libraries of functions.
    pub libraries: u64,
    /// Libraries of functions that can not be loaded here, and data of modules, that were passed over.
    pub other_data: u64,
    /// Of the last change; 0 without any. When the journal has made progress up to here, the import lasts.
    pub last_lsn: Lsn,
    /// What there is to say of append-only files.
    pub aof: Option<AofReport>,
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "strings: {}", self.strings)?;
        let (pairs, kept) = (self.pairs, self.kept_namespaces);
        writeln!(f, "namespaces: {}, with {pairs} pairs ({kept} kept)", self.namespaces)?;
        for (count, what) in [(self.limits, "limits"), (self.libraries, "libraries of functions")] {
            if count > 0 {
                writeln!(f, "{what}: {count}")?;
            }
        }
        let counts = [
            (self.expired_names, "names had expired"),
            (self.expired_pairs, "pairs had expired"),
            (self.existing_names, "names were there already and stayed as they were"),
            (self.duplicate_pairs, "pairs had a key that came before; the last is there"),
            (
                self.other_data,
                "libraries that can not be loaded here or module data were passed over",
            ),
        ];
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            writeln!(f, "{count} {what}")?;
        }
        for (kind, count) in &self.others {
            writeln!(
                f,
                "{count} names of type {kind} were passed over: they can not be kept here"
            )?;
        }
        self.aof.iter().try_for_each(|aof| write!(f, "{aof}"))
    }
}

/// Puts what is at `path` into `store`.
///
/// # Errors
/// When it can not be read, is damaged, or has what it must not have. The text names the file and the place.
pub fn import(path: &Path, store: &Store, options: &mut Options<'_>) -> Result<ImportReport> {
    import_any(path, store, options).with_context(|| format!("{} was not imported", path.display()))
}

fn import_any(path: &Path, store: &Store, options: &mut Options<'_>) -> Result<ImportReport> {
    if path.is_dir() || path.extension().is_some_and(|extension| extension == "manifest") {
        return replay::import(path, store, options);
    }
    let mut source = BufReader::new(File::open(path)?);
    match source.fill_buf()? {
        // That of an empty store has no line, but any other file that is empty was never written.
        [] if is_json_lines(path) => Ok(ImportReport::default()),
        [] => bail!("the file is empty; one of JSON Lines may be, when its name ends with .jsonl"),
        [b'*' | b'#', ..] => replay::import(path, store, options),
        [b'{', ..] => import_rows(path, store, options, json_rows),
        first if first.starts_with(b"REDIS") || first.starts_with(b"VALKEY") => {
            import_rdb(path, store, options)
        }
        first if first.starts_with(rows::CSV_HEADER.as_bytes()) => {
            import_rows(path, store, options, csv_rows)
        }
        _ => bail!(
            "its first bytes are those of no RDB or append-only file, no JSON Lines, and not the \
             header of CSV: {}",
            rows::CSV_HEADER
        ),
    }
}

/// Whether its name says so.
fn is_json_lines(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jsonl" || extension == "ndjson")
}

fn import_rdb(path: &Path, store: &Store, options: &mut Options<'_>) -> Result<ImportReport> {
    let mut checked = Facts::default();
    let mut rest = feed(File::open(path)?, &mut Nowhere, &mut checked, options.on_other)?;
    if !rest.is_at_end()? {
        // An append-only file can begin as an RDB file does.
        if matches!(rest.byte()?, b'*' | b'#') {
            // What was passed over was told already.
            let on_other = &mut |_: OtherName<'_>| {};
            let Options { existing, other_types, .. } = *options;
            return replay::import(path, store, &mut Options { existing, other_types, on_other });
        }
        bail!("there is something behind the end of the RDB file, at byte {}", rest.offset() - 1);
    }
    refuse_others(options.other_types, &checked)?;
    let mut loader = Loader::new(store, options.existing);
    let mut facts = Facts::default();
    feed(File::open(path)?, &mut loader, &mut facts, &mut |_| {})?;
    let mut report = loader.report;
    facts.add_to(&mut report);
    Ok(report)
}

/// What an RDB file has beside strings and hashes.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub others: BTreeMap<OtherKind, u64>,
    pub other_data: u64,
}

impl Facts {
    pub fn add_to(self, report: &mut ImportReport) {
        report.others = self.others;
        report.other_data += self.other_data;
    }
}

pub(super) fn refuse_others(other_types: OtherTypes, facts: &Facts) -> Result<()> {
    if other_types == OtherTypes::Skip || facts.others.is_empty() {
        return Ok(());
    }
    let counts: Vec<String> =
        facts.others.iter().map(|(kind, count)| format!("{count} of type {kind}")).collect();
    bail!("it has names that can not be kept here: {}", counts.join(", "));
}

/// Reads RDB to its end and hands its names on. Returns what is behind it.
pub(super) fn feed<R: Read>(
    source: R,
    target: &mut dyn Target,
    facts: &mut Facts,
    on_other: &mut dyn FnMut(OtherName<'_>),
) -> Result<Input<R>> {
    let mut reader = Reader::new(source)?;
    let mut header = Header { db: 0, name: Vec::new(), deadline_ms: None };
    let mut pairs = PairBuffer::default();
    while let Some(event) = reader.next_event()? {
        match event {
            Event::String(name, value) => {
                header.become_name(name)?;
                target.string(&header, value)?;
            }
            Event::Hash(name) => header.become_name(name)?,
            Event::Pair { key, value, deadline_ms } => {
                pairs.push(key, value, deadline_ms);
                if is_full(&pairs) {
                    target.pairs(&header, &pairs, false)?;
                    pairs.clear();
                }
            }
            Event::EndOfHash => {
                target.pairs(&header, &pairs, true)?;
                pairs.clear();
            }
            Event::Other(name, kind) => {
                *facts.others.entry(kind).or_default() += 1;
                on_other(OtherName { db: name.db, name: name.bytes, kind });
            }
            Event::Aux(KEPT_AUX, value) => {
                header.become_kept(value)?;
                target.kept(&header)?;
            }
            Event::Aux(LIMIT_AUX, value) => {
                let limit = header.become_limited(value)?;
                target.limit(&header, limit)?;
            }
            Event::Aux(..) => {}
            Event::Function(code) => facts.other_data += u64::from(!target.library(code)?),
            Event::ModuleAux(_) => facts.other_data += 1,
        }
    }
    Ok(reader.into_rest())
}

impl Header {
    fn become_name(&mut self, name: Name<'_>) -> Result<()> {
        let db = usize::try_from(name.db).ok().filter(|&db| db < DATABASES);
        self.db = db.with_context(|| no_database(name.db))?;
        self.name.clear();
        self.name.extend_from_slice(name.bytes);
        self.deadline_ms = name.deadline_ms;
        Ok(())
    }

    /// As [`KEPT_AUX`] says.
    fn become_kept(&mut self, value: &[u8]) -> Result<()> {
        let colon = value.iter().position(|&byte| byte == b':');
        let (db, name) = colon
            .and_then(|colon| Some((value.get(..colon)?, value.get(colon + 1..)?)))
            .context("a kept namespace without a database")?;
        let db = std::str::from_utf8(db).ok().and_then(|text| text.parse().ok());
        let db = db.context("a kept namespace without a database")?;
        self.become_name(Name { db, bytes: name, deadline_ms: None })
    }

    /// As [`LIMIT_AUX`] says.
    fn become_limited(&mut self, value: &[u8]) -> Result<Limit> {
        let wrong = "a limit that is no database, two numbers and a name";
        let mut parts = value.splitn(4, |&byte| byte == b':');
        let mut number = || parts.next().and_then(parse_u64).context(wrong);
        let (db, pairs, bytes) = (number()?, number()?, number()?);
        let name = parts.next().context(wrong)?;
        self.become_name(Name { db, bytes: name, deadline_ms: None })?;
        Ok(Limit { pairs, bytes })
    }
}

fn no_database(db: u64) -> String {
    format!("it has names in database {db}; there are {DATABASES} here, from 0 on")
}

/// Takes everything, for those who only want to know whether it can be read.
struct Nowhere;

impl Target for Nowhere {
    fn library(&mut self, _: &[u8]) -> Result<bool> {
        Ok(true)
    }

    fn string(&mut self, _: &Header, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn pairs(&mut self, _: &Header, _: &PairBuffer, _: bool) -> Result<()> {
        Ok(())
    }

    fn kept(&mut self, _: &Header) -> Result<()> {
        Ok(())
    }

    fn limit(&mut self, _: &Header, _: Limit) -> Result<()> {
        Ok(())
    }
}

/// Reads a file of rows, and hands each on.
type Rows = fn(&mut BufReader<File>, &mut dyn FnMut(Row) -> Result<()>) -> Result<()>;

fn import_rows(
    path: &Path,
    store: &Store,
    options: &mut Options<'_>,
    read: Rows,
) -> Result<ImportReport> {
    let open = || File::open(path).map(BufReader::new);
    read(&mut open()?, &mut |row| {
        ensure!(row.db < DATABASES, no_database(row.db as u64));
        ensure!(row.kind != Kind::Limit || row.limit().is_ok(), "no limit: it is two numbers");
        Ok(())
    })?;
    let mut loader = Loader::new(store, options.existing).joining();
    let mut run = Run::default();
    read(&mut open()?, &mut |row| run.take(row, &mut loader))?;
    run.end(&mut loader)?;
    Ok(loader.report)
}

fn json_rows(source: &mut BufReader<File>, each: &mut dyn FnMut(Row) -> Result<()>) -> Result<()> {
    let mut line = Vec::new();
    for number in 1u64.. {
        if !rows::next_line(source, &mut line)? {
            break;
        }
        if !line.is_empty() {
            let row = Row::read_json(&line).and_then(&mut *each);
            row.with_context(|| format!("line {number}"))?;
        }
    }
    Ok(())
}

fn csv_rows(source: &mut BufReader<File>, each: &mut dyn FnMut(Row) -> Result<()>) -> Result<()> {
    rows::next_csv_row(source)?;
    for number in 1u64.. {
        let context = || format!("row {number} after the header");
        let Some(fields) = rows::next_csv_row(source).with_context(context)? else { break };
        if !matches!(&fields[..], [only] if only.is_empty()) {
            Row::from_csv(&fields).and_then(&mut *each).with_context(context)?;
        }
    }
    Ok(())
}

/// Rows of one namespace that came one after the other.
#[derive(Default)]
struct Run {
    header: Option<Header>,
    pairs: PairBuffer,
}

impl Run {
    fn take(&mut self, row: Row, loader: &mut Loader<'_>) -> Result<()> {
        if row.kind == Kind::Limit {
            let limit = row.limit()?;
            return loader.limit(&Header { db: row.db, name: row.name, deadline_ms: None }, limit);
        }
        let Row { kind, db, name, key, value, deadline_ms, name_deadline_ms } = row;
        if kind == Kind::Pair {
            let header = Header { db, name, deadline_ms: name_deadline_ms };
            if self.header.as_ref() != Some(&header) || is_full(&self.pairs) {
                self.end(loader)?;
                self.header = Some(header);
            }
            self.pairs.push(&key, &value, deadline_ms);
            return Ok(());
        }
        self.end(loader)?;
        match kind {
            Kind::Namespace => loader.kept(&Header { db, name, deadline_ms: name_deadline_ms }),
            Kind::Library => {
                loader.report.other_data += u64::from(!loader.library(&value)?);
                Ok(())
            }
            _ => loader.string(&Header { db, name, deadline_ms }, &value),
        }
    }

    fn end(&mut self, loader: &mut Loader<'_>) -> Result<()> {
        if let Some(header) = self.header.take() {
            loader.pairs(&header, &self.pairs, true)?;
            self.pairs.clear();
        }
        Ok(())
    }
}
