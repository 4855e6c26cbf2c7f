//! What this program is when it is started as somebody's child: the real server with its real command line,
//! the example shop, or one of the bare handlers beside which they are measured.

use std::io::Read;
use std::net::TcpListener;
use std::process::ExitCode;

use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};
use clap::Parser as _;
use portcullis_shop::Shop;
use portcullis_shop::follow::{Followed, follow};

use crate::{Outcome, floor};

/// The environment variable that names the role.
pub const ROLE: &str = "BENCH_ROLE";
const ANY_PORT: (&str, u16) = ("127.0.0.1", 0);

/// Who a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `portcullis` itself, arguments and all.
    Portcullis,
    Shop,
    /// Reads the form, signs with ring, answers.
    Floor,
    /// Answers.
    Hello,
}

const ALL: [Role; 4] = [Role::Portcullis, Role::Shop, Role::Floor, Role::Hello];

/// The role that a parent gave to this process.
pub fn of_this_process() -> Option<Role> {
    let name = std::env::var(ROLE).ok()?;
    ALL.into_iter().find(|role| role.name() == name)
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::Portcullis => "portcullis",
            Self::Shop => "shop",
            Self::Floor => "floor",
            Self::Hello => "hello",
        }
    }

    /// Is somebody, until the parent goes away.
    pub fn play(self) -> ExitCode {
        std::thread::spawn(leave_with_the_parent);
        let played = match self {
            Self::Portcullis => return portcullis::cli::main(),
            Self::Shop => run(shop),
            Self::Floor => run(floor::serve),
            Self::Hello => run(hello),
        };
        match played {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("{}: {why}", self.name());
                ExitCode::FAILURE
            }
        }
    }
}

/// The parent holds the other end of our input and never writes to it: when it ends, whatever the reason,
/// so do we.
fn leave_with_the_parent() {
    let _ = std::io::stdin().read(&mut [0]);
    std::process::exit(0);
}

fn run(serve: impl FnOnce() -> Outcome<Server>) -> Outcome<()> {
    actix_web::rt::System::new().block_on(async { Ok(serve()?.await?) })
}

fn hello() -> Outcome<Server> {
    let answer = || App::new().route("/", web::get().to(async || HttpResponse::Ok().body("hello")));
    Ok(HttpServer::new(answer).listen(listener()?)?.run())
}

fn shop() -> Outcome<Server> {
    let Followed { guard, view, feed, .. } = follow(&portcullis_shop::settings::Settings::parse())?;
    let watched = guard.clone();
    let app = Shop::new(guard).ready_when(move || Followed::is_ready(&watched, &view)).app();
    // The feed is followed for as long as this process lives.
    std::mem::forget(feed);
    Ok(HttpServer::new(move || App::new().configure(app.clone())).listen(listener()?)?.run())
}

/// A free address, said aloud for the parent to hear. Who connects before the server runs waits a moment.
pub fn listener() -> Outcome<TcpListener> {
    let listener = TcpListener::bind(ANY_PORT)?;
    println!("ready at {}", listener.local_addr()?);
    Ok(listener)
}
