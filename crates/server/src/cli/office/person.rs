//! `portcullis people ...` about one person: what there is to see of an account, and what is done to it.

use std::path::PathBuf;

use clap::Args;
use portcullis_authority::secret::Secret;
use serde_json::{Value, json};

use super::super::{Failure, Outcome};
use super::address::part;
use super::counter::{Counter, hand_over};
use super::ordered::proposed;
use super::table::{Table, text, time};

/// Who is meant.
#[derive(Debug, Args)]
pub(super) struct One {
    #[command(flatten)]
    counter: Counter,
    /// Id of the person, see `portcullis people list`.
    person: String,
}

impl One {
    pub fn export(&self, output: Option<PathBuf>) -> Outcome {
        let held = self.counter.get(&self.path("/export"))?;
        hand_over(&format!("{held:#}\n"), output.as_deref())
    }

    pub fn switch(&self, end: &str, sentence: &str) -> Outcome {
        let answer = self.counter.post(&self.path(end), &json!({}))?;
        self.counter.say(&answer, format!("{} {sentence}", text(&answer, "email")))
    }

    pub fn set_password(&self, password: Option<Secret>) -> Outcome {
        let body = json!({ "password": password.as_ref().map(|password| password.expose()) });
        let answer = self.counter.put(&self.path("/password"), &body)?;
        self.counter.say(&answer, format!("The password is another one.{}", shown(&answer)))
    }

    pub fn propose_password(&self, reason: &str) -> Outcome {
        let made = self.propose("password", reason)?;
        self.counter.say(&made, format!("{}{}", proposed(&made), shown(&made)))
    }

    pub fn propose_erasure(&self, reason: &str) -> Outcome {
        let made = self.propose("erasure", reason)?;
        self.counter.say(&made, proposed(&made))
    }

    fn propose(&self, kind: &str, reason: &str) -> Result<Value, Failure> {
        let body = json!({ "kind": kind, "what": { "person": self.person }, "reason": reason });
        self.counter.post("/proposals", &body)
    }

    pub fn delete(&self) -> Outcome {
        let answer = self.counter.delete(&self.path(""))?;
        self.counter.say(&answer, "The account is gone, and everything of it has ended.")
    }

    pub fn places(&self) -> Outcome {
        let answer = self.counter.get(&self.path("/places"))?;
        self.counter.show(&answer, |answer| {
            Table::of(
                &answer["places"],
                "No place is known.",
                &[
                    ("from", |it| text(it, "address")),
                    ("last used", |it| time(it, "last_used")),
                    ("times", |it| text(it, "times")),
                ],
            )
        })
    }

    fn path(&self, rest: &str) -> String {
        format!("/people/{}{rest}", part(&self.person))
    }

    pub fn show(&self) -> Outcome {
        let answer = self.counter.get(&self.path(""))?;
        self.counter.show(&answer, |answer| {
            let mut table = Table::new(&["what", "value"], "");
            let person = &answer["person"];
            for member in [
                "id",
                "kind",
                "email",
                "first_name",
                "last_name",
                "organization",
                "has_password",
                "must_choose_password",
                "disabled",
            ] {
                table.row([member.replace('_', " "), text(person, member)]);
            }
            for place in answer["memberships"].as_array().into_iter().flatten() {
                let owner = if place["owner"] == true { ", owner" } else { "" };
                let member = format!("{} as {}{owner}", text(place, "organization"), text(place, "role"));
                table.row(["member of".into(), member]);
            }
            table.row(["credentials".into(), text(answer, "credentials")]);
            table
        })
    }

    pub fn reset_factor(&self, reason: &str, break_glass: bool) -> Outcome {
        let body = json!({ "reason": reason, "break_glass": break_glass });
        let answer = self.counter.post(&self.path("/second-factor/reset"), &body)?;
        match answer["state"] == "proposed" {
            true => self.counter.say(&answer, proposed(&answer["proposal"])),
            false => {
                self.counter.say(&answer, "The second factor is gone; the password alone opens the account.")
            }
        }
    }

    pub fn second_factor(&self) -> Outcome {
        let answer = self.counter.get(&self.path("/second-factor"))?;
        let sentence = match answer["enrolled"] == true {
            true => format!(
                "A second factor since {}; {} recovery codes are left.",
                time(&answer, "since"),
                text(&answer, "recovery_codes")
            ),
            false => "No second factor.".to_owned(),
        };
        self.counter.say(&answer, sentence)
    }

    pub fn sessions(&self) -> Outcome {
        let answer = self.counter.get(&self.path("/sessions"))?;
        self.counter.show(&answer, |answer| {
            let headings = ["id", "where", "began", "last refreshed", "ends"];
            let mut table = Table::new(&headings, "This person is signed in nowhere.");
            for it in answer["sessions"].as_array().into_iter().flatten() {
                table.row([
                    text(it, "id"),
                    "sign-in page".into(),
                    time(it, "began_at"),
                    "-".into(),
                    time(it, "expires_at"),
                ]);
            }
            for it in answer["logins"].as_array().into_iter().flatten() {
                table.row([
                    text(it, "id"),
                    text(it, "client_id"),
                    time(it, "began_at"),
                    time(it, "last_refreshed"),
                    time(it, "expires_at"),
                ]);
            }
            table
        })
    }

    pub fn end(&self, session: Option<&str>) -> Outcome {
        let Some(id) = session else {
            let answer = self.counter.delete(&self.path("/sessions"))?;
            return self.counter.say(&answer, "Everything that was ever given to this person has ended.");
        };
        let answer = self.counter.get(&self.path("/sessions"))?;
        let is_login = answer["logins"].as_array().into_iter().flatten().any(|it| it["id"] == *id);
        let room = if is_login { "logins" } else { "sessions" };
        let ended = self.counter.delete(&self.path(&format!("/{room}/{}", part(id))))?;
        self.counter.say(&ended, "It has ended.")
    }
}

/// A password that the server has made.
pub(super) fn shown(answer: &Value) -> String {
    match answer["password"].as_str() {
        Some(password) => format!(" The password, shown this once: {password}"),
        None => String::new(),
    }
}
