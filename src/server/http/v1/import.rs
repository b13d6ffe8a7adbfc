//! Import: rows of NDJSON or CSV of any length, set as they come.
//!
//! A piece of the body is cut where a row ends, and its rows are set by some commands. So memory holds
//! one piece, and an error leaves what stood before it set; the answer says how much that is.

use hyper::StatusCode;

use super::ask::Ask;
use super::bulk::{deadline, required};
use super::code::{Code, Refusal};
use super::rows::{self, Csv, Form, Row};
use super::{Later, Pending, show};
use crate::server::http::connection::Connection;
use crate::server::http::{answer, body};
use crate::transfer::rows::RowEnds;

/// Rows that are set by one command.
const ROWS_AT_ONCE: usize = 256;

pub(super) fn import(ask: Ask, later: Later<'_>) -> Pending<'_> {
    Box::pin(async move {
        let mut importer = Importer {
            form: ask.form()?,
            namespace: ask.bytes("namespace").map(<[u8]>::to_vec),
            csv: Csv::default(),
            rest: Vec::new(),
            ends: RowEnds::default(),
            looked_at: 0,
            set: 0,
        };
        // A JSON array can not be cut; it was read whole.
        let result = if importer.form == Form::Json {
            importer.rest = ask.body.to_vec();
            importer.take(&later, true).await
        } else {
            read_all(&mut importer, later).await
        };
        if let Err(refusal) = result {
            let text = format!("{}; {} pairs before it are set", refusal.message, importer.set);
            return Err(Refusal::new(refusal.code, text).ending_connection());
        }
        let mut object = show::object(&ask);
        object.raw("set", &importer.set.to_string());
        Ok(answer::json(StatusCode::OK, object.end()))
    })
}

async fn read_all(importer: &mut Importer, later: Later<'_>) -> Result<(), Refusal> {
    while let Some(piece) = body::piece(later.body, later.config).await? {
        importer.rest.extend_from_slice(&piece);
        importer.take(&later, false).await?;
        if importer.rest.len() > later.config.http_bulk_max_bytes {
            return Err(Refusal::new(
                Code::BodyTooLarge,
                "A row is longer than http-bulk-max-bytes",
            ));
        }
    }
    importer.take(&later, true).await
}

struct Importer {
    form: Form,
    /// Of rows that name none.
    namespace: Option<Vec<u8>>,
    csv: Csv,
    /// What was read and not taken yet.
    rest: Vec<u8>,
    /// Where rows of CSV end in `rest`, as far as it was looked at.
    ends: RowEnds,
    looked_at: usize,
    set: usize,
}

impl Importer {
    /// Sets the rows that are there whole.
    async fn take(&mut self, later: &Later<'_>, is_end: bool) -> Result<(), Refusal> {
        let end = if is_end { self.rest.len() } else { self.whole_rows() };
        if end == 0 {
            return Ok(());
        }
        let piece: Vec<u8> = self.rest.drain(..end).collect();
        self.looked_at -= end.min(self.looked_at);
        match self.form {
            Form::Json => self.set_all(later, rows::of_json(&piece)?).await,
            Form::JsonLines => self.set_all(later, rows::of_lines(&piece)).await,
            Form::Csv => {
                let mut csv = std::mem::take(&mut self.csv);
                let set = self.set_all(later, csv.rows(&piece)).await;
                self.csv = csv;
                set
            }
        }
    }

    /// Sets rows, some at a time; an error leaves those before it set.
    async fn set_all<'r>(
        &mut self,
        later: &Later<'_>,
        mut rows: impl Iterator<Item = Result<Row<'r>, Refusal>>,
    ) -> Result<(), Refusal> {
        let mut some = Vec::with_capacity(ROWS_AT_ONCE);
        let mut wrong = None;
        while wrong.is_none() {
            some.clear();
            for row in rows.by_ref().take(ROWS_AT_ONCE) {
                match row {
                    Ok(row) => some.push(row),
                    Err(refusal) => {
                        wrong = Some(refusal);
                        break;
                    }
                }
            }
            if some.is_empty() {
                break;
            }
            self.set_rows(later.connection, &some)?;
            later.connection.not_behind().await;
            tokio::task::yield_now().await;
        }
        wrong.map_or(Ok(()), Err)
    }

    /// How much of `rest` is whole rows.
    fn whole_rows(&mut self) -> usize {
        let mut end = 0;
        for (at, &byte) in self.rest.iter().enumerate().skip(self.looked_at) {
            let is_end = match self.form {
                Form::Csv => self.ends.is_behind(byte),
                Form::Json | Form::JsonLines => byte == b'\n',
            };
            if is_end {
                end = at + 1;
            }
        }
        self.looked_at = self.rest.len();
        end
    }

    fn set_rows(&mut self, connection: &Connection, rows: &[Row<'_>]) -> Result<(), Refusal> {
        let now_ms = connection.now_ms();
        let deadlines = rows.iter().map(|row| deadline(row, now_ms));
        let deadlines = deadlines.collect::<Result<Vec<_>, _>>()?;
        let mut args: Vec<&[u8]> = vec![b"NAMESPACE", b"MSET"];
        for (row, deadline) in rows.iter().zip(&deadlines) {
            let namespace = row.namespace.as_deref().filter(|name| !name.is_empty());
            let namespace = required(namespace.or(self.namespace.as_deref()), "namespace")?;
            match row.key.as_deref() {
                // An export has such a row for a namespace without pairs.
                None if row.value.is_none() => {
                    connection.run(&[b"NAMESPACE", b"CREATE", namespace])?;
                }
                key => {
                    let value = required(row.value.as_deref(), "value")?;
                    args.extend([namespace, required(key, "key")?, value, deadline]);
                }
            }
        }
        if args.len() > 2 {
            connection.run(&args)?;
            self.set += (args.len() - 2) / 4;
        }
        Ok(())
    }
}
