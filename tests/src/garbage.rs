//! Nonsense to be sent: damaged, oversized and foreign bytes, seeded.

use serde_json::{Value, json};

use crate::Chance;

/// Bytes that are no message: `real` is one that was, for what is nearly right.
pub fn message(chance: &mut Chance, real: &[u8]) -> Vec<u8> {
    let mut bytes = real.to_vec();
    match chance.below(12) {
        0 => Vec::new(),
        1 => {
            let count = 1 + chance.below(300);
            chance.bytes(count)
        }
        2 => {
            let count = 100_000 + chance.below(900_000);
            chance.bytes(count)
        }
        // cut off
        3 | 4 => {
            bytes.truncate(chance.below(bytes.len()));
            bytes
        }
        // one bit
        5 | 6 => {
            let at = chance.below(bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << chance.below(8);
            }
            bytes
        }
        // something behind the end
        7 => {
            let count = 1 + chance.below(20);
            bytes.extend(chance.bytes(count));
            bytes
        }
        // headers that promise 4 Gi of an array, a map, text or bytes
        8 => {
            let header = *chance.one_of(&[0xdd, 0xdf, 0xdb, 0xc6]);
            let mut bytes = vec![header, 0xff, 0xff, 0xff, 0xff];
            let count = chance.below(50);
            bytes.extend(chance.bytes(count));
            bytes
        }
        // arrays in arrays
        9 => vec![0x91; 1_000 + chance.below(200_000)],
        // another version of the wire: `v` is the first field
        10 => {
            if let Some(at) = bytes.windows(2).position(|pair| pair == [0xa1, b'v'])
                && let Some(version) = bytes.get_mut(at + 2)
            {
                *version = *chance.one_of(&[0, 2, 9, 127]);
            }
            bytes
        }
        // text where bytes are expected
        _ => b"{\"v\":1,\"k\":\"report.hello\",\"id\":1,\"at\":0,\"body\":{}}".to_vec(),
    }
}

/// Text for a part of a path, or the value of a parameter, ready for a URL.
pub fn parameter(chance: &mut Chance) -> String {
    let fixed = [
        "",
        "0",
        "-1",
        "1",
        "18446744073709551616",
        "1e309",
        "NaN",
        "true",
        "null",
        "%00",
        "%ff%fe",
        "%",
        "%zz",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e",
        "%27%3b%20DROP%20TABLE%20x%3b--",
        "%3Cscript%3E",
        "%F0%9F%90%9D",
        "*",
        "%5B%5D",
        "%0d%0aX-Admin-Key:%20x",
        "a%20b",
        "=",
        "&&&",
        "a=b&a=c",
    ];
    match chance.below(10) {
        0 => "x".repeat(1 + chance.below(60_000)),
        1 | 2 => {
            let count = 1 + chance.below(40);
            chance.bytes(count).iter().map(|byte| format!("%{byte:02x}")).collect()
        }
        _ => (*chance.one_of(&fixed)).to_owned(),
    }
}

/// Text for a header: printable, and nothing anybody means.
pub fn header(chance: &mut Chance) -> String {
    let count = 1 + chance.below(300);
    chance.bytes(count).iter().map(|byte| char::from(b'!' + byte % 90)).collect()
}

/// A body that is JSON of the wrong shape, or none at all.
pub fn body(chance: &mut Chance) -> Vec<u8> {
    let text = |value: Value| value.to_string().into_bytes();
    match chance.below(16) {
        0 => Vec::new(),
        1 => b"{".to_vec(),
        2 => b"null".to_vec(),
        3 => b"[]".to_vec(),
        4 => vec![b'['; 100_000],
        5 => {
            let count = 1 + chance.below(5_000);
            chance.bytes(count)
        }
        6 => vec![b'x'; (2 << 20) + chance.below(1 << 20)],
        7 => text(json!({ "packages": 5 })),
        8 => text(json!({ "packages": [null, 7, {}] })),
        9 => text(json!({ "packages": ["", "\u{0}", "=", "a/b/c", "../../x", "=a/b-1\n=c/d-1", "x".repeat(10_000)] })),
        10 => text(json!({ "packages": vec!["]["; 50_000] })),
        11 => text(json!({ "packages": ["!a/b"], "profile": "../..", "package_use": ["a/b\nc/d"] })),
        12 => text(json!({ "action": {} })),
        13 => text(json!({ "action": "x".repeat(100_000), "package": 1, "drone": [] })),
        14 => b"{\"action\": \"pause\xff\"}".to_vec(),
        _ => b"{\"action\": 1e999, \"action\": \"resume\"".to_vec(),
    }
}
