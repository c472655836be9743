//! What the help says of the keys. `keys` does what is said here, `draw` shows it.

/// The keys of the panels.
pub const HELP: &[(&str, &str)] = &[
    ("Tab  Shift-Tab", "next panel, the one before"),
    ("↑ ↓  j k  PgUp PgDn", "choose a row"),
    ("Enter", "a drone's log, why a package waits, a whole event"),
    ("l", "log of the chosen drone, package or event"),
    ("w", "why a package is not building"),
    ("p", "pause the swarm, or resume it"),
    ("d", "pause the chosen drone, or resume it"),
    ("u", "unblock the chosen package"),
    ("Ctrl-L", "draw everything anew"),
    ("?", "this help"),
    ("q", "leave"),
];

/// The keys of a log.
pub const LOG_HELP: &[(&str, &str)] = &[
    ("↑ ↓  PgUp PgDn  g G", "scroll; the first line, the last"),
    ("f  End", "follow the end again"),
    ("← →", "sideways"),
    ("v", "long lines go on in the next row"),
    ("q  Esc", "back"),
];
