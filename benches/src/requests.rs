//! What a request costs the server, beside what it would cost if the server did nothing else: one process
//! for each side, all of them in the same run, in turns, so that a busy minute of the machine strikes all.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::runtime::Builder;

use crate::Outcome;
use crate::child::Child;
use crate::floor::{CLAIMS, SECRET};
use crate::load::{CONNECTIONS, Cost, Talk, load};
use crate::roles::Role;
use crate::table::{self, figure, median};
use crate::town::{self, Town};
use crate::wire::{Answer, Wire, form, get};

/// Everything is measured so many times; the table has the medians.
const ROUNDS: u32 = 3;
/// A path of the shop that every token may read, and that costs the shop next to nothing.
const GUARDED: &str = "/api/application";
/// Beside this line stand the ratios.
const FLOOR: &str = "floor: form, secret, ES256 by ring, JSON";

/// Measures the lines with this word in them, for about so long, and prints the table.
pub fn run(span: Duration, word: &str) -> Outcome<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(span, word))
}

async fn measure(span: Duration, word: &str) -> Outcome<()> {
    let town = Town::found()?;
    let street = Street::open(&town).await?;
    let mut lines = Vec::from(Street::lines());
    lines.retain(|line| line.name == FLOOR || line.name.contains(word));
    let turn = span / (ROUNDS * lines.len() as u32);
    let mut costs: Vec<(&str, Vec<Cost>)> = lines.iter().map(|line| (line.name, Vec::new())).collect();
    for _ in 0..ROUNDS {
        for (line, (_, costs)) in lines.iter().zip(&mut costs) {
            let talks = (0..CONNECTIONS).map(|at| (line.talk)(&street, at)).collect();
            costs.push(
                load((line.side)(&street), talks, turn)
                    .await
                    .map_err(|why| format!("{}: {why}", line.name))?,
            );
        }
    }
    show(&costs);
    Ok(())
}

fn show(costs: &[(&str, Vec<Cost>)]) {
    let middle = |costs: &[Cost], of: fn(&Cost) -> f64| median(costs.iter().map(of).collect());
    let floor = costs
        .iter()
        .find(|(name, _)| *name == FLOOR)
        .map_or(f64::NAN, |(_, costs)| middle(costs, |cost| cost.cpu_us));
    let rows: Vec<Vec<String>> = costs
        .iter()
        .map(|(name, costs)| {
            let cpu = middle(costs, |cost| cost.cpu_us);
            let asked: usize = costs.iter().map(|cost| cost.requests).sum();
            vec![
                (*name).to_owned(),
                figure(cpu),
                figure(cpu / floor),
                figure(middle(costs, |cost| cost.per_second)),
                asked.to_string(),
            ]
        })
        .collect();
    let title = format!("Requests ({CONNECTIONS} connections, medians of {ROUNDS} rounds)");
    table::print(&title, &["one request", "server CPU µs", "× floor", "per second", "measured"], &rows);
}

/// All sides, and what has been issued so far.
struct Street {
    server: Child,
    shop: Child,
    floor: Child,
    hello: Child,
    token: String,
    /// Refresh tokens of one login for each connection: they rotate.
    logins: Vec<Rc<RefCell<String>>>,
    still: String,
    /// Tokens that nobody has shown anywhere yet.
    fresh: Rc<RefCell<Vec<String>>>,
    /// Tokens that the shop has seen once.
    seen: Rc<RefCell<Vec<String>>>,
}

/// One line of the table.
struct Line {
    name: &'static str,
    side: fn(&Street) -> &Child,
    talk: fn(&Street, usize) -> Box<dyn Talk>,
}

impl Street {
    async fn open(town: &Town) -> Outcome<Self> {
        let server = town.server()?;
        let token = town::token(&server, "backend").await?;
        let claims = claims_of(&token)?;
        let bare = [(CLAIMS, claims.as_str()), (SECRET, town::SECRET)];
        let mut logins = Vec::new();
        for _ in 0..CONNECTIONS {
            logins.push(Rc::new(RefCell::new(town::login(&server, "window").await?)));
        }
        let street = Self {
            shop: town.shop(&server)?,
            floor: Child::start(Role::Floor, town.directory(), &bare)?,
            hello: Child::start(Role::Hello, town.directory(), &[])?,
            still: town::login(&server, "window-still").await?,
            token,
            logins,
            fresh: Rc::default(),
            seen: Rc::default(),
            server,
        };
        street.wait_for_the_shop().await?;
        Ok(street)
    }

