//! Fires HTTP requests on time and records exactly one outcome for every instant.

pub mod model;
