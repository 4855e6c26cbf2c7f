//! What readers may rely on while one writer writes.

use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::{Acquire, Release};
use loom::thread;
use portcullis_guard::feed::Kind;

use super::table::{Key, Table};

/// The multiplier of the table's hash.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Keys of the first part of two, all with the same first choice among its slots. Number 0 is the key whose
/// words are zero, like those of an empty slot.
fn key(number: usize) -> Key {
    let crowded = |high: &u64| high.rotate_left(32).wrapping_mul(SPREAD) >> 60 == 0;
    let high = (0..).filter(crowded).nth(number).expect("every sixteenth number is one");
    let mark = SPREAD.wrapping_mul((Kind::Token as u64) << 1);
    let id = u128::from(high) << 64 | u128::from(mark);
    Key::new(Kind::Token, false, &id.to_be_bytes())
}

/// A slot that is half written looks like a key of zeros, and must not be found under it.
pub fn only_what_was_put_in_is_found() {
    let table = Arc::new(Table::default());
    let reader = beside(&table, |table| {
        assert_eq!(table.find(key(0)), None);
        assert!(matches!(table.find(key(1)), None | Some(7)));
    });
    assert!(table.write().join(key(1), 100, 7));
    reader.join().expect("the reader does not panic");
    assert_eq!((table.find(key(0)), table.find(key(1))), (None, Some(7)));
}

/// The fifth key makes the part grow, so everything moves.
pub fn what_was_announced_is_found_while_it_grows() {
    announced(|table| {
        table.write().join(key(5), 100, 5);
    });
}

/// The sweep drops a neighbour, so everything moves.
pub fn what_was_announced_is_found_while_it_is_swept() {
    announced(|table| {
        let mut writer = table.write();
        writer.join(key(5), 100, 5);
        writer.sweep(0, 60);
    });
}

/// Four keys are there, one of which lives shorter. The writer adds the fifth and announces it; whoever
/// knows finds all that live.
fn announced(write: fn(&Table)) {
    let (table, known) = (Arc::new(Table::default()), Arc::new(AtomicUsize::new(3)));
    let mut first = table.write();
    (1..=3).for_each(|number| assert!(first.join(key(number), 100, number as u32)));
    assert!(first.join(key(4), 50, 4));
    drop(first);
    let reader = {
        let known = known.clone();
        beside(&table, move |table| {
            let last = known.load(Acquire);
            for number in [1, last] {
                assert_eq!(table.find(key(number)), Some(number as u32), "of {last}");
            }
        })
    };
    write(&table);
    known.store(5, Release);
    reader.join().expect("the reader does not panic");
    assert_eq!(table.find(key(5)), Some(5));
}

/// Raised twice, while somebody looks twice.
pub fn a_number_only_grows() {
    let table = Arc::new(Table::default());
    let reader = beside(&table, |table| {
        let (before, after) = (table.find(key(1)), table.find(key(1)));
        assert!(before <= after, "{before:?} became {after:?}");
    });
    table.write().join(key(1), 100, 1);
    table.write().join(key(1), 90, 5);
    reader.join().expect("the reader does not panic");
    assert_eq!(table.find(key(1)), Some(5));
}

/// Lets somebody read meanwhile. The reader is the second thread and the writer the first, because loom runs
/// the first one first and looks for other orders only where an access meets the *last* one of another
/// thread: a writer who looks at a slot before he writes to it would hide the reader who came before him.
fn beside(table: &Arc<Table>, read: impl FnOnce(&Table) + 'static) -> thread::JoinHandle<()> {
    let table = table.clone();
    thread::spawn(move || read(&table))
}
