//! `portcullis people`: the accounts of customers and users.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::super::Outcome;
use super::super::remote::secret_in;
use super::address::{part, query};
use super::counter::Counter;
use super::invite::{Invite, invited};
use super::person::{One, shown};
use super::table::{Table, text};
use crate::settings::Settings;

/// Find people, make and close accounts, and see and end where they are signed in.
#[derive(Debug, Args)]
pub(in crate::cli) struct People {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List people, or find them by part of their address.
    List {
        #[command(flatten)]
        counter: Counter,
        /// Part of the address, or a whole id.
        search: Option<String>,
        /// Customers of this organization, by its id.
        #[arg(long, value_name = "ID")]
        organization: Option<String>,
        #[arg(long)]
        kind: Option<Kind>,
        /// The last id of the page before.
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// 50 unless said; 500 at most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Show a person and where they belong.
    Show(One),
    /// Make an account. Without a password of yours one is made and printed once.
    ///
    /// A user can do nothing with it but choose their own; `portcullis people invite` needs none.
    Create {
        #[command(flatten)]
        counter: Counter,
        /// E-mail address.
        email: String,
        #[arg(long)]
        kind: Kind,
        /// Id of the organization, of a customer.
        #[arg(long, value_name = "ID")]
        organization: Option<String>,
        #[arg(long, default_value = "")]
        first_name: String,
        #[arg(long, default_value = "")]
        last_name: String,
        /// A file that holds the password.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Invite a user, who chooses a password that nobody else ever knows.
    ///
    /// Prints a link that works once; the account is made without a password. A place in an organization makes it
    /// a proposal, and the link opens nothing before an approver has confirmed it.
    Invite(Invite),
    /// List the invitations that are open.
    Invitations {
        #[command(flatten)]
        counter: Counter,
    },
    /// Withdraw an invitation. The account stays, without a password.
    Uninvite {
        #[command(flatten)]
        counter: Counter,
        /// Its id, see `portcullis people invitations`.
        invitation: String,
    },
    /// Close an account and end everything that was ever given to it.
    Disable(One),
    /// Open an account again.
    Enable(One),
    /// Give an account another password and end everything that was had with the one before.
    ///
    /// A user can do nothing with it but choose their own at the sign-in page; a customer's is good as it is.
    Password {
        #[command(flatten)]
        one: One,
        /// Why. It takes this for somebody with a place in an organization: then it is proposed, and the password
        /// that is printed opens nothing before an approver has confirmed it.
        #[arg(long, conflicts_with = "password_file")]
        reason: Option<String>,
        /// A file that holds the password; one is made and printed once unless it is given.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Delete an account with its memberships and personal credentials, and end everything of it.
    Delete(One),
    /// List where a person is signed in: browser sessions, and logins at applications.
    Sessions(One),
    /// End a session or a login of a person, or with --all everything that was ever given to them.
    End {
        #[command(flatten)]
        one: One,
        /// A session's or a login's id, see `portcullis people sessions`.
        #[arg(required_unless_present = "all")]
        session: Option<String>,
        #[arg(long, conflicts_with = "session")]
        all: bool,
    },
    /// Say whether a person has a second factor, or take a lost one away.
    SecondFactor {
        #[command(flatten)]
        one: One,
        /// Take it away; the person signs in with the password alone until another one is enrolled. For somebody
        /// with a place in an organization it is proposed, and an approver confirms it.
        #[arg(long, requires = "reason")]
        reset: bool,
        /// Why; it is kept in the audit log.
        #[arg(long, requires = "reset")]
        reason: Option<String>,
        /// Owners only: do without a second person what needs one. It is loud.
        #[arg(long, requires = "reset")]
        break_glass: bool,
    },
    /// Say where an account was used from.
    Places(One),
    /// Write down all that is held on a person, without secrets, for that person.
    Export {
        #[command(flatten)]
        one: One,
        /// Where to; standard output unless said.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Propose to erase what is personal about somebody, and end everything of theirs. Their id stays.
    Erase {
        #[command(flatten)]
        one: One,
        /// Why; it is kept in the audit log.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Customer,
    User,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::User => "user",
        }
    }
}

impl People {
    pub fn run(self, _: Settings) -> Outcome {
        match self.command {
            Command::List { counter, search, organization, kind, after, limit } => {
                let limit = limit.map(|limit| limit.to_string());
                let asked = [
                    ("search", search.as_deref()),
                    ("organization", organization.as_deref()),
                    ("kind", kind.map(Kind::word)),
                    ("after", after.as_deref()),
                    ("limit", limit.as_deref()),
                ];
                let answer = counter.get(&format!("/people{}", query(&asked)))?;
                counter.show(&answer, listed)
            }
            Command::Show(one) => one.show(),
            Command::SecondFactor { one, reason: Some(reason), break_glass, .. } => {
                one.reset_factor(&reason, break_glass)
            }
            Command::SecondFactor { one, reason: None, .. } => one.second_factor(),
            Command::Create { counter, email, kind, organization, first_name, last_name, password_file } => {
                let password = password_file.as_deref().map(secret_in).transpose()?;
                let body = json!({
                    "kind": kind.word(),
                    "organization": organization,
                    "email": email,
                    "first_name": first_name,
                    "last_name": last_name,
                    "password": password.as_ref().map(|password| password.expose()),
                    "make_password": password.is_none(),
                });
                let answer = counter.post("/people", &body)?;
                let person = &answer["person"];
                let made =
                    format!("Made {} ({}).{}", text(person, "email"), text(person, "id"), shown(&answer));
                counter.say(&answer, made)
            }
            Command::Invite(wanted) => wanted.run(),
            Command::Invitations { counter } => {
                let answer = counter.get("/people/invitations")?;
                counter.show(&answer, invited)
            }
            Command::Uninvite { counter, invitation } => {
                let answer = counter.delete(&format!("/people/invitations/{}", part(&invitation)))?;
                counter.say(&answer, "The invitation is withdrawn.")
            }
            Command::Disable(one) => one.switch("/disable", "is closed, and everything of it has ended."),
            Command::Enable(one) => one.switch("/enable", "is open again."),
            Command::Password { one, reason: Some(reason), .. } => one.propose_password(&reason),
            Command::Password { one, reason: None, password_file } => {
                one.set_password(password_file.as_deref().map(secret_in).transpose()?)
            }
            Command::Delete(one) => one.delete(),
            Command::Sessions(one) => one.sessions(),
            Command::End { one, session, all: _ } => one.end(session.as_deref()),
            Command::Export { one, output } => one.export(output),
            Command::Erase { one, reason } => one.propose_erasure(&reason),
            Command::Places(one) => one.places(),
        }
    }
}

fn listed(answer: &Value) -> Table {
    Table::of(
        &answer["people"],
        "Nobody.",
        &[
            ("id", |it| text(it, "id")),
            ("kind", |it| text(it, "kind")),
            ("email", |it| text(it, "email")),
            ("organization", |it| text(it, "organization")),
            ("disabled", |it| text(it, "disabled")),
        ],
    )
}
