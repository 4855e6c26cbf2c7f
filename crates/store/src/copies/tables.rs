//! Which tables there are, in the order in which they can be filled, and what the database says of their
//! columns. A migration that adds a table adds its line here; a test and every backup look whether it did.

use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};

use crate::db::{Fault, Postgres, Sqlite, both};

/// A table of the books.
pub(super) struct Table {
    pub name: &'static str,
    /// Which of its rows a migration wrote and nobody has touched since.
    pub untouched: &'static str,
}

const fn table(name: &'static str) -> Table {
    Table { name, untouched: "1 = 0" }
}

const fn counter(name: &'static str, untouched: &'static str) -> Table {
    Table { name, untouched }
}

/// All of them; whoever is referred to comes before who refers. What the audit log is checked against comes
/// before the log.
pub(super) const TABLES: &[Table] = &[
    table("data_keys"),
    table("organizations"),
    table("applications"),
    table("roles"),
    table("fences"),
    table("guards"),
    table("guard_reports"),
    table("people"),
    table("person_factors"),
    table("person_recovery"),
    table("person_invitations"),
    table("memberships"),
    table("cards"),
    table("generations"),
    counter("registry_version", "version = 0"),
    table("codes"),
    table("families"),
    table("sessions"),
    table("assertions"),
    counter("audit_head", "seq = 0"),
    counter("audit_anchor", "seq = 0"),
    table("audit"),
    table("audit_checkpoints"),
    table("audit_destinations"),
    table("audit_dead_letters"),
    table("rv_feed"),
    table("rv_log"),
    table("operators"),
    table("operator_recovery"),
    table("operator_sessions"),
    table("operator_invitations"),
    counter("staff_version", "version = 0"),
    table("proposals"),
    table("secret_uses"),
    table("signing_keys"),
    counter("signing_keys_version", "version = 0"),
    table("reviews"),
    table("review_rows"),
    table("retention_runs"),
    table("people_idle"),
];

/// Where diesel writes down which migrations were run.
pub(super) const MIGRATIONS: &str = "__diesel_schema_migrations";

/// What a column holds; there is nothing else in these books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Text,
    Bigint,
    Boolean,
}

/// A table as the database has it.
pub(super) struct Shape {
    pub name: String,
    pub columns: Vec<(String, Kind)>,
    /// The columns of the primary key, in its order.
    pub key: Vec<String>,
}

#[derive(diesel::QueryableByName)]
struct Column {
    #[diesel(sql_type = diesel::sql_types::Text)]
    table_name: String,
    #[diesel(sql_type = diesel::sql_types::Text)]
    name: String,
    #[diesel(sql_type = diesel::sql_types::Text)]
    kind: String,
    /// The place in the primary key, from 1; 0 when it is not in it.
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    place: i64,
}

/// A text, whatever it is.
#[derive(diesel::QueryableByName)]
pub(super) struct Text {
    #[diesel(sql_type = diesel::sql_types::Text)]
    pub text: String,
}

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}

/// The words in which the two databases differ here.
pub(super) trait Tongue {
    const COLUMNS: &str;
    /// Keeps everybody else out of these tables until the transaction ends, where beginning it did not.
    fn lock(tables: &[&str]) -> Option<String>;
    /// A row of these columns as a JSON array.
    fn row(columns: &[(String, Kind)]) -> String;
    /// The cells of `one` of these places and kinds, where `one` is a JSON array.
    fn cell(one: &str, place: usize, kind: Kind) -> String;
    /// What makes rows, called `one`, of the JSON array of arrays in `$1`.
    const EACH: &str;
    /// The JSON array in `$1`.
    const GIVEN: &str;
}

impl Tongue for Sqlite {
    const COLUMNS: &str = "SELECT m.name AS table_name, c.name AS name, lower(c.type) AS kind, c.pk AS place \
         FROM sqlite_schema m JOIN pragma_table_info(m.name) c \
         WHERE m.type = 'table' AND substr(m.name, 1, 7) <> 'sqlite_' ORDER BY m.name, c.cid";
    const EACH: &str = "(SELECT value AS one FROM json_each($1))";
    const GIVEN: &str = "$1";

