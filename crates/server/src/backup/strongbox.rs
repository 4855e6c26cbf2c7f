//! A stream of bytes under lock: AES-256-GCM over pieces of one size, each with its number and whether it is the
//! last one in its nonce, in the manner of STREAM (Hoang, Reyhanitabar, Rogaway, Vizár: "Online Authenticated-
//! Encryption and its Nonce-Reuse Misuse-Resistance", 2015). So pieces that were altered, left out, reordered or
//! added are found when they are read, and nothing is handed on before it was found good.
//!
//! Every stream has a key of its own, which is why numbers do for nonces. What stands before the stream is
//! bound into each piece.

use std::io::{self, Read, Write};

use ring::{aead, digest};
use zeroize::Zeroizing;

/// Bytes of text in a piece; only the last one has fewer.
const PIECE: usize = 64 * 1024;

/// A key for one stream.
pub type Key = Zeroizing<[u8; 32]>;

/// Locks what is written to it.
pub struct Locking<W> {
    to: W,
    lock: Lock,
    number: u64,
    text: Vec<u8>,
}

/// Unlocks what it reads.
pub struct Unlocking<R> {
    from: R,
    lock: Lock,
    number: u64,
    /// The next piece, still locked: a piece is the last one when there is none after it.
    ahead: Vec<u8>,
    text: Vec<u8>,
    /// How much of the text was handed on.
    given: usize,
    ended: bool,
}

/// A key, and what its pieces are bound to.
struct Lock {
    key: aead::LessSafeKey,
    about: digest::Digest,
}

impl<W: Write> Locking<W> {
    /// `before` is what stands before the stream.
    pub fn new(to: W, key: &Key, before: &[u8]) -> Self {
        Self { to, lock: Lock::new(key, before), number: 0, text: Vec::with_capacity(PIECE) }
    }

    /// Writes the last piece and gives back what it was written to.
    ///
    /// # Errors
    /// When that cannot be written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.lock_up(true)?;
        Ok(self.to)
    }

    fn lock_up(&mut self, last: bool) -> io::Result<()> {
        let mut piece = Zeroizing::new(std::mem::take(&mut self.text));
        self.lock.close(self.number, last, &mut piece)?;
        self.to.write_all(&piece)?;
        self.number += 1;
        self.text.reserve(PIECE);
        Ok(())
    }
}

impl<W: Write> Write for Locking<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() == PIECE {
            self.lock_up(false)?;
        }
        let taken = bytes.len().min(PIECE - self.text.len());
        self.text.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// What is not a whole piece waits for more.
    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<R: Read> Unlocking<R> {
    /// `before` is what was read before the stream.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn new(mut from: R, key: &Key, before: &[u8]) -> io::Result<Self> {
        let ahead = piece(&mut from)?;
        let lock = Lock::new(key, before);
        Ok(Self { from, lock, number: 0, ahead, text: Vec::new(), given: 0, ended: false })
    }

    fn unlock(&mut self) -> io::Result<()> {
        let next = piece(&mut self.from)?;
        let locked = std::mem::replace(&mut self.ahead, next);
        let last = self.ahead.is_empty();
        let Some(text) = self.lock.open(self.number, last, &locked) else {
            return Err(self.wrong(&locked, last));
        };
        self.text = text;
        self.given = 0;
        self.number += 1;
        self.ended = last;
        Ok(())
    }

    /// Why a piece does not open.
    fn wrong(&self, locked: &[u8], last: bool) -> io::Error {
        let number = self.number + 1;
        let other = self.lock.open(self.number, !last, locked).is_some();
        io::Error::other(match (other, last) {
            (true, true) => format!("it was cut off after piece {number}; what follows is missing"),
            (true, false) => format!("something was added after piece {number}, which is its last"),
            (false, _) => format!("piece {number} was altered, cut or moved; use another backup"),
        })
    }
}

impl<R: Read> Read for Unlocking<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.given == self.text.len() && !self.ended {
            self.unlock()?;
        }
        let left = &self.text[self.given..];
        let count = left.len().min(to.len());
        to[..count].copy_from_slice(&left[..count]);
        self.given += count;
        Ok(count)
    }
}

