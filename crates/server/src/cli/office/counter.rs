//! Speaking to the operators' listener: where it is, as whom, and how answers are shown.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use portcullis_authority::secret::Secret;
use serde_json::Value;
use ureq::http::{Method, Response, StatusCode};
use ureq::{Agent, Body};

use super::super::remote::{agent, shy};
use super::super::{Failure, Outcome};
use super::ticket::Ticket;

/// An answer may be a long list; whoever sends more than this is not our server.
const LARGEST_ANSWER: u64 = 64 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(60);
/// For answers that take as long as the log.
const LONG_PATIENCE: Duration = Duration::from_secs(3600);
const USUAL: &str = "http://127.0.0.1:8090";

/// Which server, and how to show what it says.
#[derive(Debug, Args)]
pub(in crate::cli) struct Counter {
    /// Address of the operators' listener; unless said, the one of the last login.
    #[arg(long, env = "PORTCULLIS_ADMIN_URL", value_name = "URL")]
    server: Option<String>,
    /// A PEM file with certificates to trust instead of the public ones.
    #[arg(long, env = "PORTCULLIS_ADMIN_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The token of an operator's session, instead of the one of the last login. Everybody on this machine
    /// can see it while the command runs; the environment is a better place.
    #[arg(long, env = "PORTCULLIS_ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    #[arg(value_parser = shy)]
    token: Option<Secret>,
    /// Print the server's answer as JSON.
    #[arg(long)]
    json: bool,
}

/// What is asked.
struct Letter<'a> {
    method: Method,
    path: &'a str,
    body: Option<&'a Value>,
    /// Seconds that the server may wait for the guards.
    wait: Option<u64>,
    patience: Duration,
}

impl<'a> Letter<'a> {
    fn new(method: Method, path: &'a str, body: Option<&'a Value>) -> Self {
        Self { method, path, body, wait: None, patience: PATIENCE }
    }
}

