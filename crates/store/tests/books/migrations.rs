//! The rule of docs/decisions/0019, held against the tables themselves: each migration only adds, so that the
//! release before works over the tables of the next one. Looks at what a migration did, not at its words.

use std::collections::BTreeMap;
use std::path::Path;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel::sqlite::SqliteConnection;

/// A migration that takes something away says so, and in which release its users were gone.
const CONTRACT: &str = "-- contract:";

#[derive(Clone, Debug, PartialEq, QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    table_name: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Bool)]
    required: bool,
    #[diesel(sql_type = Nullable<Text>)]
    default: Option<String>,
    #[diesel(sql_type = BigInt)]
    key: i64,
}

/// Something that refuses rows: a unique index or a reference.
#[derive(Clone, Debug, PartialEq, QueryableByName)]
struct Bond {
    #[diesel(sql_type = Text)]
    table_name: String,
    #[diesel(sql_type = Text)]
    what: String,
}

const COLUMNS: &str = "SELECT m.name AS table_name, c.name, c.type AS kind, c.\"notnull\" AS required, \
     c.dflt_value AS \"default\", c.pk AS key \
     FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'";
const BONDS: &str = "SELECT m.name AS table_name, 'unique ' || group_concat(c.name) AS what \
     FROM sqlite_schema m JOIN pragma_index_list(m.name) i JOIN pragma_index_info(i.name) c \
     WHERE m.type = 'table' AND i.\"unique\" GROUP BY m.name, i.name \
     UNION ALL SELECT m.name, f.\"from\" || ' refers to ' || f.\"table\" \
     FROM sqlite_schema m JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table'";

/// The tables at one moment.
struct Tables {
    columns: BTreeMap<(String, String), Column>,
    bonds: Vec<Bond>,
}

impl Tables {
    fn of(books: &mut SqliteConnection) -> Self {
        let columns: Vec<Column> = diesel::sql_query(COLUMNS).load(books).unwrap();
        let bonds = diesel::sql_query(BONDS).load(books).unwrap();
        let named = |column: Column| ((column.table_name.clone(), column.name.clone()), column);
        Self { columns: columns.into_iter().map(named).collect(), bonds }
    }

    fn has(&self, table: &str) -> bool {
        self.columns.keys().any(|(name, _)| name == table)
    }

    /// What a program that knows these tables could no longer do with the next ones.
    fn lost_in(&self, next: &Self) -> Vec<String> {
        let mut lost = Vec::new();
        for (name, column) in &self.columns {
            match next.columns.get(name) {
                None => lost.push(format!("{}.{} is gone", name.0, name.1)),
                Some(now) if now != column => lost.push(format!("{}.{} is another", name.0, name.1)),
                Some(_) => {}
            }
        }
        for (name, column) in &next.columns {
            let is_new = self.has(&name.0) && !self.columns.contains_key(name);
            if is_new && column.required && column.default.is_none() {
                lost.push(format!("{}.{} must be given", name.0, name.1));
            }
        }
        let news = next.bonds.iter().filter(|bond| self.has(&bond.table_name) && !self.bonds.contains(bond));
        lost.extend(news.map(|bond| format!("{}: {} is new", bond.table_name, bond.what)));
        lost
    }
}

fn migrations() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut steps: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|step| {
            let path = step.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path.join("up.sql")).unwrap())
        })
        .collect();
    steps.sort();
    steps
}

/// What each migration took away.
fn losses(steps: &[(String, String)]) -> Vec<String> {
    let mut books = SqliteConnection::establish(":memory:").unwrap();
    let mut lost = Vec::new();
    for (name, sql) in steps {
        let before = Tables::of(&mut books);
        books.batch_execute(sql).unwrap();
        if !sql.lines().any(|line| line.starts_with(CONTRACT)) {
            let here = before.lost_in(&Tables::of(&mut books));
            lost.extend(here.into_iter().map(|what| format!("{name}: {what}")));
        }
    }
    lost
}

#[test]
fn a_migration_only_adds() {
    let steps = migrations();
    assert!(steps.len() >= 3);
    assert_eq!(losses(&steps), Vec::<String>::new(), "see docs/decisions/0019-releases-only-add.md");
}

#[test]
fn what_would_stop_the_release_before_is_noticed() {
    let begin =
        "CREATE TABLE a (id TEXT NOT NULL PRIMARY KEY, n BIGINT); CREATE TABLE b (id TEXT PRIMARY KEY);";
    let lost = |next: &str| {
        losses(&[("1".to_owned(), begin.to_owned()), ("2".to_owned(), next.to_owned())]).join("; ")
    };
    assert_eq!(
        lost("ALTER TABLE a ADD COLUMN x TEXT; CREATE INDEX a_n ON a (n); CREATE TABLE c (id TEXT)"),
        ""
    );
    assert_eq!(lost("ALTER TABLE a ADD COLUMN x BIGINT NOT NULL DEFAULT 0"), "");
    assert_eq!(lost("ALTER TABLE a DROP COLUMN n"), "2: a.n is gone");
    assert_eq!(lost("ALTER TABLE a RENAME COLUMN n TO m"), "2: a.n is gone");
    assert_eq!(lost("DROP TABLE b"), "2: b.id is gone");
    assert_eq!(lost("CREATE UNIQUE INDEX once ON a (n)"), "2: a: unique n is new");
    assert_eq!(lost("ALTER TABLE a ADD COLUMN b_id TEXT REFERENCES b (id)"), "2: a: b_id refers to b is new");
    let retyped = "DROP TABLE a; CREATE TABLE a (id TEXT NOT NULL PRIMARY KEY, n TEXT)";
    assert_eq!(lost(retyped), "2: a.n is another");
    let required = "DROP TABLE a; CREATE TABLE a (id TEXT NOT NULL PRIMARY KEY, n BIGINT, x TEXT NOT NULL)";
    assert_eq!(lost(required), "2: a.x must be given");
    assert_eq!(lost("-- contract: nobody has used b since 0.4\nDROP TABLE b"), "");
}
