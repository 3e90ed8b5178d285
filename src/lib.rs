//! Fires HTTP requests on time and records exactly one outcome for every instant.

pub mod api;
pub mod catalog;
pub mod clock;
pub mod dispatch;
pub mod engine;
pub mod journal;
pub mod model;
pub mod observe;
pub mod store;