    async fn wait_for_the_shop(&self) -> Outcome<()> {
        for _ in 0..200 {
            let mut wire = Wire::open(self.shop.address).await?;
            if wire.call(&get("/readyz", None)).await?.status == 204 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        Err("the shop never heard the feed".into())
    }

    fn lines() -> [Line; 12] {
        [
            Line { name: "hello", side: |s| &s.hello, talk: |_, _| Same::talk(get("/", None)) },
            Line { name: FLOOR, side: |s| &s.floor, talk: |_, _| Same::talk(town::credentials("backend")) },
            Line {
                name: "client credentials, ES256",
                side: |s| &s.server,
                talk: |s, _| {
                    Box::new(Issue { ask: town::credentials("backend").into(), issued: s.fresh.clone() })
                },
            },
            Line {
                name: "client credentials, EdDSA",
                side: |s| &s.server,
                talk: |_, _| Same::talk(town::credentials("backend-ed")),
            },
            Line {
                name: "client credentials, RS512 for the vendor's clients",
                side: |s| &s.server,
                talk: |_, _| Same::talk(town::credentials("backend-rs")),
            },
            Line {
                name: "refresh, rotating",
                side: |s| &s.server,
                talk: |s, at| Box::new(Rotate(s.logins[at].clone())),
            },
            Line {
                name: "refresh, same token again",
                side: |s| &s.server,
                talk: |s, _| Same::talk(refresh("window-still", &s.still)),
            },
            Line {
                name: "introspection",
                side: |s| &s.server,
                talk: |s, _| Same::talk(introspection(&s.token)),
            },
            Line {
                name: "shop, open path",
                side: |s| &s.shop,
                talk: |_, _| Same::talk(get("/healthz", None)),
            },
            Line {
                name: "shop, guarded, token seen before",
                side: |s| &s.shop,
                talk: |s, _| Same::talk(get(GUARDED, Some(&s.token))),
            },
            Line {
                name: "shop, guarded, token never seen",
                side: |s| &s.shop,
                talk: |s, _| {
                    Box::new(Each {
                        from: s.fresh.clone(),
                        to: Some(s.seen.clone()),
                        ask: |token| get(GUARDED, Some(token)),
                    })
                },
            },
            Line {
                name: "revocation of an access token",
                side: |s| &s.server,
                talk: |s, _| Box::new(Each { from: s.seen.clone(), to: None, ask: revocation }),
            },
        ]
    }
}

/// The same question for ever.
struct Same(Arc<[u8]>);

impl Same {
    fn talk(request: Vec<u8>) -> Box<dyn Talk> {
        Box::new(Self(request.into()))
    }
}

impl Talk for Same {
    fn next(&mut self) -> Option<Arc<[u8]>> {
        Some(self.0.clone())
    }
}

/// Has tokens issued and keeps them.
struct Issue {
    ask: Arc<[u8]>,
    issued: Rc<RefCell<Vec<String>>>,
}

impl Talk for Issue {
    fn next(&mut self) -> Option<Arc<[u8]>> {
        Some(self.ask.clone())
    }

    fn heard(&mut self, answer: Answer) -> Outcome<()> {
        self.issued.borrow_mut().push(answer.member("access_token")?);
        Ok(())
    }
}

/// Shows each token once, while there are any.
struct Each {
    from: Rc<RefCell<Vec<String>>>,
    to: Option<Rc<RefCell<Vec<String>>>>,
    ask: fn(&str) -> Vec<u8>,
}

impl Talk for Each {
    fn next(&mut self) -> Option<Arc<[u8]>> {
        let token = self.from.borrow_mut().pop()?;
        let request = (self.ask)(&token).into();
        if let Some(seen) = &self.to {
            seen.borrow_mut().push(token);
        }
        Some(request)
    }
}

/// Refreshes a login with what the last refresh gave.
struct Rotate(Rc<RefCell<String>>);

impl Talk for Rotate {
    fn next(&mut self) -> Option<Arc<[u8]>> {
        Some(refresh("window", &self.0.borrow()).into())
    }

    fn heard(&mut self, answer: Answer) -> Outcome<()> {
        *self.0.borrow_mut() = answer.member("refresh_token")?;
        Ok(())
    }
}

fn refresh(client: &str, token: &str) -> Vec<u8> {
    let fields = [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)];
    form("/oauth/token", &fields)
}

fn introspection(token: &str) -> Vec<u8> {
    let fields = [("client_id", "backend"), ("client_secret", town::SECRET), ("token", token)];
    form("/oauth/introspect", &fields)
}

fn revocation(token: &str) -> Vec<u8> {
    let fields = [("client_id", "backend"), ("client_secret", town::SECRET), ("token", token)];
    form("/oauth/revoke", &fields)
}

/// The claims of a token, for the floor to sign.
fn claims_of(token: &str) -> Outcome<String> {
    let payload = token.split('.').nth(1).ok_or("a token without claims")?;
    Ok(String::from_utf8(URL_SAFE_NO_PAD.decode(payload)?)?)
}