    /// `BEGIN IMMEDIATE` keeps every other writer out.
    fn lock(_: &[&str]) -> Option<String> {
        None
    }

    fn row(columns: &[(String, Kind)]) -> String {
        let cells = columns.iter().map(|(name, kind)| match kind {
            // There is no boolean, only numbers that are meant so.
            Kind::Boolean => {
                format!("json(CASE WHEN {name} IS NULL THEN 'null' WHEN {name} THEN 'true' ELSE 'false' END)")
            }
            _ => name.clone(),
        });
        format!("json_array({})", cells.collect::<Vec<_>>().join(", "))
    }

    fn cell(one: &str, place: usize, _: Kind) -> String {
        format!("json_extract({one}, '$[{place}]')")
    }
}

impl Tongue for Postgres {
    const COLUMNS: &str = "SELECT c.table_name::text AS table_name, c.column_name::text AS name, \
         c.data_type::text AS kind, COALESCE(k.ordinal_position, 0)::bigint AS place \
         FROM information_schema.columns c \
         JOIN information_schema.tables t USING (table_schema, table_name) \
         LEFT JOIN information_schema.table_constraints p ON p.constraint_type = 'PRIMARY KEY' \
           AND p.table_schema = c.table_schema AND p.table_name = c.table_name \
         LEFT JOIN information_schema.key_column_usage k ON k.constraint_schema = p.constraint_schema \
           AND k.constraint_name = p.constraint_name AND k.table_name = c.table_name \
           AND k.column_name = c.column_name \
         WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' \
         ORDER BY c.table_name, c.ordinal_position";
    const EACH: &str = "json_array_elements(CAST($1 AS json)) AS one";
    const GIVEN: &str = "CAST($1 AS json)";

    fn lock(tables: &[&str]) -> Option<String> {
        Some(format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", tables.join(", ")))
    }

    fn row(columns: &[(String, Kind)]) -> String {
        let names: Vec<_> = columns.iter().map(|(name, _)| name.as_str()).collect();
        format!("json_build_array({})::text", names.join(", "))
    }

    fn cell(one: &str, place: usize, kind: Kind) -> String {
        match kind {
            Kind::Text => format!("({one} ->> {place})"),
            Kind::Bigint => format!("({one} ->> {place})::bigint"),
            Kind::Boolean => format!("({one} ->> {place})::boolean"),
        }
    }
}

/// Looking at the database itself.
pub(super) trait Catalogue {
    /// Our tables that are there, in the order of [`TABLES`].
    async fn shapes(&mut self) -> Result<Vec<Shape>, Fault>;
    /// The versions of the migrations that were run.
    async fn migrated(&mut self) -> Result<Vec<String>, Fault>;
    /// The first of these tables that holds something that no migration wrote.
    async fn touched(&mut self, shapes: &[Shape]) -> Result<Option<String>, Fault>;
}

both! {
    impl Catalogue {
        async fn shapes(&mut self) -> Result<Vec<Shape>, Fault> {
            let columns: Vec<Column> =
                diesel::sql_query(<Self as Tongue>::COLUMNS).load(self).await?;
            in_order(columns)
        }

        async fn migrated(&mut self) -> Result<Vec<String>, Fault> {
            let query = format!("SELECT version AS text FROM {MIGRATIONS} ORDER BY version");
            let versions: Vec<Text> = diesel::sql_query(query).load(self).await?;
            Ok(versions.into_iter().map(|version| version.text).collect())
        }

        async fn touched(&mut self, shapes: &[Shape]) -> Result<Option<String>, Fault> {
            for Table { name, untouched } in TABLES {
                if !shapes.iter().any(|shape| shape.name == *name) {
                    continue;
                }
                let query = format!("SELECT count(*) AS count FROM {name} WHERE NOT ({untouched})");
                let Count { count } = diesel::sql_query(query).get_result(self).await?;
                if count > 0 {
                    return Ok(Some((*name).to_owned()));
                }
            }
            Ok(None)
        }
    }
}

fn in_order(columns: Vec<Column>) -> Result<Vec<Shape>, Fault> {
    let stranger = columns
        .iter()
        .find(|column| column.table_name != MIGRATIONS && place_of(&column.table_name).is_none());
    if let Some(Column { table_name, .. }) = stranger {
        return Err(Fault::Copy(format!(
            "the database has the table {table_name}, which this version does not know; use the version that \
             made it"
        )));
    }
    let shape = |table: &Table| -> Option<Result<Shape, Fault>> {
        let mine: Vec<_> = columns.iter().filter(|column| column.table_name == table.name).collect();
        (!mine.is_empty()).then(|| shape_of(table.name, &mine))
    };
    TABLES.iter().filter_map(shape).collect()
}

fn shape_of(table: &str, columns: &[&Column]) -> Result<Shape, Fault> {
    let mut key: Vec<_> = columns.iter().filter(|column| column.place > 0).collect();
    key.sort_by_key(|column| column.place);
    let columns = columns.iter().map(|column| Ok((column.name.clone(), kind_of(table, column)?)));
    Ok(Shape {
        name: table.to_owned(),
        columns: columns.collect::<Result<_, Fault>>()?,
        key: key.into_iter().map(|column| column.name.clone()).collect(),
    })
}

fn kind_of(table: &str, column: &Column) -> Result<Kind, Fault> {
    match column.kind.as_str() {
        "text" => Ok(Kind::Text),
        "bigint" => Ok(Kind::Bigint),
        "boolean" => Ok(Kind::Boolean),
        other => Err(Fault::Copy(format!(
            "{table}.{} is of the kind {other}, which no copy can hold",
            column.name
        ))),
    }
}

/// Where a table stands in the order.
pub(super) fn place_of(name: &str) -> Option<usize> {
    TABLES.iter().position(|table| table.name == name)
}

/// What they are called.
#[cfg(test)]
pub(crate) fn table_names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|table| table.name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    // Not all of it: the other `RunQueryDsl` is in there.
    use super::{Column, Count, Sqlite, TABLES, Table, Tongue as _, in_order, place_of};
    use diesel::connection::SimpleConnection as _;
    use diesel::{Connection as _, QueryableByName, RunQueryDsl as _, SqliteConnection};

