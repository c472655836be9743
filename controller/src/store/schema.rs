//! How rows look on disk: one redb table per [`Row::TABLE`], the row's key bytes, and as value one version byte followed by
//! MessagePack with field names. This is the one place where rows become bytes and bytes become rows.
//!
//! Two tables are the store's own: `_schema` (one integer) and `_floors` (up to which key the rows of a journal
//! are forgotten; see [`super::Retention`]).

use redb::TableDefinition;
use swarm_core::table::Row;

/// Version of the schema this program writes. Raise it with an entry in [`super::migrate::MIGRATIONS`].
pub const SCHEMA_VERSION: u64 = 1;

/// First byte of every value.
const ROW_VERSION: u8 = 1;

/// A table of rows.
pub(super) type Bytes = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// Where the schema version stands, under [`VERSION_KEY`].
pub(super) const SCHEMA: TableDefinition<'static, &'static str, u64> = TableDefinition::new("_schema");

/// Key of the schema version.
pub(super) const VERSION_KEY: &str = "version";

/// Table of a journal → the last key that is forgotten.
pub(super) const FLOORS: TableDefinition<'static, &'static str, u64> = TableDefinition::new("_floors");

/// The table with that name.
pub(super) fn table(name: &'static str) -> Bytes {
    TableDefinition::new(name)
}

/// Why bytes are not the row they should be.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not even a version byte.
    #[error("the value is empty")]
    Empty,
    /// A version byte this program does not know.
    #[error("the value has version {0}, this program reads version {ROW_VERSION}")]
    Version(u8),
    /// Not the row's fields.
    #[error("the value does not decode")]
    Body(#[source] rmp_serde::decode::Error),
}

/// A row as the store keeps it.
pub(super) fn encode<R: Row>(row: &R) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    let mut value = vec![ROW_VERSION];
    rmp_serde::encode::write_named(&mut value, row)?;
    Ok(value)
}

/// A row from what the store keeps.
pub(super) fn decode<R: Row>(value: &[u8]) -> Result<R, DecodeError> {
    match value.split_first() {
        None => Err(DecodeError::Empty),
        Some((&ROW_VERSION, body)) => rmp_serde::from_slice(body).map_err(DecodeError::Body),
        Some((&other, _)) => Err(DecodeError::Version(other)),
    }
}

/// A key for people: a number if it is one, text if it is that, else hex.
pub(super) fn show_key(key: &[u8]) -> String {
    match (<[u8; 8]>::try_from(key), std::str::from_utf8(key)) {
        (_, Ok(text)) if !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic()) => text.to_owned(),
        (Ok(number), _) => u64::from_be_bytes(number).to_string(),
        _ => hex::encode(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_as_what_it_is() {
        assert_eq!(show_key(&7u64.to_be_bytes()), "7");
        assert_eq!(show_key(b"amd64/default/x86_64-pc-linux-gnu"), "amd64/default/x86_64-pc-linux-gnu");
        assert_eq!(show_key(&[0xff, 0x00]), "ff00");
    }
}
