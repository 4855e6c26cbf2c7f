//! Where the limits of several servers come together. What is lost here is counted again from nothing, and
//! each server goes on with its own count meanwhile.

use std::time::Duration;

use async_trait::async_trait;
use portcullis_authority::limits::{Counted, Peers};
use portcullis_authority::refusal::Trouble;
use redis::Script;

use super::RedisSettings;
use super::link::Link;

/// Buckets in Redis; `counts.lua` has the arithmetic, by the clock of Redis.
pub struct RedisCounts {
    link: Link,
    prefix: String,
    add: Script,
}

impl RedisCounts {
    /// Does not connect yet. Needs a runtime.
    ///
    /// # Errors
    /// Trouble with the address.
    pub fn open(settings: &RedisSettings) -> Result<Self, Trouble> {
        Ok(Self {
            link: Link::new(settings)?,
            // The feed's hash tag, because one call adds to many keys.
            prefix: format!("rv:{{{}}}:limit:", settings.feed),
            add: Script::new(include_str!("counts.lua")),
        })
    }
}

#[async_trait]
impl Peers for RedisCounts {
    async fn add(&self, counted: &[Counted]) -> Result<Vec<u64>, Trouble> {
        let mut call = self.add.prepare_invoke();
        for one in counted {
            let price = if one.forget { -1 } else { i64::try_from(one.price).unwrap_or(i64::MAX) };
            call.key(format!("{}{}", self.prefix, one.name)).arg(price).arg(one.window);
        }
        self.link.ask(Duration::ZERO, |mut redis| async move { call.invoke_async(&mut redis).await }).await
    }
}
