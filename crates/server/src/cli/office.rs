//! The operators' commands: each a file in `office/` and a line in [`Office`]. They speak to the operators'
//! listener of a running server, as the operator who signed in with `portcullis login`.

mod access;
mod account;
mod address;
mod counter;
mod entrust;
mod invite;
mod login;
mod logout;
mod offboard;
mod operators;
mod ordered;
mod organizations;
mod people;
mod person;
mod proposals;
mod retention;
mod reviews;
mod secrets;
mod sessions;
mod status;
mod table;
mod ticket;
mod whoami;

use clap::Subcommand;

use super::Outcome;
use crate::settings::Settings;
pub(super) use counter::Counter;
pub(super) use ordered::{Ordered, proposed};
pub(super) use table::{Table, text, time};

/// The commands, and how each is run.
macro_rules! office {
    ($($name:ident($command:ty),)*) => {
        #[derive(Debug, Subcommand)]
        pub(super) enum Office {
            $($name($command),)*
        }

        impl Office {
            pub fn run(self, settings: Settings) -> Outcome {
                match self {
                    $(Self::$name(it) => it.run(settings),)*
                }
            }
        }
    };
}

office! {
    Login(login::Login),
    Logout(logout::Logout),
    Whoami(whoami::Whoami),
    Sessions(sessions::Sessions),
    Status(status::Status),
    Retention(retention::Retention),
    Account(account::Account),
    Operators(operators::Operators),
    People(people::People),
    Secrets(secrets::Secrets),
    Organizations(organizations::Organizations),
    Proposals(proposals::Proposals),
    Offboard(offboard::Offboard),
    Access(access::Access),
    Reviews(reviews::Reviews),
}
