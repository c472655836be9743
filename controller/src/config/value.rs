//! Values of the configuration: how each is read from a file or from text, and how it is shown.

use std::net::IpAddr;
use std::path::PathBuf;

use toml::Value as Toml;

use crate::notices::MailSecurity;

/// Where a value comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Raw<'a> {
    /// A TOML value of the file.
    File(&'a Toml),
    /// Text of the environment or a flag.
    Text(&'a str),
}

/// A kind of value.
pub(super) trait Value: Sized {
    /// Reads it; the error says what it should be.
    fn read(raw: Raw<'_>) -> Result<Self, String>;
    /// Shows it as TOML; `None` if there is nothing to show.
    fn show(&self) -> Option<String>;
}

fn text(raw: Raw<'_>) -> Result<&str, String> {
    match raw {
        Raw::Text(text) => Ok(text),
        Raw::File(Toml::String(text)) => Ok(text),
        Raw::File(other) => Err(format!("{other} is not text: put it in quotes")),
    }
}

fn quoted(text: &str) -> Option<String> {
    Some(Toml::String(text.to_owned()).to_string())
}

impl Value for String {
    fn read(raw: Raw<'_>) -> Result<Self, String> {
        text(raw).map(str::to_owned)
    }
    fn show(&self) -> Option<String> {
        quoted(self)
    }
}

impl Value for PathBuf {
    fn read(raw: Raw<'_>) -> Result<Self, String> {
        match text(raw)? {
            "" => Err("an empty path".to_owned()),
            path => Ok(Self::from(path)),
        }
    }
    fn show(&self) -> Option<String> {
        quoted(&self.to_string_lossy())
    }
}

impl Value for IpAddr {
    fn read(raw: Raw<'_>) -> Result<Self, String> {
        let text = text(raw)?;
        text.parse().map_err(|_| format!("{text:?} is not an IP address such as 0.0.0.0 or ::1"))
    }
    fn show(&self) -> Option<String> {
        quoted(&self.to_string())
    }
}

impl Value for bool {
    fn read(raw: Raw<'_>) -> Result<Self, String> {
        match raw {
            Raw::File(Toml::Boolean(value)) => Ok(*value),
            Raw::Text("true" | "1" | "yes" | "on") => Ok(true),
            Raw::Text("false" | "0" | "no" | "off") => Ok(false),
            Raw::Text(other) => Err(format!("{other:?} is neither true nor false")),
            Raw::File(other) => Err(format!("{other} is neither true nor false")),
        }
    }
    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

macro_rules! whole_number {
    ($($kind:ty),*) => {$(
        impl Value for $kind {
            fn read(raw: Raw<'_>) -> Result<Self, String> {
                let wrong = |shown: &dyn std::fmt::Display| {
                    format!("{shown} is not a whole number from {} to {}", <$kind>::MIN, <$kind>::MAX)
                };
                match raw {
                    Raw::File(Toml::Integer(number)) => Self::try_from(*number).map_err(|_| wrong(number)),
                    Raw::File(other) => Err(wrong(other)),
                    Raw::Text(text) => text.trim().parse().map_err(|_| wrong(&format!("{text:?}"))),
                }
            }
            fn show(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )*};
}
whole_number!(u16, u32, u64, usize);

/// A duration, "90s", "10m" or "1h 30m"; milliseconds.
pub(super) struct Span(pub(super) u64);

impl Value for Span {
    fn read(raw: Raw<'_>) -> Result<Self, String> {
        let wrong =
            |shown: &dyn std::fmt::Display| format!("{shown} is not a duration such as \"90s\", \"10m\" or \"1h 30m\"");
        let text = match raw {
            Raw::File(Toml::String(text)) => text,
            Raw::File(other) => return Err(wrong(other)),
            Raw::Text(text) => text,
        };
        let span = humantime::parse_duration(text).map_err(|_| wrong(&format!("{text:?}")))?;
        u64::try_from(span.as_millis()).map(Self).map_err(|_| wrong(&format!("{text:?}")))
    }
    fn show(&self) -> Option<String> {
        quoted(&humantime::format_duration(std::time::Duration::from_millis(self.0)).to_string())
    }
}

/// A size, "256MiB" or "10GiB"; bytes.
pub(super) struct Size(pub(super) u64);

impl Value for Size {
    fn read(raw: Raw<'_>) -> Result<Self, String> {
        let wrong = |shown: &dyn std::fmt::Display| format!("{shown} is not a size such as \"256MiB\" or \"10GiB\"");
        let text = match raw {
            Raw::File(Toml::String(text)) => text,
            Raw::File(other) => return Err(wrong(other)),
            Raw::Text(text) => text,
        };
        text.parse::<bytesize::ByteSize>().map(|size| Self(size.as_u64())).map_err(|_| wrong(&format!("{text:?}")))
    }
    fn show(&self) -> Option<String> {
        let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
        let unit = units.iter().find(|(_, bits)| self.0 > 0 && self.0.trailing_zeros() >= *bits);
        quoted(&unit.map_or(format!("{}B", self.0), |(name, bits)| format!("{}{name}", self.0 >> bits)))
    }
}

impl Value for Vec<String> {
    fn read(raw: Raw<'_>) -> Result<Self, String> {
        match raw {
            Raw::File(Toml::Array(items)) => {
                items.iter().map(|item| text(Raw::File(item)).map(str::to_owned)).collect()
            }
            Raw::File(other) => Err(format!("{other} is not a list such as [\"d1\", \"d2\"]")),
            Raw::Text(text) => {
                Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
            }
        }
    }
    fn show(&self) -> Option<String> {
        let items: Vec<String> = self.iter().filter_map(Value::show).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

impl<V: Value> Value for Option<V> {
    fn read(raw: Raw<'_>) -> Result<Self, String> {
        V::read(raw).map(Some)
    }
    fn show(&self) -> Option<String> {
        self.as_ref().and_then(Value::show)
    }
}

impl Value for MailSecurity {
    fn read(raw: Raw<'_>) -> Result<Self, String> {
        match text(raw)? {
            "starttls" => Ok(Self::StartTls),
            "tls" => Ok(Self::Tls),
            "none" => Ok(Self::None),
            other => Err(format!("{other:?} is none of starttls, tls, none")),
        }
    }
    fn show(&self) -> Option<String> {
        quoted(match self {
            Self::StartTls => "starttls",
            Self::Tls => "tls",
            Self::None => "none",
        })
    }
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// What broke.
    Error,
    /// And what looks wrong.
    Warn,
    /// And what a person would act on or retell.
    #[default]
    Info,
    /// And what helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    const ALL: [(&'static str, Self); 5] = [
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];

    /// One word.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, level)| *level == self).map_or("info", |(name, _)| name)
    }
}

impl Value for LogLevel {
    fn read(raw: Raw<'_>) -> Result<Self, String> {
        let text = text(raw)?;
        let found = Self::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        found.map(|(_, level)| *level).ok_or_else(|| format!("{text:?} is none of error, warn, info, debug, trace"))
    }
    fn show(&self) -> Option<String> {
        quoted(self.name())
    }
}

/// Whether `name` is a host name or an address.
pub fn is_host(name: &str) -> bool {
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    name.parse::<IpAddr>().is_ok() || (name.len() <= 253 && name.split('.').all(label))
}

/// Host of an address, without the brackets of IPv6.
pub fn host_of(url: &str) -> Option<String> {
    let uri: axum::http::Uri = url.trim().parse().ok()?;
    uri.scheme()?;
    let host = uri.host()?;
    Some(host.trim_start_matches('[').trim_end_matches(']').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_host_names_and_addresses_are_hosts() {
        for good in ["swarm", "swarm.example.org", "192.0.2.7", "2001:db8::7", "a-b.c1"] {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", ".", "a..b", "-a", "a-", "a b", "*.example.org", "a\"b", "swarm.example.org:4222", "a_b"] {
            assert!(!is_host(bad), "{bad:?}");
        }
    }

    #[test]
    fn the_host_of_an_address_has_no_brackets() {
        for (url, host) in [
            ("tls://swarm.example.org:4222", Some("swarm.example.org")),
            ("http://192.0.2.7", Some("192.0.2.7")),
            ("tls://[2001:db8::7]:4222", Some("2001:db8::7")),
            ("swarm.example.org:4222", None),
            ("swarm.example.org", None),
            ("", None),
        ] {
            assert_eq!(host_of(url).as_deref(), host, "{url}");
        }
    }
}
