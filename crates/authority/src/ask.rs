//! What a caller asks for, parsed once at the door: form, JSON or JSON:API, one value per parameter, one
//! way of authenticating. Inside, nothing reads raw bytes again.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::json::read_strict;
use crate::refusal::{Code, Refusal};
use crate::secret::Secret;

/// Where an ask came from, for the audit.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Client address, as far as it is trusted.
    pub address: Option<String>,
    pub request_id: Option<String>,
    /// The visitor on whose behalf an application's backend asks, as far as the backend is trusted; only
    /// limits look at it.
    pub visitor: Option<String>,
    /// The cookie of a device that somebody has signed in from, as the browser sent it.
    pub device: Option<String>,
}

/// The raw parts of a request, as the door has them.
#[derive(Clone, Debug, Default)]
pub struct Knock<'a> {
    pub content_type: &'a str,
    /// Every `Authorization` header that was sent.
    pub authorization: Vec<&'a str>,
    pub query: &'a str,
    pub body: &'a [u8],
    pub origin: Origin,
}

/// A parsed request.
#[derive(Clone, Debug)]
pub struct Ask {
    params: Params,
    credentials: Option<Credentials>,
    pub origin: Origin,
}

/// What the caller offers as proof of being a client.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub client_id: String,
    pub secret: Option<Secret>,
    /// By HTTP Basic, so that a refusal names the scheme (RFC 6749 section 5.2).
    pub by_basic: bool,
}

impl Ask {
    /// Reads a request to the token, revocation or introspection endpoint.
    ///
    /// # Errors
    /// `invalid_request` for a repeated parameter, a secret in the query, two ways of authenticating or a
    /// body that is none of the three forms.
    pub fn read(knock: Knock<'_>) -> Result<Self, Refusal> {
        refuse_secrets_in_query(knock.query)?;
        let mut params = match essence(knock.content_type).as_str() {
            "application/json" | "application/vnd.api+json" => Params::from_json(knock.body)?,
            "application/x-www-form-urlencoded" => Params::from_form(knock.body)?,
            "" if knock.body.is_empty() => Params::default(),
            _ => {
                return Err(bad(
                    "Send the parameters as application/x-www-form-urlencoded, application/json or application/vnd.api+json.",
                ));
            }
        };
        let credentials = credentials(&knock.authorization, &mut params)?;
        Ok(Self { params, credentials, origin: knock.origin })
    }

    /// Reads an authorization request from its query (RFC 6749 section 4.1.1).
    ///
    /// # Errors
    /// `invalid_request` for a repeated parameter.
    pub fn from_query(query: &str, origin: Origin) -> Result<Self, Refusal> {
        Ok(Self { params: Params::from_form(query.as_bytes())?, credentials: None, origin })
    }

    /// A parameter; absent and empty are the same (RFC 6749 section 3.2).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.params.get(name)
    }

    /// A parameter that the request cannot do without.
    ///
    /// # Errors
    /// `invalid_request` naming the parameter.
    pub fn need(&self, name: &'static str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| bad(format!("The parameter {name} is missing.")))
    }

    pub fn params(&self) -> &Params {
        &self.params
    }

    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }
}

/// Parameters by name, each with one value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn from_form(text: &[u8]) -> Result<Self, Refusal> {
        let mut params = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(text) {
            if params.contains_key(name.as_ref()) {
                return Err(bad(format!("The parameter {} is sent more than once.", printable(&name))));
            }
            params.insert(name.into_owned(), value.into_owned());
        }
        params.retain(|_, value| !value.is_empty());
        Ok(Self(params))
    }

    /// Flat members, or those under `data.attributes`. Members that are not text are ignored: the vendor's
    /// clients post whole records.
    fn from_json(text: &[u8]) -> Result<Self, Refusal> {
        let Some(Value::Object(mut object)) = read_strict(text) else {
            return Err(bad("The body is not a JSON object with every name once."));
        };
        if let Some(Value::Object(attributes)) =
            object.get_mut("data").and_then(|data| data.get_mut("attributes"))
        {
            object = std::mem::take(attributes);
        }
        let texts = object.into_iter().filter_map(|(name, value)| match value {
            Value::String(text) if !text.is_empty() => Some((name, text)),
            _ => None,
        });
        Ok(Self(texts.collect()))
    }
}

fn credentials(headers: &[&str], params: &mut Params) -> Result<Option<Credentials>, Refusal> {
    let secret = params.0.remove("client_secret").map(Secret::from);
    let named = params.get("client_id").map(str::to_owned);
    let basic = match headers {
        [] => None,
        [one] => Some(read_basic(one)?),
        _ => return Err(bad("Send one Authorization header.")),
    };
    match (basic, named, secret) {
        (Some(_), _, Some(_)) => {
            Err(bad("Authenticate the client once: in the Authorization header or in the body, not both."))
        }
        (Some((id, _)), Some(named), None) if named != id => {
            Err(bad("The client_id in the body is not the one in the Authorization header."))
        }
        (Some((client_id, secret)), _, None) => Ok(Some(Credentials { client_id, secret, by_basic: true })),
        (None, Some(client_id), secret) => Ok(Some(Credentials { client_id, secret, by_basic: false })),
        (None, None, _) => Ok(None),
    }
}

