//! The lines of a copy, read without a database: whether every row has the cells of its table, whether the audit
//! log hangs together, and whether nothing is missing between the first line and the last.

use portcullis_authority::refusal::Trouble;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::tables::{Kind, place_of};
use super::{FeedMark, Imprint, Rows, trouble};
use crate::audit::{AuditMark, AuditVerdict, StoredAudit, Walk};
use crate::cipher::Cipher;
use crate::db::Fault;

/// A line that is not a row.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Heading {
    /// Rows of this table follow.
    Table { name: String, columns: Vec<(String, Kind)> },
    /// Nothing follows.
    End { rows: Rows },
}

/// What a line was.
pub(super) enum Line<'a> {
    Table,
    /// A row of the newest table.
    Row(&'a str),
    End,
}

/// The table whose rows are being read.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    pub name: String,
    pub columns: Vec<(String, Kind)>,
}

/// How far the reading of a copy has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub sheet: Sheet,
    pub rows: Rows,
    ended: bool,
}

/// Reads a copy to its end and finds out whether it is whole and hangs together.
pub struct CopyReader {
    imprint: Imprint,
    progress: Progress,
    feeds: Vec<FeedMark>,
    anchor: AuditMark,
    head: (i64, String),
    /// Since the first row of the audit log.
    walk: Option<Walk>,
}

impl Heading {
    pub fn line(&self) -> Result<String, Fault> {
        serde_json::to_string(self).map_err(|why| Fault::unreadable("a line of a copy", why))
    }
}

impl Progress {
    /// Takes the next line.
    pub fn take<'a>(&mut self, line: &'a str) -> Result<Line<'a>, Fault> {
        if self.ended {
            return Err(wrong("something follows its last line"));
        }
        if line.starts_with('[') {
            let count = self.rows.get_mut(&self.sheet.name).ok_or_else(|| wrong("a row is of no table"))?;
            *count += 1;
            return Ok(Line::Row(line));
        }
        match serde_json::from_str(line).map_err(|why| wrong(format!("a line is not one of ours: {why}")))? {
            Heading::Table { name, columns } => {
                self.begin(name, columns)?;
                Ok(Line::Table)
            }
            Heading::End { rows } if rows == self.rows => {
                self.ended = true;
                Ok(Line::End)
            }
            Heading::End { .. } => Err(wrong("it does not hold as many rows as were written")),
        }
    }

    /// The rows of each table, if the last line was there.
    pub fn finish(self) -> Result<Rows, Fault> {
        match self.ended {
            true => Ok(self.rows),
            false => Err(wrong("its end is missing")),
        }
    }

    /// Tables come each once and in our order, so that whoever is referred to is there.
    fn begin(&mut self, name: String, columns: Vec<(String, Kind)>) -> Result<(), Fault> {
        let place = place_of(&name).ok_or_else(|| {
            wrong(format!(
                "it holds the table {name}, which this version does not know; use the one that wrote it"
            ))
        })?;
        if self.rows.keys().any(|known| place_of(known) >= Some(place)) {
            return Err(wrong(format!("the table {name} is not in its place")));
        }
        self.rows.insert(name.clone(), 0);
        self.sheet = Sheet { name, columns };
        Ok(())
    }
}

impl Sheet {
    /// The cells of a row, if they are as many as the columns and of their kinds.
    pub fn cells<'a>(&self, row: &'a str) -> Result<Vec<&'a RawValue>, Fault> {
        let cells: Vec<&RawValue> = serde_json::from_str(row).map_err(wrong)?;
        let fits = cells.len() == self.columns.len()
            && cells.iter().zip(&self.columns).all(|(cell, (_, kind))| kind.takes(cell.get()));
        match fits {
            true => Ok(cells),
            false => Err(wrong(format!("a row of {} has not the cells of its table", self.name))),
        }
    }

    /// The row with the names of its columns.
    fn named(&self, row: &str) -> Result<Value, Fault> {
        let cells = self.cells(row)?;
        let cell = |((name, _), cell): (&(String, Kind), &&RawValue)| {
            Ok((name.clone(), serde_json::from_str(cell.get()).map_err(wrong)?))
        };
        Ok(Value::Object(self.columns.iter().zip(&cells).map(cell).collect::<Result<Map<_, _>, Fault>>()?))
    }
}

impl Kind {
    fn takes(self, cell: &str) -> bool {
        cell == "null"
            || match self {
                Self::Text => cell.starts_with('"'),
                Self::Bigint => cell.parse::<i64>().is_ok(),
                Self::Boolean => cell == "true" || cell == "false",
            }
    }
}

impl CopyReader {
    /// Begins; `imprint` is what the copy says of itself.
    pub fn new(imprint: Imprint) -> Self {
        Self {
            imprint,
            progress: Progress::default(),
            feeds: Vec::new(),
            anchor: AuditMark { seq: 0, hash: String::new() },
            head: (0, String::new()),
            walk: None,
        }
    }

    /// Takes the next line.
    ///
    /// # Errors
    /// Trouble in a sentence: the line is not what belongs there.
    pub fn take(&mut self, line: &str) -> Result<(), Trouble> {
        self.look(line).map_err(trouble)
    }

    /// The rows of each table, and what was found of the audit log.
    ///
    /// # Errors
    /// Trouble in a sentence: something is missing, or the rows are not those that the copy names.
    pub fn finish(self) -> Result<(Rows, AuditVerdict), Trouble> {
        let rows = self.progress.finish().map_err(trouble)?;
        if self.feeds != self.imprint.feeds {
            return Err(trouble(wrong("its feeds do not stand where its first line says")));
        }
        if (u64::try_from(self.head.0).ok(), &self.head.1)
            != (Some(self.imprint.audit.0), &self.imprint.audit.1)
        {
            return Err(trouble(wrong("its audit log does not end where its first line says")));
        }
        let walk = self.walk.unwrap_or_else(|| Walk::after(self.anchor, Vec::new()));
        Ok((rows, walk.verdict(&self.head)))
    }

    fn look(&mut self, line: &str) -> Result<(), Fault> {
        let Line::Row(row) = self.progress.take(line)? else { return Ok(()) };
        let sheet = &self.progress.sheet;
        match sheet.name.as_str() {
            "rv_feed" => self.feeds.push(read(sheet.named(row)?)?),
            "audit_anchor" => self.anchor = read(sheet.named(row)?)?,
            "audit_head" => {
                let Ending { seq, hash } = read(sheet.named(row)?)?;
                self.head = (seq, hash);
            }
            "audit" => {
                let stored: StoredAudit = read(sheet.named(row)?)?;
                let walk = self.walk.take().unwrap_or_else(|| Walk::after(self.anchor.clone(), Vec::new()));
                // Whoever checks a copy need not have the keys of its fields: the chain holds without.
                self.walk = Some(walk.over(vec![stored], self.head.0, &Cipher::new(None)));
            }
            _ => {
                sheet.cells(row)?;
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Ending {
    seq: i64,
    hash: String,
}

fn read<T: serde::de::DeserializeOwned>(row: Value) -> Result<T, Fault> {
    serde_json::from_value(row).map_err(wrong)
}

pub(super) fn wrong(why: impl std::fmt::Display) -> Fault {
    Fault::Copy(why.to_string())
}