impl Lock {
    fn new(key: &Key, before: &[u8]) -> Self {
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, key.as_ref()).expect("AES-256 takes 32 bytes");
        Self { key: aead::LessSafeKey::new(key), about: digest::digest(&digest::SHA256, before) }
    }

    fn close(&self, number: u64, last: bool, piece: &mut Vec<u8>) -> io::Result<()> {
        let about = aead::Aad::from(self.about.as_ref());
        let closed = self.key.seal_in_place_append_tag(nonce(number, last), about, piece);
        closed.map_err(|_| io::Error::other("a piece is too long to be locked"))
    }

    fn open(&self, number: u64, last: bool, piece: &[u8]) -> Option<Vec<u8>> {
        let mut piece = piece.to_vec();
        let about = aead::Aad::from(self.about.as_ref());
        let length = self.key.open_in_place(nonce(number, last), about, &mut piece).ok()?.len();
        piece.truncate(length);
        Some(piece)
    }
}

/// The number of a piece, and whether it is the last one.
fn nonce(number: u64, last: bool) -> aead::Nonce {
    let mut nonce = [0; aead::NONCE_LEN];
    nonce[3..11].copy_from_slice(&number.to_be_bytes());
    nonce[11] = u8::from(last);
    aead::Nonce::assume_unique_for_key(nonce)
}

/// The next piece, which is empty when there is none.
fn piece(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let most = PIECE + aead::AES_256_GCM.tag_len();
    let mut piece = Vec::with_capacity(most);
    from.take(most as u64).read_to_end(&mut piece)?;
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a whole piece under lock.
    const LOCKED: usize = PIECE + 16;

    fn key(byte: u8) -> Key {
        Zeroizing::new([byte; 32])
    }

    fn locked(text: &[u8]) -> Vec<u8> {
        let mut locking = Locking::new(Vec::new(), &key(1), b"before");
        locking.write_all(text).unwrap();
        locking.finish().unwrap()
    }

    fn unlocked(bytes: &[u8], key: &Key, before: &[u8]) -> Result<Vec<u8>, String> {
        let mut text = Vec::new();
        let read = Unlocking::new(bytes, key, before).and_then(|mut it| it.read_to_end(&mut text));
        read.map(|_| text).map_err(|why| why.to_string())
    }

    fn refused(bytes: &[u8]) -> String {
        unlocked(bytes, &key(1), b"before").expect_err("it was not as it was written")
    }

    fn text(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at % 251) as u8).collect()
    }

    #[test]
    fn what_was_locked_is_what_is_unlocked_at_every_length() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 17] {
            let bytes = locked(&text(length));
            assert_eq!(bytes.len(), length + 16 * length.div_ceil(PIECE).max(1), "{length}");
            assert_eq!(unlocked(&bytes, &key(1), b"before").unwrap(), text(length), "{length}");
        }
    }

    #[test]
    fn a_stream_that_was_cut_off_anywhere_is_refused() {
        let bytes = locked(&text(3 * PIECE));
        assert!(refused(&bytes[..LOCKED]).contains("cut off after piece 1"));
        assert!(refused(&bytes[..2 * LOCKED]).contains("cut off after piece 2"));
        for length in [0, 1, 15, 16, LOCKED - 1, LOCKED + 1, 3 * LOCKED - 1] {
            refused(&bytes[..length]);
        }
    }

    #[test]
    fn pieces_in_another_order_or_twice_or_of_another_stream_are_refused() {
        let bytes = locked(&text(3 * PIECE));
        let (first, second, third) = (&bytes[..LOCKED], &bytes[LOCKED..2 * LOCKED], &bytes[2 * LOCKED..]);
        for pieces in [[second, first, third], [first, first, third], [first, third, second]] {
            assert!(refused(&pieces.concat()).contains("altered, cut or moved"));
        }
        assert!(refused(&[&bytes[..], first].concat()).contains("added after piece 3"));
        assert!(refused(&[&bytes[..], b"x"].concat()).contains("added after piece 3"));
    }

    #[test]
    fn a_changed_bit_anywhere_is_refused() {
        let bytes = locked(&text(PIECE + 100));
        for at in (0..bytes.len()).step_by(997).chain([bytes.len() - 1]) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            refused(&changed);
        }
    }

    #[test]
    fn another_key_and_another_beginning_do_not_open_it() {
        let bytes = locked(&text(10));
        assert!(unlocked(&bytes, &key(2), b"before").is_err());
        assert!(unlocked(&bytes, &key(1), b"Before").is_err());
    }
}
