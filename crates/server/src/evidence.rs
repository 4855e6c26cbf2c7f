//! The evidence of an access review: who had what, what was decided about each line, by whom and why, with the
//! digest of the lines and the numbers of its records in the audit log.

use askama::Template;
use portcullis_authority::operators::{Denial, StaffBook as _};
use portcullis_authority::refusal::Trouble;
use portcullis_authority::reviews::{Review, ReviewRow, Reviews, digest_of, subject_of};
use portcullis_store::{AuditQuery, Store};

use crate::audit::{cell, moment};

/// Records in memory at a time.
const PAGE: usize = 1000;

/// Everything about one review.
pub struct Evidence {
    pub review: Review,
    pub rows: Vec<ReviewRow>,
    /// Numbers of its records in the audit log, oldest first.
    pub audit: Vec<u64>,
    /// Ids of operators and their addresses.
    names: Vec<(String, String)>,
}

/// It as a page that prints well.
#[derive(Template)]
#[template(path = "review.html")]
pub struct EvidencePage {
    heading: String,
    facts: Vec<(&'static str, String)>,
    lines: Vec<[String; 9]>,
}

const HEAD: &str = "row,kind,id,holder,email,organization,role,since,last_used,remarks,decision,decided_by,decided_at,reason\r\n";

impl Evidence {
    /// What there is about a review.
    ///
    /// # Errors
    /// [`Denial::Missing`] or trouble.
    pub async fn of(store: &Store, reviews: Reviews<'_>, id: &str) -> Result<Self, Denial> {
        let (review, rows) = reviews.one(id).await?;
        let staff = store.staff().await?;
        let names = staff.operators.into_iter().map(|it| (it.id, it.email)).collect();
        Ok(Self { audit: numbers(store, &review.id).await?, review, rows, names })
    }

    /// RFC 4180, with cells that no spreadsheet takes for a formula.
    pub fn csv(&self) -> String {
        let mut text = HEAD.to_owned();
        for row in &self.rows {
            let it = &row.access;
            let cells = [
                row.n.to_string(),
                it.kind.as_str().to_owned(),
                it.id.clone(),
                it.holder.clone(),
                it.email.clone().unwrap_or_default(),
                it.slug.clone().unwrap_or_default(),
                it.role.clone(),
                it.since.map(moment).unwrap_or_default(),
                it.last_used.map(moment).unwrap_or_default(),
                remarks(row),
                row.decision.map_or("", |it| it.as_str()).to_owned(),
                row.decided_by.as_deref().map(|id| self.name(id)).unwrap_or_default(),
                row.decided_at.map(moment).unwrap_or_default(),
                row.reason.clone().unwrap_or_default(),
            ];
            text.push_str(&cells.map(|one| cell(&one)).join(","));
            text.push_str("\r\n");
        }
        text
    }

    /// A page for people, paper and binders.
    pub fn page(&self) -> EvidencePage {
        let it = &self.review;
        let mut facts = vec![
            ("Covers", it.extent.organization.clone().unwrap_or_else(|| "everything".into())),
            ("Unused means", format!("no known use for {} days", it.extent.stale_days)),
            ("Opened", format!("{} by {}", moment(it.opened_at), self.name(&it.opened_by))),
            ("Assigned to", it.assignee.as_deref().map_or("any operator".into(), |id| self.name(id))),
            ("Decided", format!("{} of {} lines", it.decided, it.rows)),
        ];
        match (it.closed_at, &it.closed_by) {
            (Some(at), Some(by)) => {
                facts.push(("Closed", format!("{} by {}", moment(at), self.name(by))));
                facts.push(("SHA-256 of the lines", self.verdict()));
            }
            _ => facts.push(("Closed", "not yet: this is no evidence".into())),
        }
        let numbers: Vec<_> = self.audit.iter().map(u64::to_string).collect();
        facts.push(("Audit records", numbers.join(", ")));
        EvidencePage {
            heading: format!("Access review {}", it.id),
            facts,
            lines: self.rows.iter().map(|row| self.line(row)).collect(),
        }
    }

    /// The digest that was signed, and whether the lines are still those.
    fn verdict(&self) -> String {
        let now = digest_of(&self.rows);
        match &self.review.digest {
            Some(digest) if *digest == now => format!("{digest} (fits)"),
            Some(digest) => format!("{digest} (THE LINES WERE ALTERED: {now})"),
            None => "none".into(),
        }
    }

