//! `Packages.gz` in pieces: a gzip file may be several members, one behind the other, so only pieces that changed are compressed
//! anew (compressing 4 MB costs 20 to 40 ms, one piece a hundredth of it). Where a piece ends depends on the names in it
//! alone: adding a package changes one piece, and the same packages always give the same file.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;

use flate2::Compression;
use flate2::write::GzEncoder;

/// A piece has this many blocks on average.
const MEAN: u64 = 256;
/// And never more than this.
const MOST: usize = 1024;

/// What a block of the index is sorted by: CPV and BUILD_ID.
pub(crate) type Key = (String, u32);

/// Whether a piece ends with the block of this key.
pub(crate) fn ends_piece(key: &Key) -> bool {
    // FNV-1a: stable over versions and machines, unlike the standard library's hasher
    let bytes = key.0.bytes().chain(key.1.to_le_bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    (hash ^ (hash >> 32)) % MEAN == 0
}

struct Piece {
    text: Vec<u8>,
    packed: Vec<u8>,
}

/// A piece to be: its first key and where its text stands.
pub(crate) type Cut = (Key, Range<usize>);

/// Appends `blocks` to `plain`; answers the pieces they make.
pub(crate) fn cut<'a>(blocks: impl Iterator<Item = (&'a Key, bool, &'a str)>, plain: &mut Vec<u8>) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let mut begun: Option<(Key, usize, usize)> = None;
    for (key, ends, text) in blocks {
        let (first, start, count) = begun.take().unwrap_or_else(|| (key.clone(), plain.len(), 0));
        plain.extend_from_slice(text.as_bytes());
        if ends || count + 1 == MOST {
            cuts.push((first, start..plain.len()));
        } else {
            begun = Some((first, start, count + 1));
        }
    }
    cuts.extend(begun.map(|(first, start, _)| (first, start..plain.len())));
    cuts
}

/// Compressed pieces of the generation before, by their first key.
#[derive(Default)]
pub(crate) struct Pieces {
    kept: BTreeMap<Key, Piece>,
}

impl Pieces {
    /// Appends the pieces of `plain`, compressed, to `packed`. Answers how many had to be compressed.
    pub(crate) fn pack(&mut self, cuts: Vec<Cut>, plain: &[u8], packed: &mut Vec<u8>) -> io::Result<usize> {
        let mut fresh = 0;
        let mut used = BTreeMap::new();
        for (first, place) in cuts {
            fresh += self.close(first, &plain[place], packed, &mut used)?;
        }
        self.kept = used;
        Ok(fresh)
    }

    fn close(
        &mut self,
        first: Key,
        text: &[u8],
        packed: &mut Vec<u8>,
        used: &mut BTreeMap<Key, Piece>,
    ) -> io::Result<usize> {
        let kept = self.kept.remove(&first).filter(|piece| piece.text == text);
        let fresh = usize::from(kept.is_none());
        let piece = match kept {
            Some(piece) => piece,
            None => Piece { text: text.to_vec(), packed: gzip(text)? },
        };
        packed.extend_from_slice(&piece.packed);
        used.insert(first, piece);
        Ok(fresh)
    }
}

/// One gzip member, without a time in it.
pub(crate) fn gzip(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn blocks(count: u32) -> Vec<(Key, String)> {
        (0..count).map(|n| ((format!("app-misc/p{n:05}-1"), 1), format!("CPV: app-misc/p{n:05}-1\n\n"))).collect()
    }

    fn write(pieces: &mut Pieces, blocks: &[(Key, String)]) -> (usize, Vec<u8>, Vec<u8>) {
        let (mut plain, mut packed) = (Vec::new(), Vec::new());
        let all = blocks.iter().map(|(key, text)| (key, ends_piece(key), text.as_str()));
        let cuts = cut(all, &mut plain);
        let fresh = pieces.pack(cuts, &plain, &mut packed).unwrap();
        (fresh, plain, packed)
    }

    #[test]
    fn one_more_package_compresses_one_piece_or_two() {
        let mut pieces = Pieces::default();
        let mut all = blocks(10_000);
        let (first, ..) = write(&mut pieces, &all);
        assert!((20..=80).contains(&first), "{first} pieces of about 256");
        assert_eq!(write(&mut pieces, &all).0, 0);
        all.insert(5000, (("app-misc/p04999-2".to_owned(), 1), "CPV: app-misc/p04999-2\n\n".to_owned()));
        let (fresh, plain, packed) = write(&mut pieces, &all);
        assert!((1..=2).contains(&fresh), "{fresh}");
        assert_eq!(write(&mut Pieces::default(), &all), (first + fresh - 1, plain.clone(), packed.clone()));
        let mut read = Vec::new();
        flate2::read::MultiGzDecoder::new(packed.as_slice()).read_to_end(&mut read).unwrap();
        assert_eq!(read, plain);
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(write(&mut Pieces::default(), &[]), (0, Vec::new(), Vec::new()));
    }
}
