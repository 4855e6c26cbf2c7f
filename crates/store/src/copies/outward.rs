//! Out of the books: table after table in one read transaction, some rows at a time, so that a table of any
//! length fits and no statement takes long.

use std::io;

use diesel::sql_types;
use diesel_async::RunQueryDsl;
use portcullis_authority::refusal::Trouble;

use super::lines::Heading;
use super::tables::{Catalogue, Shape, Text, Tongue};
use super::{FeedMark, Imprint, Rows, Tray, trouble};
use crate::Store;
use crate::db::{Fault, both, glance};
use crate::rows::unsigned;
use crate::schema::{audit_head, rv_feed};

/// Rows in one step.
const STRIDE: usize = 500;

impl Store {
    /// Copies everything, as it is at one moment; whoever writes meanwhile is not held up. How many rows of
    /// each table that were.
    ///
    /// # Errors
    /// Trouble with the books or the tray.
    pub async fn copy_out(&self, tray: &mut dyn Tray) -> Result<Rows, Trouble> {
        let copied: Result<Rows, Fault> = self.copied(tray).await;
        copied.map_err(trouble)
    }

    async fn copied(&self, tray: &mut dyn Tray) -> Result<Rows, Fault> {
        glance!(self.books.db, |c| c.pour(tray).await)
    }
}

/// Copying on an open transaction.
trait Pouring {
    async fn pour(&mut self, tray: &mut dyn Tray) -> Result<Rows, Fault>;
    async fn imprint(&mut self) -> Result<Imprint, Fault>;
    async fn pour_table(&mut self, shape: &Shape, tray: &mut dyn Tray) -> Result<u64, Fault>;
}

both! {
    impl Pouring {
        async fn pour(&mut self, tray: &mut dyn Tray) -> Result<Rows, Fault> {
            let imprint = self.imprint().await?;
            tray.begin(&imprint).map_err(stopped)?;
            let mut rows = Rows::new();
            for shape in self.shapes().await? {
                let count = self.pour_table(&shape, tray).await?;
                rows.insert(shape.name, count);
            }
            tray.line(&Heading::End { rows: rows.clone() }.line()?).map_err(stopped)?;
            Ok(rows)
        }

        async fn imprint(&mut self) -> Result<Imprint, Fault> {
            use diesel::prelude::*;
            use diesel_async::RunQueryDsl;
            let feeds: Vec<(String, i64, i64, String)> = RunQueryDsl::load(
                rv_feed::table
                    .order(rv_feed::name)
                    .select((rv_feed::name, rv_feed::epoch, rv_feed::seq, rv_feed::chain)),
                self,
            )
            .await?;
            let (seq, hash): (i64, String) = RunQueryDsl::get_result(
                audit_head::table.find(1).select((audit_head::seq, audit_head::hash)),
                self,
            )
            .await?;
            let mark = |(name, epoch, seq, chain)| {
                FeedMark { name, epoch: unsigned(epoch), seq: unsigned(seq), chain }
            };
            Ok(Imprint {
                migrations: self.migrated().await?,
                feeds: feeds.into_iter().map(mark).collect(),
                audit: (unsigned(seq), hash),
            })
        }

        async fn pour_table(&mut self, shape: &Shape, tray: &mut dyn Tray) -> Result<u64, Fault> {
            let columns = shape.columns.clone();
            tray.line(&Heading::Table { name: shape.name.clone(), columns }.line()?).map_err(stopped)?;
            let (mut count, mut last) = (0, None);
            loop {
                let step = step::<Self>(shape, last.is_some());
                let rows: Vec<Text> = match last.take() {
                    None => diesel::sql_query(step).load(self).await?,
                    Some(key) => {
                        let after = diesel::sql_query(step).bind::<sql_types::Text, String>(key);
                        after.load(self).await?
                    }
                };
                for row in &rows {
                    tray.line(&row.text).map_err(stopped)?;
                }
                count += rows.len() as u64;
                match rows.last() {
                    Some(row) if rows.len() == STRIDE => last = Some(key_of(shape, &row.text)?),
                    _ => return Ok(count),
                }
            }
        }
    }
}

/// The next rows of a table by its key; from the second step on, those after the key in `$1`.
fn step<T: Tongue>(shape: &Shape, goes_on: bool) -> String {
    let key = shape.key.join(", ");
    let kind = |name: &String| shape.columns.iter().find(|(column, _)| column == name).map(|(_, kind)| *kind);
    let given = shape.key.iter().enumerate();
    let given = given.filter_map(|(place, name)| Some(T::cell(T::GIVEN, place, kind(name)?)));
    let after = match goes_on {
        true => format!("WHERE ({key}) > ({})", given.collect::<Vec<_>>().join(", ")),
        false => String::new(),
    };
    let row = T::row(&shape.columns);
    format!("SELECT {row} AS text FROM {} {after} ORDER BY {key} LIMIT {STRIDE}", shape.name)
}

/// The key of a row, as a JSON array.
fn key_of(shape: &Shape, row: &str) -> Result<String, Fault> {
    let unreadable = |why: &dyn std::fmt::Display| Fault::unreadable("a row of a copy", why);
    let cells: Vec<serde_json::Value> = serde_json::from_str(row).map_err(|why| unreadable(&why))?;
    let cell = |name: &String| {
        let place = shape.columns.iter().position(|(column, _)| column == name)?;
        cells.get(place)
    };
    let key: Option<Vec<_>> = shape.key.iter().map(cell).collect();
    let key = key.ok_or_else(|| unreadable(&"it has no key"))?;
    serde_json::to_string(&key).map_err(|why| unreadable(&why))
}

fn stopped(why: io::Error) -> Fault {
    Fault::Copy(why.to_string())
}
