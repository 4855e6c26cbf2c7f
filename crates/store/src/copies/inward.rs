//! Into the books: a copy fills an empty database, in one transaction with what ends everything that was issued
//! before it was taken. Half of it is never seen.

use diesel::prelude::*;
use diesel::sql_types;
use diesel_async::RunQueryDsl;
use portcullis_authority::ledger::Position;
use portcullis_authority::refusal::Trouble;

use super::lines::{Line, Progress, Sheet, wrong};
use super::tables::{Catalogue, Kind, Shape, TABLES, Tongue, place_of};
use super::{Imprint, Lines, PutBack, Rows, Then, trouble};
use crate::acts::{Acts, Effect, Ink};
use crate::audit::AuditBook;
use crate::cipher::Cipher;
use crate::db::{Db, Fault, both, on, tx};
use crate::feed::{Began, FeedBook};
use crate::schema::rv_feed;
use crate::{Clock, StoreSettings, audit};

/// Rows and bytes in one statement, about.
const BITE: usize = 500;
const BITE_BYTES: usize = 1 << 20;

/// Puts a copy into the database that the settings name, which must hold nothing; then does what `then` says,
/// for each feed, in the same transaction. Brings the tables up to date first.
///
/// # Errors
/// Trouble in a sentence: the database holds something, the copy is newer than this version or not of this
/// feed, or a line is not what belongs there. Then the database holds nothing of the copy.
pub async fn copy_in(
    (settings, clock): (&StoreSettings, &Clock),
    imprint: &Imprint,
    lines: &mut Lines<'_>,
    then: &Then<'_>,
) -> Result<PutBack, Trouble> {
    if !imprint.feeds.iter().any(|feed| feed.name == settings.feed_name) {
        let names: Vec<_> = imprint.feeds.iter().map(|feed| feed.name.as_str()).collect();
        return Err(trouble(format!(
            "the backup is of the feed {}, and feed.name is {}; restore with the settings that belong to it",
            names.join(", "),
            settings.feed_name
        )));
    }
    let root = settings.root_certificate.as_deref();
    let db = Db::connect(&settings.url, root, settings.connections.max(1), settings.patience)?;
    put_in(&db, clock, imprint, lines, then).await.map_err(trouble)
}

async fn put_in(
    db: &Db,
    clock: &Clock,
    imprint: &Imprint,
    lines: &mut Lines<'_>,
    then: &Then<'_>,
) -> Result<PutBack, Fault> {
    // Before the tables are touched at all: they may be somebody's who gave the wrong address.
    let touched = on!(db, |c| {
        let shapes = c.shapes().await?;
        c.touched(&shapes).await?
    });
    empty(touched)?;
    db.migrate().await?;
    let read_before = clock();
    let done = tx!(db, |c| {
        let shapes = c.shapes().await?;
        c.shut().await?;
        empty(c.touched(&shapes).await?)?;
        knows(&c.migrated().await?, imprint)?;
        let rows = c.fill(&shapes, lines).await?;
        let feeds = c.go_on(then, read_before).await?;
        Ok::<_, Fault>(PutBack { rows, feeds })
    })?;
    audit::close(db).await?;
    Ok(done)
}

fn empty(touched: Option<String>) -> Result<(), Fault> {
    match touched {
        None => Ok(()),
        Some(table) => Err(wrong(format!(
            "the database is not empty, there are rows in {table}; restore into a new one. Nothing was changed"
        ))),
    }
}

/// A copy from tables that this version does not know would lose what it does not know of.
fn knows(migrated: &[String], imprint: &Imprint) -> Result<(), Fault> {
    match imprint.migrations.iter().find(|version| !migrated.contains(version)) {
        None => Ok(()),
        Some(version) => Err(wrong(format!(
            "it was written by a newer version (migration {version}); restore with that one"
        ))),
    }
}

