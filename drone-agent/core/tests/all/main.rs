//! The agent's rules from outside: as tables and as random journeys. One program, since what both use takes longer to link
//! than they do.

mod properties;
mod rules;
