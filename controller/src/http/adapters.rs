//! The real engine, store, logs and binhost as the façade's ports.