impl Counter {
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(&Letter::new(Method::GET, path, None))
    }

    /// The same, for an answer that takes its time.
    pub fn get_patiently(&self, path: &str) -> Result<Value, Failure> {
        self.ask(&Letter { patience: LONG_PATIENCE, ..Letter::new(Method::GET, path, None) })
    }

    /// Passes on a document of any length as it comes.
    pub fn pour(&self, path: &str, out: &mut dyn std::io::Write) -> Outcome {
        let (server, token) = self.signed_in()?;
        let letter = Letter { patience: LONG_PATIENCE, ..Letter::new(Method::GET, path, None) };
        let mut answer = self.call(&server, Some(&token), &letter)?;
        if !answer.status().is_success() {
            let body = serde_json::from_str(&read(&server, &mut answer)?).unwrap_or_default();
            return Err(Failure::new(refusal(&body, answer.status().as_u16())));
        }
        std::io::copy(&mut answer.body_mut().as_reader(), out).map(drop).map_err(|e| broken_off(&server, e))
    }

    /// Whether answers are shown as JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(&Letter::new(Method::POST, path, Some(body)))
    }

    /// The same, and the server waits so many seconds until every connected guard has heard of it.
    pub fn post_and_wait(&self, path: &str, body: &Value, wait: Option<u64>) -> Result<Value, Failure> {
        self.ask(&Letter { wait, ..Letter::new(Method::POST, path, Some(body)) })
    }

    pub fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(&Letter::new(Method::PUT, path, Some(body)))
    }

    pub fn patch(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(&Letter::new(Method::PATCH, path, Some(body)))
    }

    pub fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.ask(&Letter::new(Method::DELETE, path, None))
    }

    /// The same without having signed in.
    pub fn post_as_nobody(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let ticket = Ticket::kept()?;
        self.send(&self.place(ticket.as_ref())?, None, &Letter::new(Method::POST, path, Some(body)))
    }

    /// A document that is not JSON, as it came.
    pub fn text(&self, path: &str) -> Result<String, Failure> {
        let (server, token) = self.signed_in()?;
        let (status, text) = self.fetch(&server, Some(&token), &Letter::new(Method::GET, path, None))?;
        if status.is_success() {
            return Ok(text);
        }
        let body = serde_json::from_str(&text).unwrap_or_default();
        Err(Failure::new(refusal(&body, status.as_u16())))
    }

    fn ask(&self, letter: &Letter<'_>) -> Result<Value, Failure> {
        let (server, token) = self.signed_in()?;
        self.send(&server, Some(&token), letter)
    }

    /// Where, and with which token.
    fn signed_in(&self) -> Result<(String, Secret), Failure> {
        let ticket = Ticket::kept()?;
        let server = self.place(ticket.as_ref())?;
        let token = match (&self.token, &ticket) {
            (Some(token), _) => token.clone(),
            // A token is shown to nobody but the server that gave it.
            (None, Some(ticket)) if ticket.server == server => ticket.token(),
            (None, _) => {
                return Err(Failure::new(format!("you are not signed in at {server}: portcullis login.")));
            }
        };
        Ok((server, token))
    }

    /// The address that is meant.
    pub fn address(&self) -> Result<String, Failure> {
        self.place(Ticket::kept()?.as_ref())
    }

    fn place(&self, ticket: Option<&Ticket>) -> Result<String, Failure> {
        let server = self.server.as_deref().or(ticket.map(|ticket| ticket.server.as_str())).unwrap_or(USUAL);
        let url =
            url::Url::parse(server).map_err(|e| Failure::new(format!("{server} is no address: {e}.")))?;
        let near = url.host().is_some_and(|host| crate::settings::is_loopback(&host));
        if url.scheme() != "https" && !near {
            return Err(Failure::new(format!(
                "{server} is not https: a password and a token would travel in the clear."
            )));
        }
        Ok(server.trim_end_matches('/').to_owned())
    }

    fn send(&self, server: &str, token: Option<&Secret>, letter: &Letter<'_>) -> Result<Value, Failure> {
        let (status, text) = self.fetch(server, token, letter)?;
        match serde_json::from_str::<Value>(&text) {
            Ok(body) if status.is_success() => Ok(body),
            Ok(body) => Err(Failure::new(refusal(&body, status.as_u16()))),
            Err(_) if status.is_success() && text.is_empty() => Ok(Value::Null),
            Err(_) => {
                Err(Failure::new(format!("{server} answered {status} without JSON; is it our server?")))
            }
        }
    }

    fn fetch(
        &self,
        server: &str,
        token: Option<&Secret>,
        letter: &Letter<'_>,
    ) -> Result<(StatusCode, String), Failure> {
        let mut answer = self.call(server, token, letter)?;
        let text = read(server, &mut answer)?;
        Ok((answer.status(), text))
    }

    fn call(
        &self,
        server: &str,
        token: Option<&Secret>,
        letter: &Letter<'_>,
    ) -> Result<Response<Body>, Failure> {
        let agent: Agent = agent(self.ca.as_deref(), letter.patience)?;
        let mut request = ureq::http::Request::builder()
            .method(letter.method.clone())
            .uri(format!("{server}/admin/v1{}", letter.path))
            .header("accept", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {}", token.expose()));
        }
        if let Some(seconds) = letter.wait {
            request = request.header("prefer", format!("wait={seconds}"));
        }
        let unreachable = |e: ureq::Error| {
            Failure::new(format!(
                "{server} cannot be reached: {e}. A server lets operators in where its settings say admin.enabled."
            ))
        };
        let unfit = |e: ureq::http::Error| Failure::new(format!("this cannot be asked: {e}."));
        match letter.body {
            Some(body) => {
                let request = request.header("content-type", "application/json").body(body.to_string());
                agent.run(request.map_err(unfit)?)
            }
            None => agent.run(request.body(()).map_err(unfit)?),
        }
        .map_err(unreachable)
    }

    /// Prints the answer: as JSON when that was asked for, otherwise as a table, or several with what goes with them.
    pub fn show<D: std::fmt::Display>(&self, answer: &Value, table: impl FnOnce(&Value) -> D) -> Outcome {
        match self.json {
            true => println!("{answer:#}"),
            false => print!("{}", table(answer)),
        }
        Ok(())
    }

    /// Prints the answer: as JSON when that was asked for, otherwise as a sentence.
    pub fn say(&self, answer: &Value, sentence: impl std::fmt::Display) -> Outcome {
        match self.json {
            true if answer.is_null() => println!("{{}}"),
            true => println!("{answer:#}"),
            false => println!("{sentence}"),
        }
        Ok(())
    }
}

/// Puts a document into a file, or on standard output where none is named.
pub(super) fn hand_over(document: &str, output: Option<&Path>) -> Outcome {
    match output {
        None => print!("{document}"),
        Some(file) => std::fs::write(file, document)
            .map_err(|why| Failure::new(format!("{} cannot be written: {why}.", file.display())))?,
    }
    Ok(())
}

fn read(server: &str, answer: &mut Response<Body>) -> Result<String, Failure> {
    let text = answer.body_mut().with_config().limit(LARGEST_ANSWER).read_to_string();
    text.map_err(|e| broken_off(server, e))
}

fn broken_off(server: &str, why: impl std::fmt::Display) -> Failure {
    Failure::new(format!("the answer of {server} breaks off: {why}."))
}

fn refusal(body: &Value, status: u16) -> String {
    match body.get("detail").and_then(Value::as_str) {
        Some(sentence) => format!("refused ({status}): {sentence}"),
        None if status == 404 => {
            "the server answered 404. Is this the address of its operators' listener (admin.port), and not the public one?".into()
        }
        None => format!("the server answered {status}."),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_is_told_in_the_servers_own_words() {
        let body = json!({ "title": "Forbidden", "detail": "It takes another role." });
        assert_eq!(refusal(&body, 403), "refused (403): It takes another role.");
        assert_eq!(refusal(&json!([]), 502), "the server answered 502.");
        assert!(refusal(&json!({ "error": "not_found" }), 404).contains("operators' listener"));
    }
}
