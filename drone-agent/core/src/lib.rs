//! drone-agent/core