    #[derive(QueryableByName)]
    struct Reference {
        #[diesel(sql_type = diesel::sql_types::Text)]
        of: String,
        #[diesel(sql_type = diesel::sql_types::Text)]
        to: String,
    }

    /// The tables as the migrations make them.
    fn made() -> SqliteConnection {
        let mut books = SqliteConnection::establish(":memory:").unwrap();
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let mut steps: Vec<_> = std::fs::read_dir(folder).unwrap().map(|step| step.unwrap().path()).collect();
        steps.sort();
        for step in steps {
            books.batch_execute(&std::fs::read_to_string(step.join("up.sql")).unwrap()).unwrap();
        }
        books
    }

    #[test]
    fn a_copy_knows_every_table_that_a_migration_makes() {
        let columns: Vec<Column> = diesel::sql_query(Sqlite::COLUMNS).load(&mut made()).unwrap();
        let there: BTreeSet<_> = columns.iter().map(|column| column.table_name.as_str()).collect();
        let known: BTreeSet<_> = TABLES.iter().map(|table| table.name).collect();
        assert_eq!(there, known, "a table that a migration adds needs its line in copies/tables.rs");
        for shape in in_order(columns).unwrap() {
            assert!(!shape.key.is_empty(), "{} has no key to be read by", shape.name);
        }
    }

    #[test]
    fn whoever_is_referred_to_is_filled_before() {
        let query = "SELECT m.name AS \"of\", f.\"table\" AS \"to\" FROM sqlite_schema m \
             JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table'";
        let references: Vec<Reference> = diesel::sql_query(query).load(&mut made()).unwrap();
        assert!(references.len() > 5);
        for Reference { of, to } in references {
            assert!(place_of(&to) < place_of(&of), "{of} refers to {to}");
        }
    }

    #[test]
    fn what_the_migrations_wrote_counts_as_nothing() {
        let mut books = made();
        for Table { name, untouched } in TABLES {
            let query = format!("SELECT count(*) AS count FROM {name} WHERE NOT ({untouched})");
            let found: Count = diesel::sql_query(query).get_result(&mut books).unwrap();
            assert_eq!(found.count, 0, "{name}");
        }
    }
}
