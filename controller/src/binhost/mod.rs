//! binhost
