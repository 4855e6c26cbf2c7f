//! Where the data keys are: made once for all servers, wrapped anew under another key-encryption key, followed
//! by new ones. Nobody deletes one, because a row or a copy of the books may still need it.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_authority::refusal::Trouble;
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::cipher::{Cipher, KeyWrap, root};
use crate::db::{Db, Fault, on, tx};
use crate::rows::signed;
use crate::schema::data_keys;
use crate::{Books, Store};

/// Seals fields.
const FIELDS: &str = "fields";
/// Makes marks. It never changes: a mark that is another is not found any more.
const MARKS: &str = "marks";
/// The one key of its purpose that is used for what is new.
const CURRENT: &str = "current";
/// Opens what it has sealed.
const OLDER: &str = "older";

/// Characters of a name; 72 random bits.
const NAME: usize = 9;

#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = data_keys)]
struct StoredDataKey {
    id: String,
    purpose: String,
    wrapped: String,
    kek: String,
    made_at: i64,
    state: String,
}

/// Makes what is missing and unwraps everything; a key that does not unwrap is trouble, because a server that
/// cannot read its books must not begin.
pub(crate) async fn open(db: &Db, cipher: &Cipher, now: u64) -> Result<(), Trouble> {
    let Some(wrap) = cipher.wrap.clone() else {
        return Ok(());
    };
    let mut rows = all(db).await?;
    let has = |rows: &[StoredDataKey], purpose: &str| {
        rows.iter().any(|row| row.purpose == purpose && row.state == CURRENT)
    };
    for purpose in [FIELDS, MARKS] {
        if !has(&rows, purpose) {
            let new = fresh(&*wrap, purpose, now)?;
            // The unique index says who was first; whoever was second takes that one.
            let insert = async {
                Ok(tx!(db, |c| {
                    let insert = diesel::insert_into(data_keys::table).values(&new);
                    Ok::<_, Fault>(insert.on_conflict_do_nothing().execute(c).await?)
                })?)
            };
            db.within(insert).await?;
        }
    }
    if !has(&rows, FIELDS) || !has(&rows, MARKS) {
        rows = all(db).await?;
    }
    let mut ring = crate::cipher::KeyRing::default();
    for row in &rows {
        let bytes = wrap.unwrap(&row.kek, &row.name(), &row.wrapped)?;
        ring.take(row, &bytes);
    }
    cipher.replace(ring);
    Ok(())
}

impl Store {
    /// Takes notice of data keys that were made elsewhere. Those that are known are not unwrapped again, so that
    /// a server goes on whose key-encryption key has been replaced meanwhile.
    pub async fn learn_data_keys(&self) -> Result<(), Trouble> {
        Ok(self.books.learn().await?)
    }

    /// Wraps every data key under the key-encryption key of today. Answers how many were under another.
    pub async fn rewrap_data_keys(&self) -> Result<usize, Trouble> {
        let Some(wrap) = self.books.cipher.wrap.clone() else { return Ok(0) };
        let mut rewrapped = 0;
        for row in all(&self.books.db).await? {
            if row.kek == wrap.id() {
                continue;
            }
            let bytes = wrap.unwrap(&row.kek, &row.name(), &row.wrapped)?;
            let anew = (data_keys::wrapped.eq(wrap.wrap(&row.name(), &bytes)?), data_keys::kek.eq(wrap.id()));
            let write = async {
                Ok(on!(self.books.db, |c| diesel::update(data_keys::table.find(&row.id))
                    .filter(data_keys::kek.eq(&row.kek))
                    .set(anew)
                    .execute(c)
                    .await?))
            };
            rewrapped += self.bite(write).await?;
        }
        Ok(rewrapped)
    }

