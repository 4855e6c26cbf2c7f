//! One session with the token, and what is done over it. A session that is lost is opened again, with a new
//! login; a token that does not come back by that is looked for with the module begun anew. A key that is missing in
//! a token that shows others is that key's trouble and nobody else's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use super::algorithm::{self, Algorithm};
use super::module::Module;
use crate::keys::envelope::fetched;
use crate::settings;

/// What may be asked.
pub(super) enum Work {
    /// Finds the token and logs in.
    Enter,
    /// Signs with the key of this name.
    Sign { kid: String, algorithm: Algorithm, message: Vec<u8> },
    /// Makes a key of this name, and gives its public JWK without a name.
    Make { kid: String, algorithm: Algorithm },
    /// Destroys the key of this name.
    Destroy { kid: String },
}

/// What came of it.
pub(super) enum Done {
    Signature(Vec<u8>),
    Public(serde_json::Value),
    Entered,
    Destroyed,
}

/// Why not, in a sentence without its full stop.
#[derive(Debug)]
pub(super) enum Failed {
    /// What was said of this PIN; it is not tried again, because a token locks itself after a few.
    Pin(String),
    /// The token is well, and this one key is not in it as it should be. That is no reason to end anybody's session.
    Missing(String),
    /// Anything else; a new session may help.
    Lost(String),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Lost(error.to_string())
    }
}

impl Failed {
    pub fn sentence(self) -> String {
        match self {
            Self::Pin(why) | Self::Missing(why) | Self::Lost(why) => why,
        }
    }

    /// Whether the token itself can be used.
    pub fn leaves_the_token_well(&self) -> bool {
        matches!(self, Self::Missing(_))
    }
}

/// Which token, and the last PIN that it refused.
pub(super) struct Place {
    pub module: Arc<Module>,
    pub settings: settings::Pkcs11,
    refused: Mutex<Option<Zeroizing<String>>>,
}

pub(super) struct Clerk {
    place: Arc<Place>,
    held: Option<Held>,
    /// The generation of the module in which something was tried last.
    seen: u64,
}

struct Held {
    session: Session,
    generation: u64,
    keys: HashMap<String, ObjectHandle>,
}

impl Place {
    pub fn new(module: Arc<Module>, settings: settings::Pkcs11) -> Self {
        Self { module, settings, refused: Mutex::default() }
    }

    /// Where the token is now.
    pub fn slot(&self, pkcs11: &Pkcs11) -> Result<Slot, Failed> {
        let mut seen = Vec::new();
        for slot in pkcs11.get_slots_with_initialized_token()? {
            let label = pkcs11.get_token_info(slot)?.label().trim_end().to_owned();
            if self.settings.slot == Some(slot.id()) || self.settings.token.as_ref() == Some(&label) {
                return Ok(slot);
            }
            seen.push(format!("{label:?} in slot {}", slot.id()));
        }
        let seen = if seen.is_empty() { "none".to_owned() } else { seen.join(", ") };
        Err(Failed::Lost(format!("the token is not there; the module shows {seen}")))
    }

    /// Opens a session and logs in.
    fn enter(&self, pkcs11: &Pkcs11) -> Result<Session, Failed> {
        let session = pkcs11.open_rw_session_no_drop(self.slot(pkcs11)?)?;
        match self.log_in(&session) {
            Ok(()) => Ok(session),
            Err(failed) => {
                // It was of no use, and the token may count its sessions.
                let _ = session.close();
                Err(failed)
            }
        }
    }

