//! The signing keys: read at one moment, changed by compare-and-set, and ended for good. When a key goes from
//! one age to the next is decided above.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use portcullis_authority::keyring::{KeyChain, KeyChange, KeyRow, KeyState};
use portcullis_authority::refusal::Trouble;
use portcullis_guard::feed::{Kind, Record, name_id};

use crate::Store;
use crate::acts::{Effect, ending};
use crate::db::{Fault, both, glance};
use crate::rows::{signed, unsigned, word};
use crate::schema::{signing_keys, signing_keys_version};
use crate::seed::NEVER;

impl Store {
    /// All keys, of one moment.
    pub(crate) async fn chain_of_keys(&self) -> Result<KeyChain, Trouble> {
        let read = async { glance!(self.books.db, |c| c.key_chain().await) };
        Ok(self.books.db.within(read).await?)
    }
}

/// A key.
#[derive(Insertable, Queryable, Selectable, AsChangeset)]
#[diesel(table_name = signing_keys, treat_none_as_default_value = false, treat_none_as_null = true)]
struct StoredKeyRow {
    kid: String,
    algorithm: String,
    state: String,
    made_at: i64,
    since: i64,
    public: String,
    sealed: Option<String>,
    vault: Option<String>,
}

impl StoredKeyRow {
    fn of(key: &KeyRow) -> Self {
        Self {
            kid: key.kid.clone(),
            algorithm: key.algorithm.clone(),
            state: key.state.as_str().into(),
            made_at: signed(key.made_at),
            since: signed(key.since),
            public: key.public.clone(),
            sealed: key.sealed.clone(),
            vault: key.vault.clone(),
        }
    }

    fn read(self) -> Result<KeyRow, Fault> {
        let state = KeyState::named(&self.state)
            .ok_or_else(|| Fault::unreadable("a signing key", format!("state {:?}", self.state)))?;
        Ok(KeyRow {
            kid: self.kid,
            algorithm: self.algorithm,
            state,
            made_at: unsigned(self.made_at),
            since: unsigned(self.since),
            public: self.public,
            sealed: self.sealed,
            vault: self.vault,
        })
    }
}

/// Signing keys on an open connection.
pub(crate) trait Keeping {
    async fn key_chain(&mut self) -> Result<KeyChain, Fault>;
    async fn change_keys(&mut self, change: &KeyChange, salt: &[u8]) -> Result<Effect, Fault>;
    async fn end_key(&mut self, kid: &str, exp: u64, salt: &[u8]) -> Result<Effect, Fault>;
}

both! {
    impl Keeping {
        async fn key_chain(&mut self) -> Result<KeyChain, Fault> {
            let version: i64 = signing_keys_version::table
                .find(1)
                .select(signing_keys_version::version)
                .get_result(self)
                .await?;
            let rows: Vec<StoredKeyRow> = signing_keys::table
                .order((signing_keys::made_at, signing_keys::kid))
                .select(StoredKeyRow::as_select())
                .load(self)
                .await?;
            let keys = rows.into_iter().map(StoredKeyRow::read).collect::<Result<_, _>>()?;
            Ok(KeyChain { version: unsigned(version), keys })
        }

        async fn change_keys(&mut self, change: &KeyChange, salt: &[u8]) -> Result<Effect, Fault> {
            let version: Option<i64> = diesel::update(signing_keys_version::table.find(1))
                .filter(signing_keys_version::version.eq(signed(change.expected)))
                .set(signing_keys_version::version.eq(signing_keys_version::version + 1))
                .returning(signing_keys_version::version)
                .get_result(self)
                .await
                .optional()?;
            let Some(version) = version else { return Ok(Effect::Lost) };
            for key in &change.rows {
                let row = StoredKeyRow::of(key);
                let known = diesel::update(signing_keys::table.find(&key.kid))
                    .filter(signing_keys::state.ne(KeyState::Ended.as_str()))
                    .set(&row)
                    .execute(self)
                    .await?;
                if known == 0 {
                    diesel::insert_into(signing_keys::table)
                        .values(&row)
                        .on_conflict(signing_keys::kid)
                        .do_nothing()
                        .execute(self)
                        .await?;
                }
            }
            Ok(Effect::Record(changed(version, salt)))
        }

        async fn end_key(&mut self, kid: &str, exp: u64, salt: &[u8]) -> Result<Effect, Fault> {
            let end = ending(Kind::Key, name_id(salt, Kind::Key, kid), exp);
            let gone: Option<String> = None;
            // The version first, as everybody does who changes keys: so two of them wait and never clash.
            let version: i64 = diesel::update(signing_keys_version::table.find(1))
                .set(signing_keys_version::version.eq(signing_keys_version::version + 1))
                .returning(signing_keys_version::version)
                .get_result(self)
                .await?;
            let known = diesel::update(signing_keys::table.find(kid))
                .filter(signing_keys::state.ne(KeyState::Ended.as_str()))
                .set((signing_keys::state.eq(KeyState::Ended.as_str()), signing_keys::sealed.eq(gone)))
                .execute(self)
                .await?;
            // A key that we do not know ends as well: its tokens may still be about.
            if known == 0 {
                return Ok(Effect::Record(end));
            }
            // The end comes last, so that whoever waits for its place has heard of both.
            Ok(Effect::Several(vec![Effect::Record(changed(version, salt)), Effect::Record(end)]))
        }
    }
}

/// Tells guards and other servers that the published keys are others.
fn changed(version: i64, salt: &[u8]) -> Record {
    let id = name_id(salt, Kind::Keys, "");
    Record { kind: Kind::Keys, flags: 0, exp: NEVER, val: word(unsigned(version)), id }
}
