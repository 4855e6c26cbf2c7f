//! The feed over Redis, against a real `redis-server` that is killed, emptied, frozen and lied to.
//!
//! Where no `redis-server` is installed these tests say so and do nothing, unless
//! `PORTCULLIS_TEST_REDIS=required` is set: then they fail.

mod child;
mod evil;
mod faults;
mod index;
mod limits;
mod moving;
mod script;
mod tls;
mod town;
mod watchers;