/// Filling, on an open transaction.
trait Filling {
    /// Keeps every other writer out.
    async fn shut(&mut self) -> Result<(), Fault>;
    async fn fill(&mut self, shapes: &[Shape], lines: &mut Lines<'_>) -> Result<Rows, Fault>;
    async fn put(&mut self, sheet: &Sheet, bite: &mut Bite) -> Result<(), Fault>;
    /// Begins what comes after the copy, in each of its feeds.
    async fn go_on(&mut self, then: &Then<'_>, read_before: u64) -> Result<Vec<(String, Position)>, Fault>;
}

/// Rows that go in together, as a JSON array of arrays.
#[derive(Default)]
struct Bite {
    text: String,
    rows: usize,
}

both! {
    impl Filling {
        async fn shut(&mut self) -> Result<(), Fault> {
            let names: Vec<_> = TABLES.iter().map(|table| table.name).collect();
            if let Some(lock) = <Self as Tongue>::lock(&names) {
                diesel::sql_query(lock).execute(self).await?;
            }
            Ok(())
        }

        async fn fill(&mut self, shapes: &[Shape], lines: &mut Lines<'_>) -> Result<Rows, Fault> {
            let (mut progress, mut bite) = (Progress::default(), Bite::default());
            for line in lines {
                let line = line.map_err(wrong)?;
                if line.starts_with('{') {
                    self.put(&progress.sheet, &mut bite).await?;
                }
                match progress.take(&line)? {
                    Line::Row(row) => {
                        progress.sheet.cells(row)?;
                        if bite.takes(row) {
                            self.put(&progress.sheet, &mut bite).await?;
                        }
                    }
                    Line::Table => {
                        fits(&progress.sheet, shapes)?;
                        // What a migration wrote gives way to what the copy has in its place.
                        let clear = format!("DELETE FROM {}", progress.sheet.name);
                        diesel::sql_query(clear).execute(self).await?;
                    }
                    Line::End => {}
                }
            }
            progress.finish()
        }

        async fn put(&mut self, sheet: &Sheet, bite: &mut Bite) -> Result<(), Fault> {
            if let Some(rows) = bite.close() {
                let insert = insert::<Self>(sheet);
                diesel::sql_query(insert).bind::<sql_types::Text, String>(rows).execute(self).await?;
            }
            Ok(())
        }

        async fn go_on(&mut self, then: &Then<'_>, read_before: u64) -> Result<Vec<(String, Position)>, Fault> {
            let names: Vec<String> = rv_feed::table.order(rv_feed::name).select(rv_feed::name).load(self).await?;
            let mut feeds = Vec::with_capacity(names.len());
            // What is written here is about nobody, so it needs no key; those of the copy are in its rows.
            let open = Cipher::new(None);
            for name in names {
                let head = self.feed(&name).await?.read()?;
                let deed = then(&head);
                let ink = Ink { salt: &head.salt, cipher: &open };
                let effect: Effect = self.act(&deed.act, &name, ink).await?;
                self.keep_audit(&deed.audit.iter().collect::<Vec<_>>(), &open).await?;
                let as_of_ms = self.began(read_before).await?;
                self.append(&name, &effect.records(), as_of_ms).await?;
                let position = self.position(&name).await?;
                feeds.push((name, position));
            }
            Ok(feeds)
        }
    }
}

impl Bite {
    /// Takes one more; whether it is enough.
    fn takes(&mut self, row: &str) -> bool {
        self.text.push(if self.rows == 0 { '[' } else { ',' });
        self.text.push_str(row);
        self.rows += 1;
        self.rows >= BITE || self.text.len() >= BITE_BYTES
    }

    /// All of them, if there are any.
    fn close(&mut self) -> Option<String> {
        let Self { mut text, rows } = std::mem::take(self);
        text.push(']');
        (rows > 0).then_some(text)
    }
}

/// Names that come out of a file go into a statement only if the database itself has them.
fn fits(sheet: &Sheet, shapes: &[Shape]) -> Result<(), Fault> {
    let shape = shapes.iter().find(|shape| shape.name == sheet.name && place_of(&shape.name).is_some());
    let shape = shape.ok_or_else(|| wrong(format!("there is no table {}", sheet.name)))?;
    let has = |column: &(String, Kind)| shape.columns.contains(column);
    match sheet.columns.iter().find(|column| !has(column)) {
        None if sheet.columns.is_empty() => Err(wrong(format!("{} has no columns", sheet.name))),
        None => Ok(()),
        Some((name, _)) => Err(wrong(format!("{}.{name} is not in the tables of this version", sheet.name))),
    }
}

fn insert<T: Tongue>(sheet: &Sheet) -> String {
    let names: Vec<_> = sheet.columns.iter().map(|(name, _)| name.as_str()).collect();
    let cells: Vec<_> =
        sheet.columns.iter().enumerate().map(|(place, (_, kind))| T::cell("one", place, *kind)).collect();
    format!("INSERT INTO {} ({}) SELECT {} FROM {}", sheet.name, names.join(", "), cells.join(", "), T::EACH)
}
