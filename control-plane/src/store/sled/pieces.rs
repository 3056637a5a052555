//! Values of any size in pieces that sled keeps inside its log.
//!
//! sled writes a page that does not fit a quarter of a segment (131,052 bytes) to a file of its own in `blobs/`, which
//! would have to be synced too. A leaf holds up to 16 values and, while it takes in a neighbour, a few more; so with
//! pieces of 6000 bytes every page stays in the log, and syncing the one `db` file is enough.

use super::fault::Fault;
use super::key::describe;

/// Longest piece, bytes.
pub(super) const PIECE: usize = 6000;

/// Longest value, bytes. Far above what any batch of the engine has; a bigger one is a mistake somewhere.
pub(super) const LONGEST: usize = 16 * 1024 * 1024;

/// A key and its whole value.
pub(super) type Value = (Vec<u8>, Vec<u8>);

fn piece_key(key: &[u8], index: u16) -> Vec<u8> {
    [key, &index.to_be_bytes()].concat()
}

/// Stages a value, replacing what the key had.
pub(super) fn put(
    db: &sled::Db,
    batch: &mut sled::Batch,
    key: &[u8],
    value: &[u8],
) -> Result<(), Fault> {
    if value.len() > LONGEST {
        let (what, bytes) = (describe(key), value.len());
        return Err(Fault::TooLong(format!(
            "{what} has {bytes} bytes, at most {LONGEST} fit"
        )));
    }
    let mut next = 0_u16;
    for piece in value.chunks(PIECE) {
        batch.insert(piece_key(key, next), piece);
        next += 1;
    }
    remove_from(db, batch, key, next)
}

/// Stages the removal of a value.
pub(super) fn remove(db: &sled::Db, batch: &mut sled::Batch, key: &[u8]) -> Result<(), Fault> {
    remove_from(db, batch, key, 0)
}

fn remove_from(
    db: &sled::Db,
    batch: &mut sled::Batch,
    key: &[u8],
    first: u16,
) -> Result<(), Fault> {
    for index in first..=u16::MAX {
        let piece = piece_key(key, index);
        if !db.contains_key(&piece)? {
            break;
        }
        batch.remove(piece);
    }
    Ok(())
}

/// Puts the values of a range together again, in the order of their keys.
pub(super) fn values(pieces: sled::Iter) -> impl Iterator<Item = Result<Value, Fault>> {
    let mut pieces = pieces.peekable();
    std::iter::from_fn(move || next_value(&mut pieces).transpose())
}

fn next_value(pieces: &mut std::iter::Peekable<sled::Iter>) -> Result<Option<Value>, Fault> {
    let Some(first) = pieces.next() else {
        return Ok(None);
    };
    let (stored, first) = first?;
    let (key, index) = split(&stored)?;
    expect(key, index, 0)?;
    let (key, mut value) = (key.to_vec(), first.to_vec());
    let mut count = 1;
    while let Some(Ok((stored, piece))) = pieces.peek() {
        let (next_key, index) = split(stored)?;
        if next_key != key {
            break;
        }
        expect(&key, index, count)?;
        value.extend_from_slice(piece);
        count = count.saturating_add(1);
        pieces.next();
    }
    Ok(Some((key, value)))
}

/// The key that a piece belongs to.
pub(super) fn key_of(stored: &[u8]) -> Result<&[u8], Fault> {
    split(stored).map(|(key, _)| key)
}

fn split(stored: &[u8]) -> Result<(&[u8], u16), Fault> {
    let Some((key, index)) = stored.split_last_chunk::<2>() else {
        return Err(Fault::Log(format!("the key {stored:02x?} is too short")));
    };
    Ok((key, u16::from_be_bytes(*index)))
}

fn expect(key: &[u8], found: u16, expected: u16) -> Result<(), Fault> {
    if found == expected {
        return Ok(());
    }
    let what = describe(key);
    Err(Fault::Log(format!("{what} lacks its piece {expected}")))
}

/// The value of one key.
pub(super) fn get(db: &sled::Db, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    let found = values(db.scan_prefix(key)).next().transpose()?;
    Ok(found.map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::super::key::{SEEN, named};
    use super::*;

    fn open() -> sled::Db {
        sled::Config::new()
            .temporary(true)
            .flush_every_ms(None)
            .open()
            .unwrap()
    }

    fn write(db: &sled::Db, key: &[u8], length: usize) -> Vec<u8> {
        let value: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        let mut batch = sled::Batch::default();
        put(db, &mut batch, key, &value).unwrap();
        db.apply_batch(batch).unwrap();
        value
    }

    #[test]
    fn values_of_any_size_come_back_after_shrinking_and_growing() {
        let db = open();
        let (key, other) = (named(SEEN, b"a"), named(SEEN, b"a\0\0"));
        let neighbour = write(&db, &other, 2 * PIECE + 1);
        for length in [1, PIECE, 5 * PIECE, PIECE + 1, 3, 700_000] {
            let value = write(&db, &key, length);
            assert_eq!(get(&db, &key).unwrap(), Some(value));
            assert_eq!(get(&db, &other).unwrap().as_ref(), Some(&neighbour));
            assert_eq!(values(db.iter()).filter(|value| value.is_ok()).count(), 2);
        }
        let mut batch = sled::Batch::default();
        remove(&db, &mut batch, &key).unwrap();
        db.apply_batch(batch).unwrap();
        assert_eq!(get(&db, &key).unwrap(), None);
        assert_eq!(get(&db, &other).unwrap(), Some(neighbour));
    }

    #[test]
    fn a_lost_piece_is_told() {
        let db = open();
        let key = named(SEEN, b"a");
        write(&db, &key, 3 * PIECE);
        db.remove(piece_key(&key, 1)).unwrap();
        let error = get(&db, &key).unwrap_err();
        assert!(error.to_string().contains("lacks its piece 1"), "{error}");
        db.remove(piece_key(&key, 0)).unwrap();
        assert!(get(&db, &key).is_err());
    }

    #[test]
    fn a_value_beyond_the_limit_is_refused() {
        let db = open();
        let mut batch = sled::Batch::default();
        let error = put(&db, &mut batch, b"k", &vec![0; LONGEST + 1]).unwrap_err();
        assert!(matches!(error, Fault::TooLong(_)), "{error}");
    }
}