    fn line(&self, row: &ReviewRow) -> [String; 9] {
        let it = &row.access;
        let by = row.decided_by.as_deref().map(|id| self.name(id)).unwrap_or_default();
        let signed = row.decided_at.map(|at| format!("{by}, {}", moment(at))).unwrap_or_default();
        [
            row.n.to_string(),
            it.email.clone().unwrap_or_else(|| it.holder.clone()),
            format!("{} {}", it.kind.as_str(), it.id),
            format!("{} {}", it.slug.as_deref().unwrap_or_default(), it.role),
            it.since.map_or_else(|| "not known".into(), moment),
            it.last_used.map_or_else(|| "not known".into(), moment),
            remarks(row),
            row.decision.map_or("undecided", |it| it.as_str()).to_owned(),
            format!("{} {signed}", row.reason.as_deref().unwrap_or_default()),
        ]
    }

    fn name(&self, operator: &str) -> String {
        let found = self.names.iter().find(|(id, _)| id == operator);
        found.map_or_else(|| operator.to_owned(), |(_, email)| email.clone())
    }
}

fn remarks(row: &ReviewRow) -> String {
    let words: Vec<_> = row.access.remarks.iter().map(|it| it.as_str()).collect();
    words.join(" ")
}

/// The numbers of the audit records about a review, oldest first.
async fn numbers(store: &Store, review: &str) -> Result<Vec<u64>, Trouble> {
    let subject = Some(subject_of(review));
    let mut query = AuditQuery { subject, limit: PAGE, ..AuditQuery::default() };
    let mut numbers = Vec::new();
    loop {
        let page = store.audit_search(&query).await?;
        numbers.extend(page.entries.iter().map(|entry| entry.seq));
        match page.next {
            Some(before) => query.before = Some(before),
            None => break,
        }
    }
    numbers.reverse();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use portcullis_authority::reviews::{Access, AccessKind, Decision, Extent, Remark};

    use super::*;

    const HOSTILE: &str = "=cmd|'x'!A1<script>alert(1)</script>";

    fn hostile() -> Evidence {
        let access = Access {
            kind: AccessKind::Membership,
            id: "m".into(),
            holder: "p".into(),
            email: Some(HOSTILE.into()),
            organization: Some("o".into()),
            slug: Some("acme".into()),
            role: HOSTILE.into(),
            since: None,
            last_used: None,
            remarks: vec![Remark::Unused],
        };
        let row = ReviewRow {
            n: 1,
            access,
            decision: Some(Decision::Keep),
            decided_by: Some("ann".into()),
            decided_at: Some(1_800_000_000),
            reason: Some(HOSTILE.into()),
        };
        let review = Review {
            id: "r".into(),
            extent: Extent { organization: None, stale_days: 90 },
            opened_by: "ann".into(),
            opened_at: 1_800_000_000,
            assignee: None,
            rows: 1,
            decided: 1,
            closed_by: Some("ann".into()),
            closed_at: Some(1_800_000_000),
            digest: Some(digest_of(std::slice::from_ref(&row))),
        };
        let names = vec![("ann".into(), "ann@example.com".into())];
        Evidence { review, rows: vec![row], audit: vec![7, 9], names }
    }

    #[test]
    fn a_hostile_name_is_neither_markup_nor_a_formula() {
        let seen = hostile();
        let html = seen.page().render().unwrap();
        assert!(!html.contains("<script>") && html.contains("&#60;script&#62;"), "{html}");
        assert!(html.contains("(fits)") && html.contains("7, 9"), "{html}");
        for cell in seen.csv().lines().nth(1).unwrap().split(',') {
            assert!(!cell.starts_with('='), "{cell}");
        }
    }

    #[test]
    fn lines_that_were_altered_do_not_fit_their_digest() {
        let mut seen = hostile();
        seen.rows[0].decision = Some(Decision::Withdraw);
        assert!(seen.page().render().unwrap().contains("ALTERED"));
    }

    #[test]
    fn a_row_of_csv_has_a_cell_for_every_column() {
        let csv = hostile().csv();
        let mut lines = csv.lines();
        let count = |line: Option<&str>| line.unwrap().matches(',').count();
        assert_eq!(count(lines.next()), count(lines.next()));
    }
}
