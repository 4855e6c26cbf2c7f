//! The table on its own, with and without threads. Beside it and not in it, because `tests/table_model`
//! compiles it anew.

use std::{
    sync::atomic::{AtomicBool, AtomicU32},
    thread,
};

use super::{
    Kind,
    sync::{Acquire, PARTS, Release},
    table::{Key, Table},
};

fn key(number: u32) -> Key {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    id[12..].copy_from_slice(&number.wrapping_mul(0x85eb_ca6b).to_be_bytes());
    Key::new(Kind::Token, false, &id)
}

#[test]
fn what_was_put_in_is_found_and_nothing_else() {
    let table = Table::default();
    let mut writer = table.write();
    (0..20_000).for_each(|n| assert!(writer.join(key(n), 100, n)));
    drop(writer);
    (0..20_000).for_each(|n| assert_eq!(table.find(key(n)), Some(n)));
    (20_000..40_000).for_each(|n| assert_eq!(table.find(key(n)), None));
    assert_eq!(table.len(), 20_000);
}

#[test]
fn a_number_and_a_time_only_grow() {
    let table = Table::default();
    assert!(table.write().join(key(1), 100, 5));
    assert!(!table.write().join(key(1), 90, 4));
    assert_eq!(table.find(key(1)), Some(5));
    assert!(table.write().join(key(1), 90, 6));
    (0..PARTS as u64).for_each(|turn| table.write().sweep(turn, 100));
    assert_eq!(table.find(key(1)), Some(6), "the longer time was kept");
}

#[test]
fn a_sweep_drops_the_dead_and_keeps_the_living() {
    let table = Table::default();
    (0..10_000).for_each(|n| assert!(table.write().join(key(n), 100 + n % 2, 0)));
    let before = table.bytes();
    (0..PARTS as u64).for_each(|turn| table.write().sweep(turn, 101));
    (0..10_000).for_each(|n| assert_eq!(table.find(key(n)).is_some(), n % 2 == 1));
    assert!(table.bytes() < before);
}

#[test]
fn kinds_and_times_have_places_of_their_own() {
    let table = Table::default();
    let id = [0; 16];
    table.write().join(Key::new(Kind::Token, false, &id), 100, 1);
    for (kind, is_time) in [(Kind::Family, false), (Kind::Token, true), (Kind::Subject, false)] {
        assert_eq!(table.find(Key::new(kind, is_time, &id)), None);
    }
}

#[test]
fn a_key_of_zeros_is_a_key_like_any_other() {
    let table = Table::default();
    // The id that the mark of its kind cancels out.
    let mark = 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(2);
    let zero = Key::new(Kind::Token, false, &u128::from(mark).to_be_bytes());
    assert!(format!("{zero:?}").contains("high: 0, low: 0"));
    assert_eq!(table.find(zero), None);
    table.write().join(zero, 0, 0);
    assert_eq!(table.find(zero), Some(0));
}

#[test]
fn a_record_takes_less_than_forty_bytes() {
    let table = Table::default();
    for n in 0..200_000 {
        table.write().join(key(n), 100, 0);
        if n > 50_000 && n % 3_000 == 0 {
            assert!(table.bytes() / table.len() < 40, "{} bytes at {n}", table.bytes() / table.len());
        }
    }
}

/// Readers ask again and again for everything the writer has announced, while parts grow and are swept.
#[test]
fn what_was_announced_is_never_missing_again() {
    const ALL: u32 = 10_000;
    let (table, announced, done) = (Table::default(), AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut at = 0u32;
                while !done.load(Acquire) {
                    let known = announced.load(Acquire);
                    at = at.wrapping_add(7919);
                    let number = at % known.max(1);
                    assert!(known == 0 || table.find(key(number)) == Some(number));
                }
            });
        }
        for n in 0..ALL {
            let mut writer = table.write();
            writer.join(key(n), 200, n);
            // A short-lived neighbour gives every sweep something to drop.
            writer.join(key(ALL + n), 100, 0);
            writer.sweep(n.into(), 150);
            announced.store(n + 1, Release);
        }
        done.store(true, Release);
    });
    assert_eq!((0..ALL).filter(|n| table.find(key(*n)) == Some(*n)).count(), ALL as usize);
}
