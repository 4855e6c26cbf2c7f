//! People: found, made, changed, closed and deleted.

use portcullis_authority::operators::Denial;
use portcullis_authority::people::{self, Chosen, Newcomer};
use portcullis_authority::registry::{Membership, Person};
use portcullis_authority::secret::Secret;
use portcullis_guard::claims::OwnerKind;
use portcullis_store::PeopleSearch;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::Visit;
use super::route::{ACTING, Answer, Method, Reply, Route, SEEING, json, shape};

/// People on a page, unless said.
const USUAL_PAGE: usize = 50;
const LARGEST_PAGE: usize = 500;

pub const ROUTES: &[Route] = &[
    Route::new(Method::Get, "/people", SEEING, "Finds people, in the order of their ids.", |visit| {
        Box::pin(search(visit))
    })
    .asks(shape::<Search>)
    .answers(shape::<PeopleList>)
    .about_people(),
    Route::new(Method::Post, "/people", ACTING, "Makes an account.", |visit| Box::pin(create(visit)))
        .takes(shape::<NewPerson>)
        .creates(shape::<Made>),
    Route::new(Method::Get, "/people/{person}", SEEING, "Shows a person and where they belong.", |visit| {
        Box::pin(show(visit))
    })
    .answers(shape::<PersonAndPlaces>)
    .about_people(),
    Route::new(
        Method::Post,
        "/people/{person}/disable",
        ACTING,
        "Closes an account and ends everything that was ever given to it.",
        |visit| Box::pin(set_disabled(visit, true)),
    )
    .answers(shape::<ShownPerson>),
    Route::new(Method::Post, "/people/{person}/enable", ACTING, "Opens an account again.", |visit| {
        Box::pin(set_disabled(visit, false))
    })
    .answers(shape::<ShownPerson>),
    Route::new(
        Method::Put,
        "/people/{person}/password",
        ACTING,
        "Gives an account another password and ends everything that was had with the one before.",
        |visit| Box::pin(set_password(visit)),
    )
    .takes(shape::<NewPassword>)
    .answers(shape::<Password>),
    Route::new(
        Method::Delete,
        "/people/{person}",
        ACTING,
        "Deletes an account with its memberships and personal credentials, and ends everything of it.",
        |visit| Box::pin(delete(visit)),
    ),
];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Search {
    /// Part of the address, or a whole id.
    search: Option<String>,
    /// Customers of this organization, by its id.
    organization: Option<String>,
    kind: Option<Kind>,
    /// The last id of the page before.
    after: Option<String>,
    /// 50 unless said; 500 at most.
    limit: Option<usize>,
}

#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PersonKind")]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Belongs to one organization and buys there.
    Customer,
    /// Works in organizations, by membership.
    User,
}

#[derive(Serialize, JsonSchema)]
struct PeopleList {
    people: Vec<ShownPerson>,
    /// Give it as `after` for the next page; absent on the last.
    next: Option<String>,
}

/// An account.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Person")]
struct ShownPerson {
    id: String,
    kind: Kind,
    organization: Option<String>,
    email: String,
    first_name: String,
    last_name: String,
    has_password: bool,
    /// An operator has set the password, and it is good for choosing one's own alone.
    must_choose_password: bool,
    disabled: bool,
}

