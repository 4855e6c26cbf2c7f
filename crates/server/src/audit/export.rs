//! Rows of the audit log for other programs: JSON lines, which are exact, and CSV for spreadsheets.

use portcullis_authority::refusal::Trouble;
use portcullis_store::{AuditEntry, AuditQuery, Store};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const HEAD: &str = "seq,time,event,organization,client_id,subject,actors,grant,jti,sid,scope,address,request_id,reason,detail,hash\r\n";
/// Rows in memory at a time.
const PAGE: usize = 1000;

/// What an export is written in.
pub trait Written {
    /// Its media type.
    fn kind(&self) -> &'static str;
    /// What comes first.
    fn head(&self) -> &'static str;
    /// A row, line end and all.
    fn row(&self, entry: &AuditEntry) -> String;
}

/// One JSON object a line.
#[derive(Clone, Copy, Debug)]
pub struct JsonLines;

/// RFC 4180. A cell that a spreadsheet would take for a formula has an apostrophe before it.
#[derive(Clone, Copy, Debug)]
pub struct Csv;

/// A piece of an export, newest rows first, and the question for the next piece: however much fits, no
/// more than a page is in memory.
///
/// # Errors
/// Trouble with the books.
pub async fn piece(
    store: &Store,
    query: &AuditQuery,
    form: &(dyn Written + Sync),
) -> Result<(String, Option<AuditQuery>), Trouble> {
    let page = store.audit_search(&AuditQuery { limit: PAGE, ..query.clone() }).await?;
    let text = page.entries.iter().map(|entry| form.row(entry)).collect();
    Ok((text, page.next.map(|before| AuditQuery { before: Some(before), ..query.clone() })))
}

/// A row as JSON: what it says, its number and its hash. What is absent is left out.
pub fn line(entry: &AuditEntry) -> Value {
    let mut value = serde_json::to_value(&entry.record).unwrap_or_default();
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, member| !member.is_null());
        members.insert("seq".into(), json!(entry.seq));
        members.insert("hash".into(), json!(entry.hash));
    }
    value
}

/// What was asked for, for the record of its reading.
pub fn asked(query: &AuditQuery) -> Value {
    let mut asked = json!({
        "organization": query.organization,
        "client_id": query.client_id,
        "subject": query.subject,
        "actor": query.actor,
        "event": query.event,
        "sid": query.sid,
        "jti": query.jti,
        "address": query.address,
        "request_id": query.request_id,
        "since": query.since,
        "until": query.until,
    });
    if let Some(members) = asked.as_object_mut() {
        members.retain(|_, member| !member.is_null());
    }
    asked
}

/// RFC 3339, for people.
pub fn moment(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| seconds.to_string())
}

impl Written for JsonLines {
    fn kind(&self) -> &'static str {
        "application/jsonl"
    }

    fn head(&self) -> &'static str {
        ""
    }

    fn row(&self, entry: &AuditEntry) -> String {
        format!("{}\n", line(entry))
    }
}

impl Written for Csv {
    fn kind(&self) -> &'static str {
        "text/csv; charset=utf-8"
    }

    fn head(&self) -> &'static str {
        HEAD
    }

    fn row(&self, entry: &AuditEntry) -> String {
        let r = &entry.record;
        let or_nothing = |text: &Option<String>| text.clone().unwrap_or_default();
        let cells = [
            entry.seq.to_string(),
            moment(r.at),
            r.event.clone(),
            or_nothing(&r.organization),
            or_nothing(&r.client_id),
            or_nothing(&r.subject),
            r.actors.join(" "),
            or_nothing(&r.grant),
            or_nothing(&r.jti),
            or_nothing(&r.sid),
            or_nothing(&r.scope),
            or_nothing(&r.address),
            or_nothing(&r.request_id),
            or_nothing(&r.reason),
            or_nothing(&r.detail),
            entry.hash.clone(),
        ];
        let mut row = cells.map(|text| cell(&text)).join(",");
        row.push_str("\r\n");
        row
    }
}

/// A cell of CSV that no spreadsheet takes for a formula.
pub(crate) fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let guard = if formula { "'" } else { "" };
    if text.contains(['"', ',', '\r', '\n']) {
        return format!("\"{guard}{}\"", text.replace('"', "\"\""));
    }
    format!("{guard}{text}")
}

#[cfg(test)]
mod tests {
    use portcullis_authority::ledger::AuditRecord;

    use super::*;

    fn entry(reason: &str) -> AuditEntry {
        let record = AuditRecord {
            at: 1_800_000_000,
            event: "token.refused".into(),
            actors: vec!["a".into(), "b".into()],
            reason: Some(reason.into()),
            ..AuditRecord::default()
        };
        AuditEntry { seq: 3, record, hash: "-h".into() }
    }

    #[test]
    fn a_cell_is_never_a_formula() {
        for (text, written) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@x", "'@x"),
            ("\tx", "'\tx"),
            ("=a,\"b\"", "\"'=a,\"\"b\"\"\""),
            ("a=b", "a=b"),
            ("a\r\nb", "\"a\r\nb\""),
        ] {
            assert_eq!(cell(text), written);
        }
    }

    #[test]
    fn a_row_of_csv_has_a_cell_for_every_column() {
        assert_eq!(Csv.head().matches(',').count(), Csv.row(&entry("no")).matches(',').count());
        assert_eq!(Csv.row(&entry("no")), "3,2027-01-15T08:00:00Z,token.refused,,,,a b,,,,,,,no,,'-h\r\n");
    }

    #[test]
    fn a_line_of_json_is_one_line_and_says_nothing_of_what_is_absent() {
        let line = JsonLines.row(&entry("a\nb"));
        assert_eq!(line.matches('\n').count(), 1);
        let read: Value = serde_json::from_str(&line).expect("it is JSON");
        assert_eq!(read["reason"], "a\nb");
        assert_eq!(read["seq"], 3);
        assert!(read.get("address").is_none());
    }
}
