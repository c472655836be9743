//! Lists that end: a message of a few megabytes can hold millions of empty entries, which take a hundred times the room once
//! they are read. To be used with `#[serde(deserialize_with)]`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// A list of at most `MOST` entries; one more is an error.
pub(crate) fn list<'de, D, T, const MOST: usize>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Bounded<T, const MOST: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Bounded<T, MOST> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MOST} entries")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<T>, A::Error> {
            // what the sender says of its length is not trusted
            let mut read = Vec::new();
            while let Some(entry) = entries.next_element()? {
                if read.len() == MOST {
                    return Err(A::Error::custom(format_args!("more than {MOST} entries")));
                }
                read.push(entry);
            }
            Ok(read)
        }
    }

    from.deserialize_seq(Bounded::<T, MOST>(PhantomData))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use crate::{decode, encode};

    #[derive(Debug, PartialEq, Deserialize)]
    struct Three(#[serde(deserialize_with = "super::list::<_, _, 3>")] Vec<u8>);

    #[test]
    fn a_list_ends_at_its_bound() {
        let read = |list: &[u8]| decode::<Three>(&encode(&list).unwrap());
        assert_eq!(read(&[1, 2, 3]).unwrap(), Three(vec![1, 2, 3]));
        assert!(read(&[]).is_ok());
        let long = read(&[1, 2, 3, 4]).unwrap_err().to_string();
        assert!(long.contains("more than 3 entries"), "{long}");
    }
}