#[derive(Serialize, JsonSchema)]
struct PersonAndPlaces {
    person: ShownPerson,
    memberships: Vec<ShownMembership>,
    /// Client ids of the credentials that stand for this person.
    credentials: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Membership")]
struct ShownMembership {
    id: String,
    organization: String,
    role: String,
    owner: bool,
    active: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewPerson {
    kind: Kind,
    /// Id of the organization, of a customer.
    organization: Option<String>,
    email: String,
    #[serde(default)]
    first_name: String,
    #[serde(default)]
    last_name: String,
    /// Without it the person cannot sign in with a password, unless one is made.
    password: Option<String>,
    /// Makes a password and shows it once.
    #[serde(default)]
    make_password: bool,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NewAccount")]
struct Made {
    person: ShownPerson,
    /// The one that was made; it is shown this once.
    password: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    /// Without it one is made.
    password: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Password {
    /// The one that was made; it is shown this once.
    password: Option<String>,
}

impl From<Person> for ShownPerson {
    fn from(person: Person) -> Self {
        Self {
            id: person.id,
            kind: match person.kind {
                OwnerKind::Customer => Kind::Customer,
                OwnerKind::User => Kind::User,
            },
            organization: person.organization,
            email: person.email,
            first_name: person.first_name,
            last_name: person.last_name,
            has_password: person.password.is_some(),
            must_choose_password: person.password_given,
            disabled: person.disabled,
        }
    }
}

impl From<Membership> for ShownMembership {
    fn from(place: Membership) -> Self {
        Self {
            id: place.id,
            organization: place.organization,
            role: place.role,
            owner: place.owner,
            active: place.active,
        }
    }
}

impl From<Kind> for OwnerKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Customer => Self::Customer,
            Kind::User => Self::User,
        }
    }
}

async fn search(visit: Visit) -> Answer {
    let asked: Search = visit.query()?;
    let limit = asked.limit.unwrap_or(USUAL_PAGE).clamp(1, LARGEST_PAGE);
    let texts = [&asked.search, &asked.organization, &asked.after];
    if texts.into_iter().flatten().any(|text| text.contains('\0')) {
        return Err(Denial::invalid("search", "There is a character in it that no name has."));
    }
    let search = PeopleSearch {
        text: asked.search.filter(|text| !text.is_empty()),
        organization: asked.organization,
        kind: asked.kind.map(OwnerKind::from),
        after: asked.after,
        // One more, to know whether there is another page.
        limit: limit + 1,
    };
    let mut found = visit.store().people(&search).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    visit.shows(found.iter().map(|person| person.id.clone()));
    let next = found.last().filter(|_| more).map(|person| person.id.clone());
    json(&PeopleList { people: found.into_iter().map(ShownPerson::from).collect(), next })
}

async fn show(visit: Visit) -> Answer {
    let person = people::find(visit.desk(), visit.part("person")).await?;
    let memberships = visit.desk().registry.memberships(&person.id).await?;
    visit.shows([person.id.clone()]);
    let directory = visit.desk().registry.directory();
    let own = directory.applications().filter(|it| it.user.as_ref() == Some(&person.id));
    let mut credentials: Vec<_> = own.map(|it| it.client_id.clone()).collect();
    credentials.sort_unstable();
    json(&PersonAndPlaces {
        memberships: memberships.into_iter().map(ShownMembership::from).collect(),
        credentials,
        person: person.into(),
    })
}

async fn create(visit: Visit) -> Answer {
    let asked: NewPerson = visit.body()?;
    let newcomer = Newcomer {
        kind: asked.kind.into(),
        organization: asked.organization,
        email: asked.email,
        first_name: asked.first_name,
        last_name: asked.last_name,
        password: match (asked.password, asked.make_password) {
            (Some(password), _) => Chosen::This(Secret::from(password)),
            (None, true) => Chosen::Made,
            (None, false) => Chosen::No,
        },
    };
    let (person, made) = people::create(visit.desk(), newcomer, visit.record("")).await?;
    json(&Made { person: person.into(), password: made.map(|secret| secret.expose().to_owned()) })
}

async fn set_disabled(visit: Visit, disabled: bool) -> Answer {
    let (id, record) = (visit.part("person"), visit.record(""));
    let person = people::set_disabled(visit.desk(), id, disabled, record).await?;
    json(&ShownPerson::from(person))
}

async fn set_password(visit: Visit) -> Answer {
    let asked: NewPassword = visit.body()?;
    let chosen = asked.password.map_or(Chosen::Made, |password| Chosen::This(Secret::from(password)));
    let (id, record) = (visit.part("person"), visit.record(""));
    let made = people::set_password(visit.desk(), id, chosen, record).await?;
    json(&Password { password: made.map(|secret| secret.expose().to_owned()) })
}

async fn delete(visit: Visit) -> Answer {
    people::delete(visit.desk(), visit.part("person"), visit.record("")).await?;
    Ok(Reply::Nothing)
}
