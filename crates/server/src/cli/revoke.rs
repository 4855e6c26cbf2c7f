//! `portcullis revoke`: as a client, end a token of one's own (RFC 7009); as an operator, end anything.

use clap::{Args, Subcommand};
use portcullis_authority::secret::Secret;
use serde_json::{Value, json};

use super::office::{Counter, Ordered};
use super::remote::{Remote, shy, token_from};
use super::{Failure, Outcome};
use crate::settings::Settings;

/// End a token as the client it was issued to; or, as an operator, end anything.
///
/// With --client-id: an access token ends alone, a refresh token ends its login with all access tokens. With a
/// word in its place (token, login, person, ...): ends it at the operators' listener, for which you must be
/// signed in (portcullis login). When the command returns, the server has it on disk.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:
  export PORTCULLIS_CLIENT_SECRET=demo-backend-secret
  portcullis revoke --client-id demo-backend \"$TOKEN\"
  echo \"$TOKEN\" | portcullis revoke --client-id demo-backend
  portcullis revoke person ann@example.com --preview
  portcullis revoke person ann@example.com --reason \"INC-7: laptop stolen\" --wait 10"
)]
pub(super) struct Revoke {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    remote: Option<Remote>,
    /// The token; from standard input when it is left out or is `-`.
    #[arg(value_parser = shy)]
    token: Option<Secret>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// One token: the token itself, - for standard input, or its jti. A refresh token ends its login.
    Token {
        /// The token, its jti, or - for standard input.
        #[arg(value_parser = shy)]
        id: Option<Secret>,
        #[command(flatten)]
        order: Order,
    },
    /// A login with all its tokens: its sid, or one of its tokens.
    Login {
        /// The sid, one of its tokens, or - for standard input.
        #[arg(value_parser = shy)]
        id: Option<Secret>,
        #[command(flatten)]
        order: Order,
    },
    /// All logins, browser sessions and tokens of a person, everywhere.
    Person(Named),
    /// Everything that an application has obtained.
    Application(Named),
    /// Everything in whose chain of actors somebody stands: a person's id or client:<client_id>.
    Actor(Named),
    /// Everything issued under a role: <organization>/<role>.
    Role(Named),
    /// Everything that a key has signed. Needs a second person.
    Key(Named),
    /// Everything in an organization. Needs a second person.
    Organization(Named),
    /// Everything that was ever issued. Needs a second person.
    Everything(Order),
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// Which one.
    id: String,
    #[command(flatten)]
    order: Order,
}

#[derive(Debug, Args)]
struct Order {
    #[command(flatten)]
    counter: Counter,
    #[command(flatten)]
    ordered: Ordered,
    /// Say what would end, and end nothing.
    #[arg(long, conflicts_with_all = ["reason", "break_glass"])]
    preview: bool,
    /// Of a preview: end only what was previewed.
    #[arg(long)]
    digest: Option<String>,
}

impl Revoke {
    pub fn run(self, settings: &Settings) -> Outcome {
        if let Some(what) = self.what {
            return what.run();
        }
        let remote = self.remote.ok_or_else(|| Failure::new("say who asks: --client-id."))?;
        let token = token_from(self.token)?;
        remote.post(settings, "/oauth/revoke", &[("token", token.expose())])?;
        println!("Revoked.");
        Ok(())
    }
}

impl What {
    fn run(self) -> Outcome {
        match self {
            Self::Token { id, order } => order.run("token", token_from(id)?.expose()),
            Self::Login { id, order } => order.run("login", token_from(id)?.expose()),
            Self::Person(it) => it.end("person"),
            Self::Application(it) => it.end("application"),
            Self::Actor(it) => it.end("actor"),
            Self::Role(it) => it.end("role"),
            Self::Key(it) => it.end("key"),
            Self::Organization(it) => it.end("organization"),
            Self::Everything(order) => order.run("everything", ""),
        }
    }
}

impl Named {
    /// Ends it, or proposes that.
    pub(super) fn end(self, kind: &str) -> Outcome {
        self.order.run(kind, &self.id)
    }
}

impl Order {
    fn run(self, kind: &str, id: &str) -> Outcome {
        if self.preview {
            let seen = self.counter.post("/cuts/preview", &json!({ "kind": kind, "id": id }))?;
            return self.counter.say(&seen, told(&seen));
        }
        let mut body = self.ordered.body();
        body["kind"] = kind.into();
        body["id"] = id.into();
        body["digest"] = json!(self.digest);
        let answer = self.counter.post_and_wait("/cuts", &body, self.ordered.wait)?;
        let cut = &answer["cut"];
        let name = |member: &str| cut[member].as_str().unwrap_or_default();
        self.ordered.tell(&self.counter, &answer, format!("Ended: {} {}", name("kind"), name("id")).trim())
    }
}

/// A preview in a few lines.
fn told(seen: &Value) -> String {
    use super::office::{text, time};
    let count = |member: &str| seen[member].as_u64().unwrap_or_default();
    let least = if seen["complete"] == true { "" } else { "at least " };
    let mut lines = vec![
        format!("{} {} would end:", text(&seen["cut"], "kind"), text(&seen["cut"], "id")),
        format!("  logins          {least}{}", count("logins")),
        format!("  people          {least}{}  {}", count("people"), text(&seen["names"], "people")),
        format!(
            "  applications    {least}{}  {}",
            count("applications"),
            text(&seen["names"], "applications")
        ),
        format!(
            "  organizations   {least}{}  {}",
            count("organizations"),
            text(&seen["names"], "organizations")
        ),
        format!("  sessions        {}", count("sessions")),
        format!("  tokens          about {least}{} issued within two hours", count("tokens")),
        format!("  last used       {}", time(seen, "last_used")),
        format!("  guards          {}", text(seen, "guards")),
        format!("  digest          {}", text(seen, "digest")),
    ];
    if seen["wide"] == true {
        lines.push("It needs a second person: it is proposed, and an approver confirms it.".into());
    }
    let remarks = seen["remarks"].as_array().into_iter().flatten().filter_map(Value::as_str);
    lines.extend(remarks.map(str::to_owned));
    lines.join("\n")
}
