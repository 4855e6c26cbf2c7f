//! How much memory a revocation takes in a guard, and how long it takes to find that a token is not revoked.
//!
//! `cargo run --release -p portcullis-guard --example feed_memory` measures 10^5 and 10^6 records; with the
//! argument `large` also 10^7. Ids are counted, not random, which the table must not mind.

use std::{hint::black_box, time::Instant};

use portcullis_guard::feed::{
    Kind, Record,
    table::{Key, Table},
};

/// Lookups per measurement: enough to leave every cache behind.
const LOOKUPS: u64 = 2_000_000;
/// Names under which an ordinary token is looked up at once.
const NAMES: usize = 7;
/// Records in one batch of the loading writer.
const BATCH: u64 = 65_536;

fn main() {
    let large = std::env::args().nth(1).is_some_and(|argument| argument == "large");
    println!(
        "{:>10} {:>13} {:>10} {:>10} {:>10} {:>10}",
        "records", "bytes/record", "process", "load ns", "hit ns", "miss ns"
    );
    for count in [100_000, 1_000_000, 10_000_000] {
        if count <= 1_000_000 || large {
            measure(count);
        }
    }
}

fn measure(count: u64) {
    let before = resident_bytes();
    let table = Table::default();
    let started = Instant::now();
    for first in (0..count).step_by(BATCH as usize) {
        let mut writer = table.write();
        for number in first..count.min(first + BATCH) {
            let record = record(number);
            writer.join(Key::new(record.kind, false, &record.id), record.exp, record.val);
        }
    }
    let load = nanos_each(started, count);
    let process = resident_bytes().saturating_sub(before) / count;
    let (hit, miss) = (lookups(&table, 0, count), lookups(&table, count, count));
    let bytes = table.bytes() as f64 / table.len() as f64;
    println!("{count:>10} {bytes:>13.1} {process:>10} {load:>10.0} {hit:>10.0} {miss:>10.0}");
}

/// Nanoseconds for one lookup among `count` ids from `first` on, in an order that no prefetcher guesses.
fn lookups(table: &Table, first: u64, count: u64) -> f64 {
    let keys: Vec<_> = (0..LOOKUPS)
        .map(|n| Key::new(Kind::Token, false, &record(first + scattered(n) % count).id))
        .collect();
    let started = Instant::now();
    let mut found = 0;
    for names in keys.chunks(NAMES) {
        let reader = table.read();
        found += names.iter().filter(|key| black_box(reader.find(**key)).is_some()).count();
    }
    let nanos = nanos_each(started, LOOKUPS);
    assert_eq!(found as u64, if first == 0 { LOOKUPS } else { 0 });
    nanos
}

fn record(number: u64) -> Record {
    let id = (u128::from(scattered(number)) << 64 | u128::from(scattered(!number))).to_be_bytes();
    Record { kind: Kind::Token, flags: 0, exp: u32::MAX, val: 0, id }
}

/// A bijection on 64-bit numbers, so that no two records have the same id.
fn scattered(number: u64) -> u64 {
    let mixed = (number ^ number >> 31).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed ^ mixed >> 29).wrapping_mul(0xa5a3_5625_e3f1_7f4d)
}

fn nanos_each(started: Instant, times: u64) -> f64 {
    started.elapsed().as_nanos() as f64 / times as f64
}

/// What the process holds, as the kernel counts it; zero where there is no such count.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
