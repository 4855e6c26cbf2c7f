//! The guard's table under loom: the same source as in the library, on loom's atomics and on a small scale,
//! through every interleaving and every stale value that the memory model allows. Then the same source with
//! one ordering weakened, which must be found.
#![expect(clippy::duplicate_mod, reason = "each weakened table is the same file with other orderings")]

mod scale;
mod sound;
mod without_acquire;
mod without_release;

use std::panic::catch_unwind;

/// Whether loom finds a rule broken. What it finds is printed, as if a test had failed.
fn is_broken(rule: fn()) -> bool {
    catch_unwind(|| scale::model(rule)).is_err()
}

#[test]
fn nobody_finds_what_was_never_put_in() {
    scale::model(sound::rules::only_what_was_put_in_is_found);
}

#[test]
fn what_was_announced_is_found_while_the_table_grows() {
    scale::model(sound::rules::what_was_announced_is_found_while_it_grows);
}

#[test]
fn what_was_announced_is_found_while_the_table_is_swept() {
    scale::model(sound::rules::what_was_announced_is_found_while_it_is_swept);
}

#[test]
fn a_number_only_grows_for_every_reader() {
    scale::model(sound::rules::a_number_only_grows);
}

#[test]
fn a_table_whose_writer_releases_nothing_is_found_out() {
    assert!(is_broken(without_release::rules::only_what_was_put_in_is_found));
}

#[test]
fn a_table_whose_reader_acquires_nothing_is_found_out() {
    assert!(is_broken(without_acquire::rules::only_what_was_put_in_is_found));
}