    /// Makes a data key that seals from now on; the ones before only open. Other servers take it up when they
    /// look next ([`Store::learn_data_keys`]).
    pub async fn new_data_key(&self) -> Result<String, Trouble> {
        let Some(wrap) = self.books.cipher.wrap.clone() else {
            return Err(Trouble::new("store", "these books have no key-encryption key"));
        };
        let new = fresh(&*wrap, FIELDS, (self.books.clock)() / 1000)?;
        self.bite(self.succeed(&new)).await?;
        self.books.learn().await?;
        Ok(new.id)
    }

    async fn succeed(&self, new: &StoredDataKey) -> Result<(), Fault> {
        tx!(self.books.db, |c| {
            diesel::update(data_keys::table)
                .filter(data_keys::purpose.eq(FIELDS))
                .filter(data_keys::state.eq(CURRENT))
                .set(data_keys::state.eq(OLDER))
                .execute(c)
                .await?;
            diesel::insert_into(data_keys::table).values(new).execute(c).await?;
            Ok(())
        })
    }
}

impl Books {
    /// See [`Store::learn_data_keys`].
    pub(crate) async fn learn(&self) -> Result<(), Fault> {
        let Some(wrap) = self.cipher.wrap.clone() else { return Ok(()) };
        let mut ring = (*self.cipher.ring()).clone();
        for row in all(&self.db).await? {
            if row.purpose == MARKS {
                continue; // it never changes
            }
            if ring.keys.contains_key(&row.id) {
                ring.note(&row);
                continue;
            }
            match wrap.unwrap(&row.kek, &row.name(), &row.wrapped) {
                Ok(bytes) => ring.take(&row, &bytes),
                Err(trouble) => tracing::error!(key = row.id, %trouble, "a data key cannot be used"),
            }
        }
        self.cipher.replace(ring);
        Ok(())
    }

    /// Reads, and reads again when a row is sealed under a data key that was made after this server began.
    pub(crate) async fn reading<T, F>(&self, read: impl Fn() -> F + Send) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>> + Send,
    {
        match self.db.within(read()).await {
            Err(Fault::Locked { .. }) => {
                self.learn().await?;
                self.db.within(read()).await
            }
            outcome => outcome,
        }
    }
}

async fn all(db: &Db) -> Result<Vec<StoredDataKey>, Fault> {
    let read = async {
        Ok(on!(db, |c| data_keys::table
            .order(data_keys::made_at)
            .select(StoredDataKey::as_select())
            .load(c)
            .await?))
    };
    db.within(read).await
}

fn fresh(wrap: &dyn KeyWrap, purpose: &str, now: u64) -> Result<StoredDataKey, Trouble> {
    let chance = |bytes: &mut [u8]| {
        SystemRandom::new()
            .fill(bytes)
            .map_err(|_| Trouble::new("store", "the system gives no random numbers"))
    };
    let (mut name, mut key) = ([0; NAME], Zeroizing::new([0; 32]));
    chance(&mut name)?;
    chance(key.as_mut())?;
    let mut row = StoredDataKey {
        id: BASE64URL.encode(name),
        purpose: purpose.into(),
        wrapped: String::new(),
        kek: wrap.id(),
        made_at: signed(now),
        state: CURRENT.into(),
    };
    row.wrapped = wrap.wrap(&row.name(), &key)?;
    Ok(row)
}

impl StoredDataKey {
    /// What is bound into the wrapping, so that a key of one purpose does not pass for one of the other.
    fn name(&self) -> String {
        format!("{}:{}", self.purpose, self.id)
    }
}

impl crate::cipher::KeyRing {
    fn take(&mut self, row: &StoredDataKey, bytes: &[u8; 32]) {
        match row.purpose.as_str() {
            MARKS => self.marks = Some(root(bytes)),
            _ => drop(self.keys.insert(row.id.clone(), root(bytes))),
        }
        self.note(row);
    }

    fn note(&mut self, row: &StoredDataKey) {
        if row.purpose == FIELDS && row.state == CURRENT {
            self.current = Some(row.id.clone());
        }
    }
}