    fn log_in(&self, session: &Session) -> Result<(), Failed> {
        let pin =
            fetched(&self.settings.pin).map_err(|why| Failed::Lost(format!("keys.pkcs11.pin: {why}")))?;
        let pin = Zeroizing::new(pin.trim_end_matches(['\r', '\n']).to_owned());
        // Held over the login: of several sessions one tries a PIN, and the others hear that it is wrong.
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.as_ref() == Some(&pin) {
            return Err(Failed::Pin("the token has refused this PIN, and it is not tried again".into()));
        }
        match session.login(UserType::User, Some(&AuthPin::from(pin.as_str()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(Error::Pkcs11(why, _)) if is_about_the_pin(why) => {
                *refused = Some(pin);
                let why = match why {
                    RvError::PinLocked => "the PIN is locked after too many wrong ones; unlock it first",
                    RvError::PinExpired => "the PIN has expired; set a new one",
                    _ => "the PIN is wrong",
                };
                Err(Failed::Pin(format!("keys.pkcs11.pin: {why}")))
            }
            Err(other) => Err(other.into()),
        }
    }
}

fn is_about_the_pin(why: RvError) -> bool {
    use RvError::{PinExpired, PinIncorrect, PinInvalid, PinLenRange, PinLocked};
    matches!(why, PinIncorrect | PinInvalid | PinLenRange | PinLocked | PinExpired)
}

impl Clerk {
    pub fn new(place: Arc<Place>) -> Self {
        Self { place, held: None, seen: 0 }
    }

    /// Does it, if need be with a session, and at last a module, that is new.
    pub fn carry_out(&mut self, work: &Work) -> Result<Done, Failed> {
        let first = self.attempt(work, false);
        if !matches!(first, Err(Failed::Lost(_))) {
            return first;
        }
        self.leave();
        let second = self.attempt(work, false);
        if !matches!(second, Err(Failed::Lost(_))) {
            return second;
        }
        self.leave();
        let anew = self.place.module.begin_again(self.seen);
        self.attempt(work, anew)
    }

    /// `anew`: nobody has used the module since it began.
    fn attempt(&mut self, work: &Work, anew: bool) -> Result<Done, Failed> {
        let place = self.place.clone();
        place.module.with(|pkcs11, generation| {
            self.seen = generation;
            // Its session ended with the generation, and its number may be somebody else's by now.
            self.held.take_if(|held| held.generation != generation);
            let held = match &mut self.held {
                Some(held) => held,
                None => {
                    let session = place.enter(pkcs11)?;
                    self.held.insert(Held { session, generation, keys: HashMap::new() })
                }
            };
            held.carry_out(work, anew)
        })
    }

    /// Gives the session up.
    fn leave(&mut self) {
        let Some(held) = self.held.take() else { return };
        self.place.module.with(|_, generation| {
            if held.generation == generation {
                // If it is lost already, there is nothing to close.
                let _ = held.session.close();
            }
        });
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Held {
    fn carry_out(&mut self, work: &Work, anew: bool) -> Result<Done, Failed> {
        match work {
            Work::Enter => Ok(Done::Entered),
            Work::Sign { kid, algorithm, message } => {
                let key = self.private(kid)?;
                let (mechanism, input) = algorithm.sign(message);
                let signed = self.session.sign(&mechanism, key, &input);
                // A handle that another server's work has made void is looked up again.
                Ok(Done::Signature(signed.inspect_err(|_| _ = self.keys.remove(kid))?))
            }
            Work::Make { kid, algorithm } => self.make(kid, *algorithm).map(Done::Public),
            Work::Destroy { kid } => self.destroy(kid, anew),
        }
    }

    fn destroy(&mut self, kid: &str, anew: bool) -> Result<Done, Failed> {
        self.keys.remove(kid);
        let ours = self.session.find_objects(&named(kid))?;
        for object in &ours {
            self.session.destroy_object(*object)?;
        }
        // An id is chosen by whoever makes a key. What bears this one under another label is not what we made.
        if !self.session.find_objects(&[Attribute::Id(kid.as_bytes().to_vec())])?.is_empty() {
            let why = format!(
                "the token holds an object with the id {kid} that is not labelled as ours; look at it"
            );
            return Err(Failed::Missing(why));
        }
        // What is believed to be destroyed is not looked for any more, so a token that may have gone away is not
        // believed to hold nothing, unless the module has begun anew for the question.
        if ours.is_empty() && !anew {
            self.shows_any()?;
        }
        Ok(Done::Destroyed)
    }

    /// That the token shows any private key at all. A module may show one that went away as an empty one, until it
    /// begins again.
    fn shows_any(&self) -> Result<(), Failed> {
        let any = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Token(true)];
        match self.session.find_objects(&any)?.is_empty() {
            true => Err(Failed::Lost("the token shows no key at all".into())),
            false => Ok(()),
        }
    }

    fn private(&mut self, kid: &str) -> Result<ObjectHandle, Failed> {
        if let Some(key) = self.keys.get(kid) {
            return Ok(*key);
        }
        let wanted = [
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::Token(true),
            Attribute::Id(kid.as_bytes().to_vec()),
        ];
        let found = self.session.find_objects(&wanted)?;
        let [key] = found[..] else {
            self.shows_any()?;
            return Err(Failed::Missing(format!("the token holds {} keys with the id {kid}", found.len())));
        };
        self.keys.insert(kid.to_owned(), key);
        Ok(key)
    }

    fn make(&mut self, kid: &str, algorithm: Algorithm) -> Result<serde_json::Value, Failed> {
        let (mechanism, shape) = algorithm.generation();
        let name = named(kid);
        let public = [&name[..], &shape, &PUBLIC].concat();
        let private = [&name[..], algorithm.nothing_else(), &PRIVATE].concat();
        let (public, private) = self.session.generate_key_pair(&mechanism, &public, &private)?;
        let made = self.check_made(private).and_then(|()| {
            let seen = self.session.get_attributes(public, algorithm.public_parts())?;
            algorithm::public_jwk(&seen).ok_or_else(|| Failed::Lost("the token shows no public key".into()))
        });
        made.inspect_err(|_| {
            // Nobody will ever ask for it. If this fails too, what stays behind is a key without a use.
            let _ = self.session.destroy_object(private);
            let _ = self.session.destroy_object(public);
        })
    }

    /// What was asked for is what it is: a token that lets its keys out is not one.
    fn check_made(&self, private: ObjectHandle) -> Result<(), Failed> {
        let asked = [AttributeType::Sensitive, AttributeType::Extractable];
        let seen = self.session.get_attributes(private, &asked)?;
        let kept =
            seen.contains(&Attribute::Sensitive(true)) && seen.contains(&Attribute::Extractable(false));
        kept.then_some(()).ok_or_else(|| Failed::Lost("the token would let its new key out".into()))
    }
}

/// What both halves of a key of ours are called.
fn named(kid: &str) -> [Attribute; 2] {
    [Attribute::Id(kid.as_bytes().to_vec()), Attribute::Label(format!("portcullis {kid}").into())]
}

const PUBLIC: [Attribute; 2] = [Attribute::Token(true), Attribute::Verify(true)];
const PRIVATE: [Attribute; 5] = [
    Attribute::Token(true),
    Attribute::Private(true),
    Attribute::Sensitive(true),
    Attribute::Extractable(false),
    Attribute::Sign(true),
];