/// HTTP Basic, each half form-encoded first (RFC 6749 section 2.3.1). An empty secret is none: generic
/// libraries send public clients that way.
fn read_basic(header: &str) -> Result<(String, Option<Secret>), Refusal> {
    let wrong = || bad("The Authorization header is not HTTP Basic with client_id and client_secret.");
    let (scheme, rest) = header.split_once(' ').ok_or_else(wrong)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(wrong());
    }
    let bytes = STANDARD.decode(rest.trim()).map_err(|_| wrong())?;
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let (id, secret) = text.split_once(':').ok_or_else(wrong)?;
    let secret = form_decode(secret);
    Ok((form_decode(id), (!secret.is_empty()).then(|| Secret::from(secret))))
}

fn form_decode(half: &str) -> String {
    let escaped = format!("v={}", half.replace('&', "%26"));
    url::form_urlencoded::parse(escaped.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// A query reaches logs and referrers, so no secret may travel in it.
fn refuse_secrets_in_query(query: &str) -> Result<(), Refusal> {
    const SECRETS: [&str; 11] = [
        "client_secret",
        "password",
        "code",
        "refresh_token",
        "assertion",
        "client_assertion",
        "token",
        "subject_token",
        "actor_token",
        "code_verifier",
        "access_token",
    ];
    for (name, _) in url::form_urlencoded::parse(query.as_bytes()) {
        if SECRETS.contains(&name.as_ref()) {
            return Err(bad(format!("Send {name} in the body, never in the address.")));
        }
    }
    Ok(())
}

/// The media type without its parameters, lower-cased.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// A name that is safe to repeat in a sentence.
fn printable(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')).take(40).collect()
}

fn bad(sentence: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(Code::InvalidRequest, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(body: &str) -> Result<Ask, Refusal> {
        Ask::read(Knock {
            content_type: "application/x-www-form-urlencoded",
            body: body.as_bytes(),
            ..Knock::default()
        })
    }

    #[test]
    fn the_three_body_forms_say_the_same() {
        let json = br#"{"grant_type":"password","debug":{"logLevel":"info"},"scope":["a"],"n":1}"#;
        let api = br#"{"data":{"type":"tokens","attributes":{"grant_type":"password"}}}"#;
        for (content_type, body) in
            [("application/json; charset=utf-8", &json[..]), ("application/vnd.api+json", &api[..])]
        {
            let ask = Ask::read(Knock { content_type, body, ..Knock::default() }).unwrap();
            assert_eq!(ask.get("grant_type"), Some("password"));
            assert_eq!(ask.get("scope"), None);
        }
        assert_eq!(form("grant_type=password&scope=").unwrap().get("scope"), None);
    }

    #[test]
    fn a_repeated_parameter_is_refused() {
        assert_eq!(form("scope=a&scope=b").unwrap_err().code, Code::InvalidRequest);
        assert_eq!(form("scope=&scope=b").unwrap_err().code, Code::InvalidRequest);
    }

    #[test]
    fn a_secret_in_the_address_is_refused() {
        let knock = Knock { query: "client_secret=x", ..Knock::default() };
        assert_eq!(Ask::read(knock).unwrap_err().code, Code::InvalidRequest);
    }

    #[test]
    fn a_client_authenticates_in_one_way() {
        let basic = format!("Basic {}", STANDARD.encode("a%3Ab:s%20%26+x"));
        let knock = |body: &'static str, headers| Knock {
            content_type: "application/x-www-form-urlencoded",
            authorization: headers,
            body: body.as_bytes(),
            ..Knock::default()
        };
        let ask = Ask::read(knock("client_id=a%3Ab", vec![&basic])).unwrap();
        let proof = ask.credentials().unwrap();
        assert_eq!((proof.client_id.as_str(), proof.secret.as_ref().unwrap().expose()), ("a:b", "s & x"));
        for body in ["client_secret=s", "client_id=other"] {
            assert!(Ask::read(knock(body, vec![&basic])).is_err(), "{body}");
        }
        assert!(Ask::read(knock("", vec![&basic, &basic])).is_err());
        assert!(Ask::read(knock("", vec!["Bearer x"])).is_err());
    }

    #[test]
    fn the_secret_leaves_the_parameters_when_it_is_read() {
        let ask = form("client_id=a&client_secret=hush").unwrap();
        assert!(!format!("{ask:?}").contains("hush"));
    }
}
